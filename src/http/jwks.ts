/**
 * The public keys of an issuer: fetched when first needed, kept, and fetched again when they are old or when a token
 * names a key that is not among them.
 *
 * In Workers a promise that one request made must not be awaited by another: it stops when that request ends. So what
 * is kept here are values (keys, and the times of attempts), never promises; two requests that come first fetch twice.
 */
import { type CryptoKey, importJWK } from "jose";
import * as v from "valibot";
import { ProvisoError } from "../errors.ts";
import { limits } from "../limits.ts";
import { readText } from "./body.ts";
import { type JwtAlgorithm, keyFamilies } from "./jwt-algorithms.ts";

export interface KeySetOptions {
  /** Where the key set is: `https:`, or `http:` on loopback. */
  readonly url: string;
  readonly fetch: (url: string, init: RequestInit) => Promise<Response>;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

export interface KeySet {
  /**
   * Keys that a token with this header may have been signed with; none for a `kid` that the issuer does not have.
   *
   * @throws ProvisoError `store-unavailable` while no keys are known because their server does not answer
   */
  find(header: { readonly alg: JwtAlgorithm; readonly kid?: string | undefined }): Promise<readonly CryptoKey[]>;
}

const freshMsMax = 600_000;
const freshMsMin = 60_000;
/** Between two fetches for a `kid` that is not known, or of old keys from a server that failed. */
const cooldownMs = 30_000;
/** After a failure with nothing to fall back on. */
const retryMs = 5_000;
/** While the server is away its last answer is good for this long: a key that was revoked must end some day. */
const staleMsMax = 86_400_000;
const timeoutMs = 5_000;
/** Keys of one `kid` that are tried. */
const candidatesMax = 4;

const common = {
  kid: v.exactOptional(v.string()),
  alg: v.exactOptional(v.string()),
  use: v.exactOptional(v.string()),
  key_ops: v.exactOptional(v.array(v.string())),
};

/** The public members. A secret key is no member of this list, and whatever else a key says is dropped. */
const PublicKeySchema = v.variant("kty", [
  v.object({ kty: v.literal("RSA"), n: v.string(), e: v.string(), ...common }),
  v.object({ kty: v.literal("EC"), crv: v.string(), x: v.string(), y: v.string(), ...common }),
  v.object({ kty: v.literal("OKP"), crv: v.string(), x: v.string(), ...common }),
]);
type PublicKey = v.InferOutput<typeof PublicKeySchema>;

const KeySetSchema = v.object({
  keys: v.pipe(v.array(v.record(v.string(), v.unknown())), v.maxLength(limits.keySetKeys)),
});

/** A key that cannot be read is left out, so that one of a new kind does not lock everybody out. */
const publicKeys = (body: unknown): readonly PublicKey[] =>
  v.parse(KeySetSchema, body).keys.flatMap((key) => {
    const parsed = v.safeParse(PublicKeySchema, key);
    // A published private key is everybody's key.
    return parsed.success && !Object.hasOwn(key, "d") ? [parsed.output] : [];
  });

const sameAlgorithm = (left: string, right: string): boolean =>
  left === right || [left, right].every((name) => name === "EdDSA" || name === "Ed25519");

const fits = (key: PublicKey, alg: JwtAlgorithm): boolean => {
  const family = keyFamilies[alg];
  return (
    key.kty === family.kty &&
    (family.crv === undefined || ("crv" in key && key.crv === family.crv)) &&
    (key.alg === undefined || sameAlgorithm(key.alg, alg)) &&
    (key.use === undefined || key.use === "sig") &&
    (key.key_ops === undefined || key.key_ops.includes("verify"))
  );
};

/** How long an answer is fresh: what it says of itself, within bounds of ours. */
const freshMsOf = (response: Response): number => {
  const header = response.headers.get("cache-control") ?? "";
  if (/\bno-(store|cache)\b/i.test(header)) return freshMsMin;
  const seconds = /\bmax-age=(\d{1,9})\b/i.exec(header)?.[1];
  return seconds === undefined ? freshMsMax : Math.min(freshMsMax, Math.max(freshMsMin, Number(seconds) * 1_000));
};

interface Held {
  readonly keys: readonly PublicKey[];
  /** Imported keys by place in `keys` and algorithm. */
  readonly imported: Map<string, CryptoKey>;
  readonly readAt: number;
  readonly freshUntil: number;
}

const away = (message: string, retryAfterMs: number, cause?: unknown): ProvisoError =>
  new ProvisoError(
    "store-unavailable",
    message,
    { retryAfterSeconds: Math.max(1, Math.ceil(retryAfterMs / 1_000)) },
    cause === undefined ? {} : { cause },
  );
const unreachable = "the keys of the token's issuer cannot be read now";

/** Nothing is fetched before the first {@link KeySet.find}. */
export const createKeySet = ({ url, fetch, now }: KeySetOptions): KeySet => {
  let held: Held | undefined;
  let askedAt = Number.NEGATIVE_INFINITY;
  let failedAt = Number.NEGATIVE_INFINITY;
  /** A request that is cut off in its fetch never says so; after the timeout it counts as over. */
  let busyUntil = Number.NEGATIVE_INFINITY;

  const read = async (): Promise<Held> => {
    const startedAt = now();
    askedAt = startedAt;
    busyUntil = startedAt + timeoutMs;
    try {
      const response = await fetch(url, {
        headers: { accept: "application/json, application/jwk-set+json" },
        // Following one would let another host name the keys.
        redirect: "manual",
        signal: AbortSignal.timeout(timeoutMs),
      });
      if (response.status !== 200) throw new TypeError(`key set: status ${response.status}`);
      const keys = publicKeys(JSON.parse(await readText(response, limits.keySetBytes)));
      const next = { keys, imported: new Map(), readAt: startedAt, freshUntil: startedAt + freshMsOf(response) };
      // An answer that was overtaken on its way is older than what is here.
      if (held === undefined || held.readAt <= startedAt) held = next;
      failedAt = Number.NEGATIVE_INFINITY;
      return held;
    } catch (cause) {
      failedAt = now();
      throw away(unreachable, retryMs, cause);
    } finally {
      busyUntil = Number.NEGATIVE_INFINITY;
    }
  };

  const mayAsk = (): boolean => now() - askedAt >= cooldownMs;

  /** The keys, read again where they are old. Old ones are better than none. */
  const current = async (): Promise<Held> => {
    if (held === undefined || now() - held.readAt >= staleMsMax) {
      const wait = failedAt + retryMs - now();
      if (wait > 0) throw away(unreachable, wait);
      return read();
    }
    if (now() < held.freshUntil || !mayAsk()) return held;
    const old = held;
    return read().catch(() => old);
  };

  const select = async ({ keys, imported }: Held, alg: JwtAlgorithm, kid?: string): Promise<readonly CryptoKey[]> => {
    const fitting = keys.flatMap((key, index) =>
      fits(key, alg) && (kid === undefined || key.kid === kid) ? [{ key, index }] : [],
    );
    // Without a name there must be no doubt which key is meant.
    if (kid === undefined && fitting.length !== 1) return [];
    const selected: CryptoKey[] = [];
    for (const { key, index } of fitting.slice(0, candidatesMax)) {
      const place = `${alg} ${index}`;
      const known = imported.get(place);
      const usable = known ?? (await importJWK(key, alg).catch(() => undefined));
      if (usable === undefined || usable instanceof Uint8Array || usable.type !== "public") continue;
      imported.set(place, usable);
      selected.push(usable);
    }
    return selected;
  };

  return {
    async find({ alg, kid }) {
      const before = await current();
      const selected = await select(before, alg, kid);
      if (selected.length > 0 || before.keys.some((key) => key.kid === kid)) return selected;
      // The issuer may have a new key. Whoever invents names makes us ask once in a while, not each time.
      if (now() < busyUntil) throw away("the keys of the token's issuer are being read again", 1_000);
      if (!mayAsk()) {
        if (failedAt >= askedAt) throw away(unreachable, askedAt + cooldownMs - now());
        return [];
      }
      return select(await read(), alg, kid);
    },
  };
};
