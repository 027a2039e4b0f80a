/** Two samples by ranks: for values whose mean means little. */
import { normalTwoSided } from "./normal.ts";

export interface RankTest {
  /** U of the first sample: pairs in which its value is the larger, ties counted one half. */
  readonly u: number | null;
  /** Two-sided, normal approximation without continuity correction. */
  readonly pValue: number | null;
  /** The same with the correction of 0.5 (R's default). */
  readonly pValueCorrected: number | null;
  readonly reason?: string;
}

const without = (reason: string): RankTest => ({ u: null, pValue: null, pValueCorrected: null, reason });

/**
 * Mann-Whitney's U (Mann & Whitney 1947), normal approximation with the variance corrected for ties
 * (Lehmann, Nonparametrics, §1.4): nm/12 · ((N + 1) − Σ(t³ − t) / (N(N − 1))). Both p values are given, because programs
 * differ in which they call *the* p value.
 *
 * @returns nulls with a reason without a value in both samples, or when all values are one
 * @example mannWhitney([1, 2, 5], [2, 3, 4]).u // 3.5
 */
export const mannWhitney = (first: readonly number[], second: readonly number[]): RankTest => {
  if (first.length === 0 || second.length === 0) return without("a sample has no value");
  const all = [...first.map((value) => ({ value, own: 1 })), ...second.map((value) => ({ value, own: 0 }))].toSorted(
    (a, b) => a.value - b.value,
  );
  const [n, m, total] = [first.length, second.length, all.length];
  let rankSum = 0;
  let ties = 0;
  for (let start = 0; start < total;) {
    let end = start;
    let own = 0;
    while (end < total && all[end]?.value === all[start]?.value) {
      own += all[end]?.own ?? 0;
      end += 1;
    }
    // Ranks start + 1 … end, and each of these has their mean. A value that equals nothing, not even itself, is no number.
    if (end === start) throw new RangeError("ranks: a value is not a number");
    const size = end - start;
    rankSum += own * ((start + 1 + end) / 2);
    ties += size ** 3 - size;
    start = end;
  }
  const u = rankSum - (n * (n + 1)) / 2;
  const variance = ((n * m) / 12) * (total + 1 - ties / (total * (total - 1)));
  if (!(variance > 0)) return { ...without("all values are the same"), u };
  const away = u - (n * m) / 2;
  const deviation = Math.sqrt(variance);
  return {
    u,
    pValue: normalTwoSided(away / deviation),
    // The correction goes towards the middle, and never past it: half a step from it is no evidence at all.
    pValueCorrected: normalTwoSided(Math.max(0, Math.abs(away) - 0.5) / deviation),
  };
};
