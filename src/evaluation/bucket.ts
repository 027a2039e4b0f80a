/**
 * From a subject to one of 10,000 buckets: murmur3 of `salt:purpose:subjectId`, modulo 10,000. Frozen by the golden
 * vectors in `test/conformance/vectors/bucketing.json`; another algorithm would be another `hashVersion`, never an edit.
 */
import { murmur3 } from "./murmur3.ts";
import { bucketCount } from "./rule-set.ts";

export const hashVersion = 1;

/**
 * Every decision hashes for its own purpose. With one hash for all, whoever is inside 10 percent traffic would all fall
 * into the first arm, and sampling would tilt the ratio that it is to measure.
 */
export const bucketPurposes = ["traffic", "variant", "exclusion", "sampling"] as const;
export type BucketPurpose = (typeof bucketPurposes)[number];

/** Hashes the part that all subjects share once; about half of the work of an evaluation is saved by that. */
export const bucketSeed = (salt: string, purpose: BucketPurpose): number => murmur3(`${salt}:${purpose}:`, 0);

/**
 * The subject's bucket under a seed of {@link bucketSeed}. Taking a 32-bit number modulo 10,000 favours the first
 * buckets by one part in 429,496, far below what any sample ratio test can see.
 *
 * @returns a whole number, 0 to 9,999
 */
export const bucketOf = (seed: number, subjectId: string): number => murmur3(subjectId, seed) % bucketCount;

/**
 * The bucket in one call, for tools and tests; evaluation keeps the seed.
 *
 * @example bucket("checkout-redesign", "traffic", "user-42") // 0 to 9999, the same in every process, for ever
 */
export const bucket = (salt: string, purpose: BucketPurpose, subjectId: string): number =>
  bucketOf(bucketSeed(salt, purpose), subjectId);
