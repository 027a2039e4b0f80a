/** Token buckets in memory: each caller may do so much at once, and so much in the long run. */
import { limits } from "../limits.ts";

export interface RateLimiterOptions {
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** The most at once. */
  readonly capacity: number;
  readonly refillPerSecond: number;
  /** Callers that are remembered; the one who was away longest is forgotten, and then has a full bucket. */
  readonly entriesMax?: number;
}

export interface RateLimiter {
  /** Takes one. 0 when there was one, else whole seconds until there is, and nothing is taken. */
  take(key: string): number;
  /** What {@link RateLimiter.take} would answer, taking nothing. */
  wait(key: string): number;
}

interface Bucket {
  readonly tokens: number;
  readonly at: number;
}

/**
 * It counts what this isolate or process saw and nothing else.
 *
 * @example const limiter = createRateLimiter({ now: Date.now, capacity: 200, refillPerSecond: 10 });
 *   if (limiter.take(actor.id) > 0) refuse();
 */
export const createRateLimiter = ({
  now,
  capacity,
  refillPerSecond,
  entriesMax = limits.rateLimitEntries,
}: RateLimiterOptions): RateLimiter => {
  if (!(capacity >= 1 && refillPerSecond > 0 && entriesMax >= 1))
    throw new RangeError("rate limiter: a capacity of at least 1, a refill above 0 and room for one entry");
  /** In the order of the last take. */
  const buckets = new Map<string, Bucket>();
  const tokensOf = (key: string, time: number): number => {
    const bucket = buckets.get(key);
    if (bucket === undefined) return capacity;
    // A clock that was set back refills nothing.
    const seconds = Math.max(0, time - bucket.at) / 1_000;
    return Math.min(capacity, bucket.tokens + seconds * refillPerSecond);
  };
  const secondsUntilOne = (tokens: number): number =>
    tokens >= 1 ? 0 : Math.max(1, Math.ceil((1 - tokens) / refillPerSecond));
  return {
    take(key) {
      const time = now();
      const tokens = tokensOf(key, time);
      buckets.delete(key);
      buckets.set(key, { tokens: tokens >= 1 ? tokens - 1 : tokens, at: time });
      const [oldest] = buckets.keys();
      if (buckets.size > entriesMax && oldest !== undefined) buckets.delete(oldest);
      return secondsUntilOne(tokens);
    },
    wait: (key) => secondsUntilOne(tokensOf(key, now())),
  };
};

/** What an app counts; a part that is left out is not limited. */
export interface RateLimits {
  /** By tenant of the credential and actor. */
  readonly governance?: RateLimiter;
  /** By scope of the credential and key. */
  readonly dataPlane?: RateLimiter;
  /** Requests that nobody stands behind, by the address they come from. */
  readonly failures?: {
    readonly limiter: RateLimiter;
    /** The caller's address where the host knows it for sure; undefined counts nothing. Never a header that callers set. */
    readonly addressOf: (request: Request) => string | undefined;
  };
}

/**
 * What one caller's addresses have in common: the address itself, or the /64 of an IPv6 address, since whoever has one
 * has all of it.
 *
 * @example addressGroup("2001:db8::7") // "2001:db8:0:0"
 */
export const addressGroup = (address: string): string => {
  const [head = "", tail] = address.toLowerCase().split("::");
  if (!address.includes(":")) return address;
  const first = head === "" ? [] : head.split(":");
  const last = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - first.length - last.length);
  return [...first, ...Array.from({ length: zeros }, () => "0"), ...last].slice(0, 4).join(":");
};
