/** The sample ratio by Pearson's chi-square: the test for a single reading. */
import gammainc from "@stdlib/math-base-special-gammainc";
import { checkCounts, normalizeShares } from "./shares.ts";

/** Below this expected count the chi-square approximation is not to be trusted (Cochran 1954). */
const minimumExpected = 5;

/** All numbers, or nulls with a reason. A planned share of 0 with a subject has `pValue` 0 and no statistic. */
export interface ChiSquare {
  readonly statistic: number | null;
  readonly degreesOfFreedom: number | null;
  readonly pValue: number | null;
  readonly reason?: string;
}

const without = (reason: string, pValue: number | null = null): ChiSquare => ({
  statistic: null,
  degreesOfFreedom: null,
  pValue,
  reason,
});

/** Upper tail of the chi-square distribution, relatively accurate down to the smallest doubles. */
const chiSquareTail = (statistic: number, degreesOfFreedom: number): number =>
  gammainc(statistic / 2, degreesOfFreedom / 2, true, true);

/**
 * Pearson's goodness of fit of distinct subjects to the planned shares, without correction, arms - 1 degrees of
 * freedom (Pearson 1900). Valid for one reading at a time that was not chosen by the data; for repeated readings
 * see `sequential-srm.ts`. Arms planned at 0 without a subject are left out.
 *
 * @param counts distinct subjects of each arm
 * @param planned share of each arm, in the same order and on any scale
 * @returns nulls with a reason when an expected count is below 5 or fewer than two arms are planned
 * @throws RangeError for shares or counts that cannot be (negative, fractional subjects, different lengths)
 * @example chiSquareSampleRatio([44_700, 45_489], [1, 1]) // { statistic: 6.9024…, degreesOfFreedom: 1, pValue: 0.0086… }
 */
export const chiSquareSampleRatio = (counts: readonly number[], planned: readonly number[]): ChiSquare => {
  const shares = normalizeShares(planned);
  checkCounts(counts, shares.length);
  const arms = shares.map((share, index) => ({ share, count: counts[index] ?? 0 }));
  if (arms.some(({ share, count }) => share === 0 && count > 0)) {
    return without("a subject in an arm whose planned share is 0: no chance deviation explains it", 0);
  }
  const total = counts.reduce((sum, count) => sum + count, 0);
  const expected = arms
    .filter(({ share }) => share > 0)
    .map(({ share, count }) => ({ count, expected: share * total }));
  if (expected.length < 2) return without("fewer than two arms have a planned share above 0");
  if (expected.some((arm) => arm.expected < minimumExpected)) {
    return without(`an arm expects fewer than ${minimumExpected} subjects: too few for this test`);
  }
  const statistic = expected.reduce((sum, arm) => sum + (arm.count - arm.expected) ** 2 / arm.expected, 0);
  const degreesOfFreedom = expected.length - 1;
  return { statistic, degreesOfFreedom, pValue: chiSquareTail(statistic, degreesOfFreedom) };
};
