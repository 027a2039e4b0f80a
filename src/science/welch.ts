/** Two means with unequal variances: the comparison for counts and continuous outcomes. */
import tCdf from "@stdlib/stats-base-dists-t-cdf";
import tQuantile from "@stdlib/stats-base-dists-t-quantile";
import { untestable, type Contrast } from "./contrast.ts";

/** Of one arm. `variance` is with n - 1; both are null where there are too few subjects to have one. */
export interface SampleMoments {
  readonly subjects: number;
  readonly mean: number | null;
  readonly variance: number | null;
}

/** One independent term of the variance of a difference: `variance` of the term, estimated on that many degrees. */
export interface VarianceTerm {
  readonly variance: number;
  readonly degreesOfFreedom: number;
}

/**
 * Tests a difference whose variance is a sum of independently estimated terms, with the degrees of freedom of
 * Satterthwaite (1946), not rounded.
 */
export const testDifference = (difference: number, terms: readonly VarianceTerm[], alpha: number): Contrast => {
  const variance = terms.reduce((sum, term) => sum + term.variance, 0);
  if (variance === 0) return untestable("no variation within the arms", difference);
  // Shares of the variance instead of its squares: squares of very small or large variances leave the doubles.
  const degreesOfFreedom =
    1 / terms.reduce((sum, term) => sum + (term.variance / variance) ** 2 / term.degreesOfFreedom, 0);
  const standardError = Math.sqrt(variance);
  const statistic = difference / standardError;
  const halfWidth = -tQuantile(alpha / 2, degreesOfFreedom) * standardError;
  return {
    difference,
    statistic,
    pValue: 2 * tCdf(-Math.abs(statistic), degreesOfFreedom),
    interval: [difference - halfWidth, difference + halfWidth],
    degreesOfFreedom,
  };
};

/**
 * The two terms of `variant - control`: each arm's s²/n on n - 1 degrees.
 *
 * @returns a reason when an arm has fewer than two subjects
 */
export const meanDifference = (
  variant: SampleMoments,
  control: SampleMoments,
): { readonly difference: number; readonly terms: readonly VarianceTerm[] } | Contrast => {
  if (variant.mean === null) return untestable("no subject in the variant");
  if (control.mean === null) return untestable("no subject in control");
  const difference = variant.mean - control.mean;
  if (variant.variance === null) return untestable("fewer than two subjects in the variant", difference);
  if (control.variance === null) return untestable("fewer than two subjects in control", difference);
  return {
    difference,
    terms: [
      { variance: variant.variance / variant.subjects, degreesOfFreedom: variant.subjects - 1 },
      { variance: control.variance / control.subjects, degreesOfFreedom: control.subjects - 1 },
    ],
  };
};

/**
 * Welch's t test (Welch 1947): difference of means, variances with n - 1, Welch-Satterthwaite degrees of freedom not
 * rounded, interval from the t quantile.
 *
 * @param alpha two-sided level of the interval
 * @returns nulls with a reason when an arm has fewer than two subjects, or neither varies
 * @example
 * welchTest({ subjects: 3, mean: 2, variance: 1 }, { subjects: 3, mean: 1, variance: 1 });
 * // { difference: 1, statistic: 1.22…, pValue: 0.287…, interval: [-1.26…, 3.26…], degreesOfFreedom: 4 }
 */
export const welchTest = (variant: SampleMoments, control: SampleMoments, alpha = 0.05): Contrast => {
  const compared = meanDifference(variant, control);
  return "terms" in compared ? testDifference(compared.difference, compared.terms, alpha) : compared;
};
