/**
 * Signature algorithms that a deployment may pin. Asymmetric ones only: `none` proves nothing, and with HS* whoever can
 * check a token can make one. The configuration reads this list too, so it loads nothing.
 */
export const jwtAlgorithms = [
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
  "Ed25519",
] as const;

export type JwtAlgorithm = (typeof jwtAlgorithms)[number];

export const isJwtAlgorithm = (name: unknown): name is JwtAlgorithm =>
  typeof name === "string" && jwtAlgorithms.some((algorithm) => algorithm === name);

interface KeyFamily {
  readonly kty: "RSA" | "EC" | "OKP";
  readonly crv?: string;
}

const rsa: KeyFamily = { kty: "RSA" };
const ed25519: KeyFamily = { kty: "OKP", crv: "Ed25519" };

/** The kind of key that each algorithm takes. */
export const keyFamilies: Readonly<Record<JwtAlgorithm, KeyFamily>> = {
  RS256: rsa,
  RS384: rsa,
  RS512: rsa,
  PS256: rsa,
  PS384: rsa,
  PS512: rsa,
  ES256: { kty: "EC", crv: "P-256" },
  ES384: { kty: "EC", crv: "P-384" },
  ES512: { kty: "EC", crv: "P-521" },
  EdDSA: ed25519,
  Ed25519: ed25519,
};
