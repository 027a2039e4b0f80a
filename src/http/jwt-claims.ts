/** From the claims of a verified token to who is asking. What does not fit is refused by its name, never its value. */
import * as v from "valibot";
import { ProvisoError } from "../errors.ts";
import type { ActorKind } from "../governance/gates/schema.ts";
import { NameSchema } from "../scope.ts";
import { ActorIdSchema, KindSchema, RolesSchema } from "./development-identity.ts";
import type { Principal } from "./identity.ts";

/**
 * Which claim says what. A claim is named as it stands in the token (`roles`, `https://example.com/roles`), or, when
 * it lies deeper, by a JSON Pointer (`/realm_access/roles`).
 */
export interface ClaimsMapping {
  /** Who it is; default `sub`. */
  readonly actor?: string;
  /** Where roles stand: each a list of texts, or one text with blanks or commas between; default `["roles"]`. */
  readonly roles?: readonly string[];
  /** Roles for each value found there. With a map, a value that is not in it gives no role. */
  readonly roleMap?: Readonly<Record<string, readonly string[]>>;
  /** Pins the tenant. A token without this claim is refused: it would be good for every tenant. */
  readonly tenant?: string;
  /** Pins the environment, likewise. */
  readonly environment?: string;
  /** `human`, `service` or `agent`; a token without this claim is a human's. */
  readonly kind?: string;
  /** Kinds for values of other names; a value that is not in it is refused. */
  readonly kindMap?: Readonly<Record<string, ActorKind>>;
  /** Names a service, in a token in which the actor's claim is absent or empty. */
  readonly service?: string;
}

type Claims = Readonly<Record<string, unknown>>;

const misfit = (claim: string, reason: string): ProvisoError =>
  new ProvisoError("unauthenticated", `the token's claim ${claim} ${reason}`);

const isObject = (value: unknown): value is Claims =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const own = (value: unknown, name: string): unknown =>
  isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;

/** The value of a claim; undefined when it is not there. */
const claimOf = (claims: Claims, name: string): unknown =>
  name.startsWith("/")
    ? name
        .slice(1)
        .split("/")
        .map((segment) => segment.replaceAll("~1", "/").replaceAll("~0", "~"))
        .reduce<unknown>(own, claims)
    : own(claims, name);

const isAbsent = (value: unknown): boolean => value === undefined || value === null || value === "";

const read = <Schema extends v.GenericSchema>(schema: Schema, claim: string, value: unknown): v.InferOutput<Schema> => {
  if (isAbsent(value)) throw misfit(claim, "is missing");
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  const [issue] = result.issues;
  throw misfit(claim, `does not fit: ${issue.kind === "schema" ? `expected ${issue.expected}` : issue.message}`);
};

const textsOf = (claims: Claims, claim: string): readonly string[] => {
  const value = claimOf(claims, claim);
  if (isAbsent(value)) return [];
  if (typeof value === "string") return value.split(/[\s,]+/).filter((text) => text !== "");
  const texts = v.safeParse(v.array(v.string()), value);
  if (texts.success) return texts.output;
  throw misfit(claim, "does not fit: expected a list of texts, or one text");
};

const rolesOf = (claims: Claims, { roles: from = ["roles"], roleMap }: ClaimsMapping): readonly string[] => {
  const map = roleMap === undefined ? undefined : new Map(Object.entries(roleMap));
  const found = from.flatMap((claim) => textsOf(claims, claim));
  // A text that no role can be called is none of ours: tokens carry scopes and groups of other systems too.
  const roles =
    map === undefined ? found.filter((text) => v.is(NameSchema, text)) : found.flatMap((text) => map.get(text) ?? []);
  return read(RolesSchema, from.join(", "), [...new Set(roles)]);
};

const kindOf = (claims: Claims, { kind: claim, kindMap }: ClaimsMapping): ActorKind => {
  const value = claim === undefined ? undefined : claimOf(claims, claim);
  if (claim === undefined || isAbsent(value)) return "human";
  if (kindMap === undefined) return read(KindSchema, claim, value);
  const kind = typeof value === "string" ? new Map(Object.entries(kindMap)).get(value) : undefined;
  if (kind === undefined) throw misfit(claim, "does not fit: expected a value of claims.kindMap");
  return kind;
};

const nameOf = (claims: Claims, part: "tenant" | "environment", claim: string | undefined) =>
  claim === undefined ? {} : { [part]: read(NameSchema, claim, claimOf(claims, claim)) };

/** An address that nobody has proved to be theirs must not open what belongs to its owner. */
const checkEmail = (claims: Claims, { actor = "sub", roles = [] }: ClaimsMapping): void => {
  const verified = own(claims, "email_verified");
  if ([actor, ...roles].includes("email") && verified !== undefined && verified !== true && verified !== "true")
    throw misfit("email_verified", "is not true");
};

/**
 * The principal that verified claims describe.
 *
 * @throws ProvisoError `unauthenticated`, naming the claim that does not fit
 */
export const principalOf = (claims: Claims, mapping: ClaimsMapping): Principal => {
  const { actor: actorClaim = "sub", service } = mapping;
  checkEmail(claims, mapping);
  const isService =
    service !== undefined && isAbsent(claimOf(claims, actorClaim)) && !isAbsent(claimOf(claims, service));
  const idClaim = isService ? service : actorClaim;
  return {
    actor: {
      id: read(ActorIdSchema, idClaim, claimOf(claims, idClaim)),
      kind: isService ? "service" : kindOf(claims, mapping),
      roles: rolesOf(claims, mapping),
    },
    pin: { ...nameOf(claims, "tenant", mapping.tenant), ...nameOf(claims, "environment", mapping.environment) },
  };
};
