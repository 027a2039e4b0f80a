/** Identity by signed token (JWT, RFC 7519): any issuer with a published key set, or Cloudflare Access. */
import { decodeProtectedHeader, errors, jwtVerify } from "jose";
import { ProvisoError } from "../errors.ts";
import { limits } from "../limits.ts";
import { admittedAs, type Identity, isDataPlaneRole, type Principal } from "./identity.ts";
import { createKeySet, type KeySetOptions } from "./jwks.ts";
import { isKeySetAddress, type JwtHeader } from "./jwt-address.ts";
import { isJwtAlgorithm, type JwtAlgorithm, jwtAlgorithms } from "./jwt-algorithms.ts";
import { type ClaimsMapping, principalOf } from "./jwt-claims.ts";

/** Claims and keys are checked alike for every issuer; this is what differs. */
export interface JwtIdentityOptions {
  /** Exactly the `iss` of the tokens. */
  readonly issuer: string;
  /** The `aud` of tokens meant for this deployment; with several, any one of them. */
  readonly audience: string | readonly string[];
  /** Where the issuer publishes its keys: `https:`, or `http:` on loopback. */
  readonly jwksUri: string;
  /** Default RS256 and ES256. `none` and HS* are refused. */
  readonly algorithms?: readonly string[];
  /** How far the clocks of issuer and deployment may differ, in seconds; default 60, at most 300. */
  readonly clockSkewSeconds?: number;
  readonly claims?: ClaimsMapping;
  /** Default `authorization`, as `Bearer <token>`. */
  readonly header?: JwtHeader;
  /** Data-plane keys beside the tokens, such as `tokenIdentity(…)`: they open no governance. */
  readonly keys?: Pick<Identity, "admit">;
  readonly fetch: KeySetOptions["fetch"];
  readonly now: () => number;
}

const misconfigured = (message: string): ProvisoError => new ProvisoError("invalid-dsl", `jwt identity: ${message}`);

const skewSecondsMax = 300;

const algorithmsOf = (names: readonly string[]): readonly JwtAlgorithm[] => {
  const algorithms = names.filter(isJwtAlgorithm);
  if (algorithms.length === 0 || algorithms.length !== names.length)
    throw misconfigured(`algorithms are one or more of ${jwtAlgorithms.join(", ")}`);
  return algorithms;
};

const unauthenticated = (message: string): ProvisoError => new ProvisoError("unauthenticated", message);

/** RFC 8725 §3.11: tokens of other kinds (logout tokens, proofs) may come from the same issuer with the same keys. */
const isAccepted = (typ: unknown): boolean =>
  typ === undefined || (typeof typ === "string" && /^(application\/)?(at\+)?jwt$/i.test(typ));

interface Header {
  readonly alg: JwtAlgorithm;
  readonly kid?: string;
}

const headerOf = (token: string, algorithms: readonly JwtAlgorithm[]): Header => {
  let header: Readonly<Record<string, unknown>>;
  try {
    header = { ...decodeProtectedHeader(token) };
  } catch {
    throw unauthenticated("the token is not a JWT");
  }
  const { alg, kid, typ } = header;
  if (!isJwtAlgorithm(alg) || !algorithms.includes(alg))
    throw unauthenticated("the token is signed in a way that is not accepted here");
  if (!isAccepted(typ)) throw unauthenticated("the token is of another type than JWT");
  if (kid === undefined) return { alg };
  if (typeof kid !== "string" || kid.length > limits.keyIdCharacters)
    throw unauthenticated("the token's key id (kid) is not valid");
  return { alg, kid };
};

/** Says which check failed. What the token holds stays out of it. */
const refusal = (error: unknown): ProvisoError => {
  if (error instanceof errors.JWTExpired) return unauthenticated("the token has expired");
  if (error instanceof errors.JWTClaimValidationFailed)
    return unauthenticated(`the token's claim ${error.claim} is missing or not valid here`);
  if (error instanceof errors.JWSSignatureVerificationFailed)
    return unauthenticated("the token's signature is not valid");
  return unauthenticated("the token is not a valid JWT");
};

const jwtShape = /^[\w-]+\.[\w-]+\.[\w-]*$/;

const bearerOf = (request: Request): string | undefined =>
  /^Bearer ([\x21-\x7e]+)$/i.exec(request.headers.get("authorization") ?? "")?.[1];

const howToSend: Readonly<Record<JwtHeader, string>> = {
  authorization: "send a token: Authorization: Bearer …",
  "cf-access-jwt-assertion": "there is no token of Cloudflare Access: this deployment is reached through Access only",
};

/**
 * Believes tokens that the issuer signed for this deployment. Nothing is fetched before the first request.
 *
 * `authenticate` and `admit` reject with `unauthenticated` for a token that is not valid, and with `store-unavailable`
 * while the issuer's keys cannot be read.
 *
 * @example jwtIdentity({ issuer: "https://id.example.com", audience: "proviso", jwksUri: "https://id.example.com/keys", fetch, now: Date.now })
 * @throws ProvisoError `invalid-dsl` for options that no token could be trusted under
 */
export const jwtIdentity = (options: JwtIdentityOptions): Identity => {
  const { issuer, jwksUri, claims: mapping = {}, header: from = "authorization", keys, now } = options;
  const algorithms = algorithmsOf(options.algorithms ?? ["RS256", "ES256"]);
  const audience = typeof options.audience === "string" ? [options.audience] : [...options.audience];
  const clockTolerance = options.clockSkewSeconds ?? 60;
  if (issuer === "") throw misconfigured("an issuer");
  if (audience.length === 0 || audience.includes("")) throw misconfigured("an audience");
  if (!(clockTolerance >= 0 && clockTolerance <= skewSecondsMax))
    throw misconfigured(`a clock skew of 0 to ${skewSecondsMax} seconds`);
  if (!isKeySetAddress(jwksUri)) throw misconfigured("a key set at an https: address");
  const keySet = createKeySet({ url: jwksUri, fetch: options.fetch, now });

  const verify = async (token: string): Promise<Readonly<Record<string, unknown>>> => {
    const header = headerOf(token, algorithms);
    let problem: unknown;
    for (const key of await keySet.find(header)) {
      try {
        const { payload } = await jwtVerify(token, key, {
          algorithms: [header.alg],
          issuer,
          audience,
          clockTolerance,
          currentDate: new Date(now()),
          requiredClaims: ["exp"],
        });
        return payload;
      } catch (error) {
        problem = error;
        // Claims are judged once the signature is good. Before that, another key of the same name may be the one.
        if (error instanceof errors.JWTClaimValidationFailed || error instanceof errors.JWTExpired) break;
      }
    }
    throw problem === undefined ? unauthenticated("the token's key is not one of its issuer") : refusal(problem);
  };

  const principal = async (request: Request): Promise<Principal> => {
    const token = from === "authorization" ? bearerOf(request) : (request.headers.get(from) ?? undefined);
    if (token === undefined) throw unauthenticated(howToSend[from]);
    if (token.length > limits.credentialCharacters)
      throw unauthenticated(`a token of at most ${limits.credentialCharacters} characters`);
    return principalOf(await verify(token), mapping);
  };

  return {
    async authenticate(request) {
      const { actor, pin } = await principal(request);
      return {
        actor: { ...actor, roles: actor.roles.filter((role) => !isDataPlaneRole(role)) },
        pin,
      };
    },
    async admit(request, use) {
      const bearer = bearerOf(request);
      if (keys !== undefined && bearer !== undefined && !jwtShape.test(bearer)) return keys.admit(request, use);
      const { actor, pin } = await principal(request);
      const sender = admittedAs(actor.roles, use);
      if (sender === null) throw new ProvisoError("forbidden", `this takes the role or a key for ${use}`);
      return { ...pin, key: actor.id, sender };
    },
  };
};

export interface CloudflareAccessOptions extends Omit<JwtIdentityOptions, "issuer" | "jwksUri" | "algorithms"> {
  /** The team name: `example` of `example.cloudflareaccess.com`. */
  readonly team: string;
}

/**
 * {@link jwtIdentity} as Cloudflare Access needs it: people are their email address, service tokens their
 * `common_name` (kind service), and the token comes in the header that Access adds.
 */
export const cloudflareAccessIdentity = ({ team, claims, ...options }: CloudflareAccessOptions): Identity => {
  // It becomes part of an address.
  if (!/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(team)) throw misconfigured("the name of an Access team");
  const issuer = `https://${team}.cloudflareaccess.com`;
  return jwtIdentity({
    header: "cf-access-jwt-assertion",
    ...options,
    issuer,
    jwksUri: `${issuer}/cdn-cgi/access/certs`,
    algorithms: ["RS256"],
    claims: { actor: "email", service: "common_name", roles: ["/custom/roles"], ...claims },
  });
};
