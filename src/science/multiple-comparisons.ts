/**
 * Several comparisons at once. Primary metrics × arms by Holm; secondary ones by Benjamini-Hochberg, and labelled
 * exploratory; guardrails uncorrected, because all of them must hold. Adjusted p values, in the order of the input: each
 * is compared with the level itself.
 */

const check = (pValues: readonly number[]): void => {
  if (!pValues.every((p) => p >= 0 && p <= 1)) throw new RangeError("p values: 0 to 1");
};

/** Adjusts in order of size, and puts the answers where their p values stood. */
const inOrder = (
  pValues: readonly number[],
  adjust: (sorted: readonly number[]) => readonly number[],
): readonly number[] => {
  check(pValues);
  const order = pValues.map((p, index) => ({ p, index })).toSorted((a, b) => a.p - b.p);
  const adjusted = adjust(order.map(({ p }) => p));
  const answer = Array.from(pValues);
  for (const [rank, { index }] of order.entries()) answer[index] = Math.min(1, adjusted[rank] ?? 1);
  return answer;
};

/** Each times their number (Bonferroni 1936; Dunn 1961). */
export const bonferroni = (pValues: readonly number[]): readonly number[] => {
  check(pValues);
  return pValues.map((p) => Math.min(1, p * pValues.length));
};

/**
 * Holm's step-down (Holm 1979): the chance of any false discovery stays under the level, whatever their dependence, and
 * nothing is lost against Bonferroni.
 *
 * @example holm([0.01, 0.04, 0.03]) // [0.03, 0.06, 0.06]
 */
export const holm = (pValues: readonly number[]): readonly number[] =>
  inOrder(pValues, (sorted) => {
    let highest = 0;
    return sorted.map((p, rank) => (highest = Math.max(highest, p * (sorted.length - rank))));
  });

/**
 * Benjamini & Hochberg's step-up (1995): the expected share of false ones among the discoveries stays under the level.
 *
 * @example benjaminiHochberg([0.01, 0.04, 0.03]) // [0.03, 0.04, 0.04]
 */
export const benjaminiHochberg = (pValues: readonly number[]): readonly number[] =>
  inOrder(pValues, (sorted) => {
    let lowest = 1;
    return sorted
      .map((p, rank) => (p * sorted.length) / (rank + 1))
      .toReversed()
      .map((p) => (lowest = Math.min(lowest, p)))
      .toReversed();
  });
