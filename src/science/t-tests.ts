/** Means of pairs, and of several groups. Two independent means are in `welch.ts`. */
import betainc from "@stdlib/math-base-special-betainc";
import { untestable, type Contrast } from "./contrast.ts";
import { testDifference, type SampleMoments } from "./welch.ts";

/**
 * Mean and variance (n − 1) of values, in two passes: the naive sum of squares gave a variance of −168 for a true 1.0.
 * Subject totals of a ledger have exact sums and `momentsOf`; this is for values at hand.
 */
export const momentsOfValues = (values: readonly number[]): SampleMoments => {
  const subjects = values.length;
  if (subjects === 0) return { subjects, mean: null, variance: null };
  const rough = values.reduce((sum, value) => sum + value, 0) / subjects;
  // What rounding left of the deviations' sum corrects the mean and the variance (Chan, Golub & LeVeque 1983).
  const rest = values.reduce((sum, value) => sum + (value - rough), 0);
  const squares = values.reduce((sum, value) => sum + (value - rough) ** 2, 0);
  return {
    subjects,
    mean: rough + rest / subjects,
    variance: subjects === 1 ? null : (squares - rest ** 2 / subjects) / (subjects - 1),
  };
};

/**
 * Student's paired t test (Student 1908): the mean of second − first against 0, on n − 1 degrees of freedom.
 *
 * @throws RangeError when the lists are not of one length
 * @example pairedTTest([1, 2, 3], [2, 4, 4]) // { difference: 1.33…, statistic: 4, pValue: 0.057…, degreesOfFreedom: 2, … }
 */
export const pairedTTest = (first: readonly number[], second: readonly number[], alpha = 0.05): Contrast => {
  if (first.length !== second.length)
    throw new RangeError(`pairs: ${first.length} first values, ${second.length} second`);
  const { subjects, mean, variance } = momentsOfValues(second.map((value, index) => value - (first[index] ?? 0)));
  if (mean === null) return untestable("no pair");
  if (variance === null) return untestable("fewer than two pairs", mean);
  return testDifference(mean, [{ variance: variance / subjects, degreesOfFreedom: subjects - 1 }], alpha);
};

/** A test of several groups at once: it says whether they differ, not by how much. */
export interface GroupTest {
  readonly statistic: number | null;
  readonly pValue: number | null;
  readonly degreesOfFreedom: readonly [between: number, within: number] | null;
  readonly reason?: string;
}

const without = (reason: string): GroupTest => ({ statistic: null, pValue: null, degreesOfFreedom: null, reason });

/** P(F > f), from the incomplete beta function: relatively accurate far in the tail. */
const fTail = (f: number, between: number, within: number): number =>
  betainc(within / (within + between * f), within / 2, between / 2, true, false);

/**
 * One-way analysis of variance with equal variances (Fisher 1925): k − 1 and N − k degrees of freedom.
 *
 * @returns nulls with a reason below two groups, without a subject more than groups, or when no group varies
 * @example oneWayAnova([[1, 2, 3], [2, 3, 4], [5, 6, 7]].map(momentsOfValues)).statistic // 13
 */
export const oneWayAnova = (groups: readonly SampleMoments[]): GroupTest => {
  const filled = groups.flatMap(({ subjects, mean, variance }) =>
    mean === null ? [] : [{ subjects, mean, variance }],
  );
  if (filled.length < groups.length) return without("a group has no subject");
  if (filled.length < 2) return without("fewer than two groups");
  const subjects = filled.reduce((sum, group) => sum + group.subjects, 0);
  const [between, within] = [filled.length - 1, subjects - filled.length];
  if (within === 0) return without("no group has two subjects");
  const grand = filled.reduce((sum, group) => sum + (group.subjects / subjects) * group.mean, 0);
  const explained = filled.reduce((sum, group) => sum + group.subjects * (group.mean - grand) ** 2, 0);
  const unexplained = filled.reduce((sum, group) => sum + (group.subjects - 1) * (group.variance ?? 0), 0);
  if (unexplained === 0) return without("no variation within the groups");
  const statistic = explained / between / (unexplained / within);
  return { statistic, pValue: fTail(statistic, between, within), degreesOfFreedom: [between, within] };
};
