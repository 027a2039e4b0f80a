/** The part of the configuration language that says who may ask, from which pages, and how often. */
import * as v from "valibot";
import { DurationSchema, parseDuration } from "../duration.ts";
import { KindSchema } from "../http/development-identity.ts";
import { jwtAlgorithms } from "../http/jwt-algorithms.ts";
import { isKeySetAddress, jwtHeaders } from "../http/jwt-address.ts";
import { isOrigin } from "../http/origin.ts";
import { limits } from "../limits.ts";
import { NameSchema } from "../scope.ts";

const secretPattern = /^[A-Za-z_][A-Za-z0-9_]{0,63}$/;
const SecretSchema = v.pipe(v.string(), v.regex(secretPattern, "the name of a secret, such as PROVISO_TOKENS"));

/** What is signed of histories, and with which secret. */
export const HistorySchema = v.strictObject({
  signing: v.exactOptional(
    v.strictObject({
      /** The secret with the Ed25519 private key: PKCS8 as PEM, or a JWK. `npx proviso key` makes one. */
      secret: SecretSchema,
      /** How signatures name the key; left out: its thumbprint. */
      keyId: v.exactOptional(
        v.pipe(
          v.string(),
          v.minLength(1, "at least one character"),
          v.maxLength(limits.keyIdCharacters, `at most ${limits.keyIdCharacters} characters`),
        ),
      ),
    }),
  ),
});

const textMax = 512;
const text = v.pipe(
  v.string(),
  v.minLength(1, "at least one character"),
  v.maxLength(textMax, `at most ${textMax} characters`),
);
const several = "a text, or a list of one to 20 texts";

const upTo = (longestMs: number, message: string) =>
  v.pipe(
    DurationSchema,
    v.check((written) => (parseDuration(written) ?? 0) <= longestMs, message),
  );

const mapMax = 1_000;
/** Valibot's record is not bounded by itself. */
const bounded = <Value extends v.GenericSchema>(value: Value) =>
  v.pipe(
    v.record(text, value),
    v.check((map) => Object.keys(map).length <= mapMax, `at most ${mapMax} values`),
  );

const ClaimsSchema = v.strictObject({
  /** A claim's name, or a JSON Pointer to one that lies deeper, here and below. */
  actor: v.exactOptional(text),
  roles: v.exactOptional(
    v.pipe(v.array(text), v.minLength(1, "at least one claim"), v.maxLength(10, "at most 10 claims")),
  ),
  roleMap: v.exactOptional(bounded(v.pipe(v.array(NameSchema), v.maxLength(32, "at most 32 roles")))),
  tenant: v.exactOptional(text),
  environment: v.exactOptional(text),
  kind: v.exactOptional(text),
  kindMap: v.exactOptional(bounded(KindSchema)),
  service: v.exactOptional(text),
});

const signed = {
  audience: v.union([text, v.pipe(v.array(text), v.minLength(1, several), v.maxLength(20, several))], several),
  /** How far the clocks of issuer and deployment may differ. */
  clockSkew: v.optional(upTo(300_000, "at most 5m"), "60s"),
  claims: v.optional(ClaimsSchema, {}),
  /** The secret with the list of data-plane keys; left out: the data plane takes tokens with the roles ingest and evaluate. */
  secret: v.exactOptional(SecretSchema),
};

const HeaderSchema = v.picklist(jwtHeaders, jwtHeaders.join(", "));

const keySetAddress = "an https: address, such as https://id.example.com/keys";
const team = "the team's name, such as example of example.cloudflareaccess.com";

export const AuthSchema = v.variant("type", [
  v.strictObject({
    type: v.literal("development"),
    /** Not used; the type may come from the environment, and the file stays the same. */
    secret: v.optional(SecretSchema, "PROVISO_TOKENS"),
  }),
  v.strictObject({
    type: v.literal("token"),
    /** The secret (or variable) that holds the list of tokens. Its value never passes through this file. */
    secret: v.optional(SecretSchema, "PROVISO_TOKENS"),
  }),
  v.strictObject({
    type: v.literal("jwt"),
    issuer: text,
    /** Where the issuer publishes its keys (`jwks_uri` in its discovery document). */
    jwks: v.pipe(v.string(keySetAddress), v.check(isKeySetAddress, keySetAddress)),
    algorithms: v.optional(
      v.pipe(
        v.array(v.picklist(jwtAlgorithms, `${jwtAlgorithms.join(", ")}: a shared secret or none proves nobody`)),
        v.minLength(1, "at least one algorithm"),
      ),
      ["RS256", "ES256"],
    ),
    header: v.optional(HeaderSchema, "authorization"),
    ...signed,
  }),
  v.strictObject({
    type: v.literal("cloudflareAccess"),
    /** `example` of `example.cloudflareaccess.com`. */
    team: v.pipe(v.string(team), v.regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, team)),
    header: v.optional(HeaderSchema, "cf-access-jwt-assertion"),
    ...signed,
  }),
]);

const origin = "* or an origin such as https://console.example.com, without a path";

export const CorsSchema = v.strictObject({
  origins: v.pipe(
    v.array(
      v.pipe(
        v.string(),
        v.check((written) => written === "*" || isOrigin(written), origin),
      ),
    ),
    v.maxLength(limits.corsOrigins, `at most ${limits.corsOrigins} origins`),
  ),
  /** Lets pages of these origins send cookies, which Cloudflare Access needs. */
  credentials: v.optional(v.boolean(), false),
  /** How long a browser may remember the answer to a preflight. */
  maxAge: v.optional(upTo(86_400_000, "at most 1d"), "10m"),
});

const count = (most: number) =>
  v.pipe(v.number(), v.integer("a whole number"), v.minValue(1, `1 to ${most}`), v.maxValue(most, `1 to ${most}`));

const RateSchema = v.strictObject({
  /** In the long run. */
  perMinute: count(10_000_000),
  /** At once. */
  burst: count(1_000_000),
});

export const RateLimitsSchema = v.strictObject({
  /** By actor. */
  governance: v.optional(RateSchema, { perMinute: 600, burst: 200 }),
  /** By data-plane key; left out: without a limit. */
  dataPlane: v.exactOptional(RateSchema),
  /** Requests without a valid credential, by address. */
  failures: v.optional(RateSchema, { perMinute: 60, burst: 100 }),
});
