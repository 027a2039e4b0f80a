/** Identity by bearer token: the deployment holds hashes, the caller holds the token. */
import * as v from "valibot";
import { sha256Hex } from "../canonical.ts";
import { ProvisoError } from "../errors.ts";
import { NameSchema } from "../scope.ts";
import { ActorIdSchema, KindSchema, RolesSchema } from "./development-identity.ts";
import { admittedAs, type Identity, isDataPlaneRole } from "./identity.ts";

const TokenSchema = v.strictObject({
  id: ActorIdSchema,
  kind: v.optional(KindSchema, "human"),
  /** For people and services: roles. For applications: `ingest`, `evaluate`, or `browser` for one that pages carry. */
  roles: v.pipe(RolesSchema, v.minLength(1, "at least one role")),
  /** SHA-256 of the token, hex. A token is 256 random bits, so nothing slower is needed to keep it from being guessed. */
  sha256: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, "64 hex digits")),
  tenant: v.exactOptional(NameSchema),
  environment: v.exactOptional(NameSchema),
});

const TokensSchema = v.pipe(
  v.array(TokenSchema),
  v.minLength(1, "at least one token"),
  v.maxLength(1_000, "at most 1000 tokens"),
);

export type TokenEntry = v.InferOutput<typeof TokenSchema>;

const invalid = (reason: string): ProvisoError =>
  new ProvisoError("invalid-dsl", `the secret with the tokens is not valid: ${reason}`);

/** Says what was expected, never what was found: that may be a secret. */
const wanted = (issue: v.BaseIssue<unknown>): string =>
  `${v.getDotPath(issue) ?? "the list"}: ${issue.kind === "schema" ? `expected ${issue.expected ?? "something else"}` : issue.message}`;

/**
 * Reads the list of tokens from the JSON text of a secret.
 *
 * @throws ProvisoError `invalid-dsl`; the message names places, never values
 */
export const parseTokens = (secret: string): readonly TokenEntry[] => {
  let json: unknown;
  try {
    json = JSON.parse(secret);
  } catch {
    // The parser's own message would quote the secret.
    throw invalid("not JSON");
  }
  const parsed = v.safeParse(TokensSchema, json);
  if (parsed.success) return parsed.output;
  throw invalid(parsed.issues.map(wanted).join("; "));
};

/** Looks at every character, so that the time says nothing about how much of a guess was right. */
export const equalInConstantTime = (left: string, right: string): boolean => {
  let difference = left.length ^ right.length;
  for (let index = 0; index < left.length; index += 1)
    difference |= left.charCodeAt(index) ^ right.charCodeAt(index % right.length);
  return difference === 0;
};

/** `Authorization: Bearer <token>`, found by hash. */
export const tokenIdentity = (tokens: readonly TokenEntry[]): Identity => {
  const find = (request: Request): TokenEntry => {
    const token = /^Bearer ([\x21-\x7e]{16,512})$/i.exec(request.headers.get("authorization") ?? "")?.[1];
    if (token === undefined) throw new ProvisoError("unauthenticated", "send a token: Authorization: Bearer …");
    const hash = sha256Hex(token);
    // All of them are looked at: the time says nothing about where in the list a token stands.
    const found = tokens.filter((entry) => equalInConstantTime(entry.sha256, hash))[0];
    if (found === undefined) throw new ProvisoError("unauthenticated", "the token is not known here");
    return found;
  };
  const pinOf = ({ tenant, environment }: TokenEntry) => ({
    ...(tenant === undefined ? {} : { tenant }),
    ...(environment === undefined ? {} : { environment }),
  });
  return {
    async authenticate(request) {
      const entry = find(request);
      return {
        actor: { id: entry.id, kind: entry.kind, roles: entry.roles.filter((role) => !isDataPlaneRole(role)) },
        pin: pinOf(entry),
      };
    },
    async admit(request, use) {
      const entry = find(request);
      const sender = admittedAs(entry.roles, use);
      if (sender === null) throw new ProvisoError("forbidden", `this takes a key for ${use}`);
      return { ...pinOf(entry), key: entry.id, sender };
    },
  };
};
