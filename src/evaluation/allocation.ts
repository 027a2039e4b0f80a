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

/**
 * The planned share of each variant, in order of the configuration: its buckets of all 10,000.
 *
 * @example plannedShares([{ key: "a", weight: 1 }, { key: "b", weight: 3 }]) // [{ variant: "a", share: 0.25 }, …]
 */
export const plannedShares = (
  variants: readonly { readonly key: string; readonly weight: number }[],
): readonly { readonly variant: string; readonly share: number }[] => {
  const buckets = allocateBuckets(variants.map(({ weight }) => weight));
  return variants.map(({ key }, index) => ({ variant: key, share: (buckets[index] ?? 0) / bucketCount }));
};
