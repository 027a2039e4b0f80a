/** Where histories are kept, as the configuration language says it: one schema for each type of store. */
import * as v from "valibot";
import { isKeySetAddress } from "../http/jwt-address.ts";
import { NameSchema } from "../scope.ts";
import { nearest } from "./nearest.ts";
import { member } from "./path.ts";

/** How each type may be written; letter case does not count. `sql` is D1, or Postgres where an address is given. */
const typeNames = {
  memory: ["memory", "inMemory"],
  d1: ["d1", "sql"],
  durableObject: ["durableObject"],
  upstash: ["upstash", "redis"],
  postgres: ["postgres", "sql"],
  mirror: ["mirror"],
  custom: ["custom"],
} as const;

export type PersistenceType = keyof typeof typeNames;

export const persistenceTypes = [...new Set(Object.values(typeNames).flat())];
const allowedTypes =
  "memory (or inMemory), d1 (or sql), durableObject, upstash (or redis), postgres (or sql with an address), mirror, custom";

const isType = (type: PersistenceType, written: string): boolean =>
  typeNames[type].some((name) => name.toLowerCase() === written.toLowerCase());

/** The word of a schema; editors get the same words in {@link persistenceTypes}. */
const typed = <Type extends PersistenceType>(type: Type) =>
  v.pipe(
    v.string(allowedTypes),
    v.rawTransform(({ dataset, addIssue, NEVER }): Type => {
      if (isType(type, dataset.value)) return type;
      addIssue({ message: allowedTypes, expected: persistenceTypes.join(" | ") });
      return NEVER;
    }),
  );

const identifier = /^[A-Za-z_][A-Za-z0-9_]{0,63}$/;
const binding = (example: string) =>
  v.pipe(v.string(), v.regex(identifier, `the name of a binding, such as ${example}`));
const SecretSchema = v.pipe(v.string(), v.regex(identifier, "the name of a secret, such as STORE_TOKEN"));

const credentialMax = 4_096;
const credential = (what: string) =>
  v.pipe(v.string(what), v.minLength(1, what), v.maxLength(credentialMax, `at most ${credentialMax} characters`));

const address = "an https: address without a user and password";
const connection = "an address such as postgres://user:password@host:5432/database";

const isConnectionString = (text: string): boolean => {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname } = new URL(text);
  return (protocol === "postgres:" || protocol === "postgresql:") && hostname !== "";
};

const MemorySchema = v.strictObject({
  type: typed("memory"),
  /** Not used; the type may come from the environment, and the file stays the same. */
  database: v.exactOptional(binding("DB")),
});

const D1Schema = v.strictObject({
  type: v.optional(typed("d1"), "d1"),
  /** Name of the D1 binding. */
  database: v.optional(binding("DB"), "DB"),
});

/** In the experiment's own object: there is nothing to name. */
const DurableObjectSchema = v.strictObject({ type: typed("durableObject") });

const UpstashSchema = v.strictObject({
  type: typed("upstash"),
  /** The REST address of the database. */
  url: v.pipe(v.string(address), v.check(isKeySetAddress, address)),
  /** The REST token, by `${NAME}`; or the name of the secret that holds it, under `secret`. */
  token: v.exactOptional(credential("the REST token")),
  secret: v.exactOptional(SecretSchema),
  /** In front of every key, where several deployments share a database. */
  prefix: v.optional(
    v.pipe(v.string(), v.regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, "1 to 64 letters, digits, dots, _ and -")),
    "proviso",
  ),
});

const PostgresSchema = v.strictObject({
  type: typed("postgres"),
  /** By `${NAME}`; or the name of the secret that holds it, under `secret`; or a Hyperdrive binding. */
  connectionString: v.exactOptional(v.pipe(credential(connection), v.check(isConnectionString, connection))),
  secret: v.exactOptional(SecretSchema),
  /** Name of the Hyperdrive binding. */
  hyperdrive: v.exactOptional(binding("HYPERDRIVE")),
  /** The schema that holds the tables. */
  schema: v.optional(
    v.pipe(v.string(), v.regex(/^[a-z_][a-z0-9_]{0,62}$/, "the name of a schema in small letters, such as proviso")),
    "proviso",
  ),
});

const parametersMax = 100;
const CustomSchema = v.strictObject({
  type: typed("custom"),
  /** Under which the embedding host has registered its store. */
  name: NameSchema,
  /** Handed to the host's function as they are. */
  parameters: v.exactOptional(
    v.pipe(
      v.record(v.string(), v.unknown()),
      v.check((map) => Object.keys(map).length <= parametersMax, `at most ${parametersMax} parameters`),
    ),
  ),
});

type SingleSchema =
  | typeof MemorySchema
  | typeof D1Schema
  | typeof DurableObjectSchema
  | typeof UpstashSchema
  | typeof PostgresSchema
  | typeof CustomSchema;

const singleSchemas = {
  memory: MemorySchema,
  d1: D1Schema,
  durableObject: DurableObjectSchema,
  upstash: UpstashSchema,
  postgres: PostgresSchema,
  custom: CustomSchema,
} as const satisfies Readonly<Record<Exclude<PersistenceType, "mirror">, SingleSchema>>;

/** Where the type is none, nothing can be said about the other members. */
const refusedType = (message: string, expected: string) =>
  v.object({
    type: v.pipe(
      v.custom<never>(() => true),
      v.rawTransform(({ addIssue, NEVER }): never => {
        addIssue({ message, expected });
        return NEVER;
      }),
    ),
  });
const UnknownTypeSchema = refusedType(allowedTypes, persistenceTypes.join(" | "));
const partTypes = Object.keys(singleSchemas);
const MirrorInMirrorSchema = refusedType(`${partTypes.join(", ")}; no mirror of mirrors`, partTypes.join(" | "));

const waysIn = ["connectionString", "secret", "hyperdrive"];

const wordOf = (written: string) => persistenceTypes.find((word) => word.toLowerCase() === written.toLowerCase());

/** The type that is meant, also where it is plainly misspelled: then its own schema says so. */
export const persistenceTypeOf = (input: unknown): PersistenceType | undefined => {
  const written = member(input, "type");
  if (written === undefined) return "d1";
  if (typeof written !== "string") return undefined;
  const name = wordOf(written) ?? wordOf(nearest(written, persistenceTypes) ?? "");
  if (name === "inMemory") return "memory";
  if (name === "redis") return "upstash";
  if (name !== "sql") return name;
  return waysIn.some((way) => member(input, way) !== undefined) ? "postgres" : "d1";
};

export type SinglePersistence = v.InferOutput<SingleSchema>;
export type SinglePersistenceInput = v.InferInput<SingleSchema>;

/** One store by itself, which a mirror is made of. */
export const SinglePersistenceSchema: v.GenericSchema<SinglePersistenceInput, SinglePersistence> = v.lazy(
  (input): v.GenericSchema<SinglePersistenceInput, SinglePersistence> => {
    const type = persistenceTypeOf(input);
    if (type === undefined) return UnknownTypeSchema;
    return type === "mirror" ? MirrorInMirrorSchema : singleSchemas[type];
  },
);

/** What the Worker can make a mirror of: its other stores live in objects, of which each knows one experiment alone. */
export const mirrorParts: readonly PersistenceType[] = ["d1", "upstash", "postgres", "custom"];

export const mirrorModes = ["writeThrough", "writeBehind"] as const;
export const mirrorReads = ["primary", "follower"] as const;
const followersMax = 4;

const MirrorSchema = v.strictObject({
  type: typed("mirror"),
  /** Decides; its history is the authority. */
  primary: SinglePersistenceSchema,
  followers: v.pipe(
    v.array(SinglePersistenceSchema),
    v.minLength(1, `1 to ${followersMax} stores`),
    v.maxLength(followersMax, `1 to ${followersMax} stores`),
  ),
  /** Whether the followers have a commit before it is answered, or get it afterwards. */
  mode: v.optional(v.picklist(mirrorModes, mirrorModes.join(", ")), "writeThrough"),
  /** Where histories and lists are read that no decision is made on. */
  reads: v.optional(v.picklist(mirrorReads, mirrorReads.join(", ")), "primary"),
});

export type Persistence = SinglePersistence | v.InferOutput<typeof MirrorSchema>;
export type PersistenceInput = SinglePersistenceInput | v.InferInput<typeof MirrorSchema>;

/** `memory` is gone with the process; what the others keep, docs/stores.md says. */
export const PersistenceSchema: v.GenericSchema<PersistenceInput, Persistence> = v.lazy(
  (input): v.GenericSchema<PersistenceInput, Persistence> => {
    const type = persistenceTypeOf(input);
    if (type === undefined) return UnknownTypeSchema;
    return type === "mirror" ? MirrorSchema : singleSchemas[type];
  },
);

/** For the JSON Schema: every schema with the words that its type may be. */
export const persistenceSchemas = [...Object.values(singleSchemas), MirrorSchema] as const;
export const typeWords: ReadonlyMap<unknown, readonly string[]> = new Map<unknown, readonly string[]>([
  [MemorySchema.entries.type.pipe[0], typeNames.memory],
  [D1Schema.entries.type.wrapped.pipe[0], typeNames.d1],
  [DurableObjectSchema.entries.type.pipe[0], typeNames.durableObject],
  [UpstashSchema.entries.type.pipe[0], typeNames.upstash],
  [PostgresSchema.entries.type.pipe[0], typeNames.postgres],
  [CustomSchema.entries.type.pipe[0], typeNames.custom],
  [MirrorSchema.entries.type.pipe[0], typeNames.mirror],
]);
