/** An issuer of signed tokens, with keys made here and a key set that can change, be slow or be away. */
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, SignJWT } from "jose";

export interface SigningKey {
  readonly kid: string;
  readonly alg: string;
  readonly privateKey: CryptoKey;
  readonly jwk: JWK;
}

export const makeKey = async (kid: string, alg = "RS256"): Promise<SigningKey> => {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  return { kid, alg, privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg, use: "sig" } };
};

export const issuer = "https://id.example.com";
export const audience = "proviso";
export const jwksUri = `${issuer}/keys`;

/** 2026-11-21T12:00:00Z */
export const noon = Date.UTC(2026, 10, 21, 12);

export interface TokenChanges {
  readonly claims?: Readonly<Record<string, unknown>>;
  readonly header?: Readonly<Record<string, unknown>>;
}

/** A token that every check passes, but for what is changed; a claim of `undefined` is left out. */
export const tokenOf = ({ kid, alg, privateKey }: SigningKey, { claims = {}, header = {} }: TokenChanges = {}) => {
  const seconds = noon / 1_000;
  const usual = { iss: issuer, aud: audience, sub: "ada", roles: ["editor"], iat: seconds, exp: seconds + 300 };
  return new SignJWT({ ...usual, ...claims }).setProtectedHeader({ alg, kid, typ: "JWT", ...header }).sign(privateKey);
};

/** The clock and the key server that an identity is given. */
export const createWorld = (keys: readonly unknown[] = []) => {
  const requests: { readonly url: string; readonly init: RequestInit }[] = [];
  const world = {
    at: noon,
    keys,
    requests,
    /** What the server answers instead of its keys. */
    answer: undefined as (() => Response | Promise<Response>) | undefined,
    now: () => world.at,
    fetch: async (url: string, init: RequestInit): Promise<Response> => {
      requests.push({ url, init });
      return world.answer === undefined ? Response.json({ keys: world.keys }) : world.answer();
    },
  };
  return world;
};

export const bearer = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` });
