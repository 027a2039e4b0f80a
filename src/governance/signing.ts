/**
 * Ed25519 over heads, checkpoints and exports. A chain alone shows nothing to whoever could have hashed all of it anew;
 * a signature shows that a holder of the key has seen exactly this.
 */
import { calculateJwkThumbprint, type CryptoKey, exportJWK, importJWK, importPKCS8, importSPKI, type JWK } from "jose";
import * as v from "valibot";
import { canonicalJson } from "../canonical.ts";
import { ProvisoError } from "../errors.ts";
import { limits } from "../limits.ts";
import type { ExperimentRef } from "../scope.ts";
import type { Head, Signature } from "./store.ts";

export interface Verifying {
  readonly keyId: string;
  /** False for a signature by another key, or of another text. */
  verify(text: string, signature: Signature): Promise<boolean>;
}

export interface Signer extends Verifying {
  sign(text: string): Promise<Signature>;
  /** JWK, for whoever verifies. */
  readonly publicKey: Readonly<JWK>;
}

const algorithm = "Ed25519";

const encode = (bytes: ArrayBuffer): string =>
  btoa(String.fromCharCode(...new Uint8Array(bytes)))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replace(/=+$/, "");

const decode = (text: string): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (character) => character.charCodeAt(0));

const utf8 = new TextEncoder();

/** The name of the key is signed too, so that nobody gives a signature another one. */
const signed = (keyId: string, text: string): string => canonicalJson({ keyId, text });

const verifying = (key: CryptoKey, keyId: string): Verifying => ({
  keyId,
  async verify(text, signature) {
    try {
      const bytes = utf8.encode(signed(signature.keyId, text));
      return await crypto.subtle.verify(algorithm, key, decode(signature.value), bytes);
    } catch {
      // No base64, or no signature's length.
      return false;
    }
  },
});

/** A key's own name: its thumbprint (RFC 7638). Two keys never share it. */
const nameOf = async (publicKey: JWK): Promise<string> => calculateJwkThumbprint(publicKey);

/** Its message says what was wanted and nothing of what was given: that may be a secret. */
const refused = (wanted: string, cause?: unknown): ProvisoError =>
  new ProvisoError("invalid-dsl", `expected ${wanted}`, {}, { cause });

const isKey = (key: CryptoKey | Uint8Array, type: "public" | "private"): key is CryptoKey =>
  !(key instanceof Uint8Array) && key.type === type && key.algorithm.name === algorithm;

const JwkSchema = v.object({
  kty: v.literal("OKP"),
  crv: v.literal(algorithm),
  x: v.string(),
  d: v.exactOptional(v.string()),
});

const parseJwk = (text: string): JWK => v.parse(JwkSchema, JSON.parse(text));

const publicPart = ({ kty, crv, x }: JWK): JWK => {
  if (kty === undefined || crv === undefined || x === undefined) throw new TypeError("a JWK without its public part");
  return { kty, crv, x };
};

/**
 * @param secret an Ed25519 private key: PKCS8 as PEM, or a JWK as JSON text
 * @param keyId how signatures name it; left out, its thumbprint
 * @throws ProvisoError `invalid-dsl`
 */
export const createSigner = async (secret: string, keyId?: string): Promise<Signer> => {
  const wanted = "an Ed25519 private key: PKCS8 as PEM, or a JWK";
  try {
    const text = secret.trim();
    const whole = text.startsWith("-----")
      ? await exportJWK(await importPKCS8(text, algorithm, { extractable: true }))
      : parseJwk(text);
    const jwk = publicPart(whole);
    const key = await importJWK({ ...whole, alg: algorithm }, algorithm);
    const publicKey = await importJWK({ ...jwk, alg: algorithm }, algorithm);
    if (!isKey(key, "private") || !isKey(publicKey, "public")) throw refused(wanted);
    const name = keyId ?? (await nameOf(jwk));
    if (name.length === 0 || name.length > limits.keyIdCharacters)
      throw refused(`a key id of 1 to ${limits.keyIdCharacters} characters`);
    return {
      ...verifying(publicKey, name),
      publicKey: { ...jwk, alg: algorithm, use: "sig", kid: name },
      sign: async (statement) => ({
        keyId: name,
        value: encode(await crypto.subtle.sign(algorithm, key, utf8.encode(signed(name, statement)))),
      }),
    };
  } catch (cause) {
    throw cause instanceof ProvisoError ? cause : refused(wanted, cause);
  }
};

/**
 * @param text an Ed25519 public key: SPKI as PEM, or a JWK as JSON text
 * @throws ProvisoError `invalid-dsl`
 */
export const readPublicKey = async (text: string): Promise<Verifying> => {
  const wanted = "an Ed25519 public key: SPKI as PEM, or a JWK";
  try {
    const given = text.trim();
    const key = given.startsWith("-----")
      ? await importSPKI(given, algorithm, { extractable: true })
      : await importJWK({ ...publicPart(parseJwk(given)), alg: algorithm }, algorithm);
    if (!isKey(key, "public")) throw refused(wanted);
    return verifying(key, await nameOf(publicPart(await exportJWK(key))));
  } catch (cause) {
    throw cause instanceof ProvisoError ? cause : refused(wanted, cause);
  }
};

const place = ({ tenant, environment, experiment }: ExperimentRef) => ({ tenant, environment, experiment });

/** What is signed of a head. Its first word keeps one kind of signature from being taken for another. */
export const headStatement = (ref: ExperimentRef, { seq, hash }: Head): string =>
  canonicalJson({ purpose: "proviso head 1", ref: place(ref), seq, hash });

/** A head, and a signature of it, for keeping in another place than the store. */
export const signHead = async (
  signer: Signer,
  ref: ExperimentRef,
  { seq, hash }: Head,
): Promise<{ readonly seq: number; readonly hash: string; readonly signature: Signature }> => ({
  seq,
  hash,
  signature: await signer.sign(headStatement(ref, { seq, hash })),
});
