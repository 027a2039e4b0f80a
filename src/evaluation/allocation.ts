/** From relative weights to whole buckets. The planned share of an arm is its buckets / 10,000, not its weight. */
import { bucketCount } from "./rule-set.ts";

/**
 * Splits the 10,000 buckets by weight: floors first, then the left-over buckets to the largest remainders, earlier
 * variants first on a tie.
 *
 * @param weights relative, not negative, at least one above 0
 * @example allocateBuckets([1, 1, 1]) // [3334, 3333, 3333]
 */
export const allocateBuckets = (weights: readonly number[]): readonly number[] => {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  // Weights may each be finite and their sum not.
  if (total === Infinity) return allocateBuckets(weights.map((weight) => weight / Number.MAX_VALUE));
  const exact = weights.map((weight) => (weight / total) * bucketCount);
  const buckets = exact.map(Math.floor);
  const left = bucketCount - buckets.reduce((sum, count) => sum + count, 0);
  exact
    .map((share, index) => ({ index, remainder: share - Math.floor(share) }))
    .toSorted((a, b) => b.remainder - a.remainder || a.index - b.index)
    .slice(0, left)
    .forEach(({ index }) => {
      buckets[index] = (buckets[index] ?? 0) + 1;
    });
  return buckets;
};
