/**
 * From a word on the command line to a place: the address of a running server, or a DSL file whose `persistence` says
 * which store. The one place in the command line that opens stores.
 */
import { d1Store } from "../../adapters/store/d1.ts";
import { migrate } from "../../adapters/store/migrate.ts";
import { postgresStore } from "../../adapters/store/postgres.ts";
import { sqliteMigrations } from "../../adapters/store/sqlite-migrations.ts";
import { upstashStore } from "../../adapters/store/upstash.ts";
import type { Dsl } from "../../src/config/index.ts";
import { createSigner, type Signer } from "../../src/governance/signing.ts";
import type { CommandContext } from "../command.ts";
import { serverAddress } from "../ask.ts";
import { explain, judgeDsl, namedFile, readDsl } from "../dsl-file.ts";
import { bindings, loadMiniflare, startEmbedded } from "../embedded.ts";
import { CliFailure } from "../failure.ts";
import { startGuard } from "../guarded.ts";
import { assertUnused } from "../state-lock.ts";
import type { Place } from "./place.ts";
import { missingPackage, openPostgresClient } from "./postgres-client.ts";
import { reached } from "./reachable.ts";
import { serverPlace } from "./server.ts";
import { storePlace } from "./store.ts";

export interface OpenOptions {
  /** What `npm run dev` keeps its data in. */
  readonly stateDirectory: string;
  /** Stores sign with the key that their DSL names. */
  readonly signing?: boolean;
}

type Single = Exclude<Dsl["governance"]["persistence"], { readonly type: "mirror" }>;

/** The value of an environment variable that the DSL names as a secret. */
const secretOf = ({ environment }: CommandContext, member: string, name: string): string => {
  const value = environment[name];
  if (value !== undefined && value !== "") return value;
  throw new CliFailure(`${member} names ${name}, which is not set in the environment`);
};

/** The database of `proviso dev`, while no server has it. */
const openLocalD1 = async (name: string, context: CommandContext, stateDirectory: string, signer?: Signer) => {
  const state = namedFile(stateDirectory, context.directory);
  await assertUnused(state.path, state.name);
  const library = await loadMiniflare();
  const guard = startGuard();
  const miniflare = new library.Miniflare(
    library.convertV4MiniflareOptions({
      modules: true,
      script: "",
      cf: false,
      d1Databases: { [bindings.database.binding]: bindings.database.name },
      resourcePersistencePath: state.path,
    }),
  );
  const close = async (): Promise<void> => {
    await miniflare.dispose();
    guard.release();
  };
  try {
    const database = await miniflare.getD1Database(bindings.database.binding);
    await migrate(database, sqliteMigrations);
    return storePlace(`${name} (d1 in ${state.name})`, d1Store({ database }), close, signer);
  } catch (error) {
    await close();
    throw error;
  }
};

/** Histories in objects are reached through the Worker that has the objects: it is started for the while. */
const openLocalObjects = async (context: CommandContext, stateDirectory: string): Promise<Place> => {
  const state = namedFile(stateDirectory, context.directory);
  await assertUnused(state.path, state.name);
  const guard = startGuard();
  try {
    const worker = await startEmbedded({
      port: 0,
      stateDirectory: state.path,
      dslText: "governance: { persistence: { type: durableObject } }\n",
      environment: {},
      onLog: (level, message) => {
        if (level !== "info" && !context.signal.aborted) context.err(`${message}\n`);
      },
    });
    const close = async (): Promise<void> => {
      await worker.stop();
      guard.release();
    };
    return serverPlace({ url: worker.url, signal: context.signal, close });
  } catch (error) {
    guard.release();
    throw error;
  }
};

const openPostgres = async (
  name: string,
  persistence: Extract<Single, { readonly type: "postgres" }>,
  context: CommandContext,
  signer?: Signer,
): Promise<Place> => {
  const { connectionString, secret, schema } = persistence;
  if (connectionString === undefined && secret === undefined)
    throw new CliFailure(
      `${name} reaches its database through Hyperdrive, which only the Worker has: name its address`,
    );
  const address = connectionString ?? secretOf(context, "governance.persistence.secret", secret ?? "");
  const called = `${name} (postgres)`;
  const client = await openPostgresClient(called, address, 4);
  const close = (): Promise<void> => client.end({ timeout: 5 });
  try {
    const store = postgresStore({ client, schema });
    for (const warning of await reached(called, store, address)) context.err(`${called}: ${warning}\n`);
    return storePlace(called, store, close, signer);
  } catch (error) {
    await close();
    throw error;
  }
};

const openUpstash = async (
  name: string,
  persistence: Extract<Single, { readonly type: "upstash" }>,
  context: CommandContext,
  signer?: Signer,
): Promise<Place> => {
  const { url, token, secret, prefix } = persistence;
  const credential = token ?? secretOf(context, "governance.persistence.secret", secret ?? "");
  const { Redis } = await import("@upstash/redis").catch((cause: unknown) => {
    throw missingPackage("@upstash/redis", cause);
  });
  const client = new Redis({ url, token: credential, enableTelemetry: false });
  const called = `${name} (upstash)`;
  const store = upstashStore({ client, prefix });
  for (const warning of await reached(called, store, credential, true)) context.err(`${called}: ${warning}\n`);
  return storePlace(called, store, () => Promise.resolve(), signer);
};

const openStore = async (
  name: string,
  persistence: Dsl["governance"]["persistence"],
  context: CommandContext,
  { stateDirectory }: OpenOptions,
  signer: Signer | undefined,
): Promise<Place> => {
  switch (persistence.type) {
    case "d1":
      return openLocalD1(name, context, stateDirectory, signer);
    case "durableObject":
      return openLocalObjects(context, stateDirectory);
    case "postgres":
      return openPostgres(name, persistence, context, signer);
    case "upstash":
      return openUpstash(name, persistence, context, signer);
    case "memory":
      throw new CliFailure(
        `${name} keeps its histories in memory: only the server that has them can give them; name its address`,
      );
    case "mirror":
      throw new CliFailure(`${name} is a mirror of several stores: name one of them by itself`);
    case "custom":
      throw new CliFailure(
        `${name} has a store of type custom, ${persistence.name}, which is code of its host; the command line loads no code of a host: ` +
          "name the address of a server that has this store, https://…",
      );
    default:
      return persistence satisfies never;
  }
};

const signerOf = async ({ governance }: Dsl, context: CommandContext): Promise<Signer | undefined> => {
  const { signing } = governance.history;
  if (signing === undefined) return undefined;
  const secret = secretOf(context, "governance.history.signing.secret", signing.secret);
  return createSigner(secret, signing.keyId);
};

export interface OpenedPlace {
  readonly place: Place;
  /** Of a store whose DSL names a key. */
  readonly signer: Signer | undefined;
}

/**
 * @param where an address that begins with http: or https:, or a DSL file
 * @throws CliFailure for what cannot be opened
 */
export const openPlace = async (where: string, context: CommandContext, options: OpenOptions): Promise<OpenedPlace> => {
  if (/^https?:\/\//i.test(where)) {
    return { place: serverPlace(serverAddress("the address", where, context)), signer: undefined };
  }
  const file = namedFile(where, context.directory);
  const text = await readDsl(file);
  const judged = judgeDsl(file, text, context.environment);
  if (!judged.ok) {
    context.err(explain(judged, text, context.terminal.color));
    throw new CliFailure(`${file.name} is not valid`);
  }
  const signer = options.signing === true ? await signerOf(judged.value, context) : undefined;
  return { place: await openStore(file.name, judged.value.governance.persistence, context, options, signer), signer };
};
