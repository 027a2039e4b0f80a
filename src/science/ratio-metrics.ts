/**
 * Ratios, by the delta method: a ratio of two means is not the mean of ratios, and its variance is not that of a
 * proportion of events. The unit is the subject (Deng, Knoblich & Lu 2018, "Applying the Delta Method in Metric
 * Analytics").
 */
import { untestable, type Contrast } from "./contrast.ts";
import { normalCritical, normalTwoSided } from "./normal.ts";
import { proportionVariance, type Proportion } from "./proportions.ts";
import type { SampleMoments } from "./welch.ts";

/** Numerator and denominator of one arm's subjects: moments with n − 1. */
export interface RatioMoments {
  readonly subjects: number;
  readonly numerator: { readonly mean: number; readonly variance: number };
  readonly denominator: { readonly mean: number; readonly variance: number };
  readonly covariance: number;
}

/**
 * Moments of pairs; null below two subjects.
 *
 * @throws RangeError when the lists are not of one length
 */
export const ratioMoments = (numerator: readonly number[], denominator: readonly number[]): RatioMoments | null => {
  const subjects = numerator.length;
  if (denominator.length !== subjects)
    throw new RangeError(`ratio: ${subjects} numerators, ${denominator.length} denominators`);
  if (subjects < 2) return null;
  const meanOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / subjects;
  const means = { numerator: meanOf(numerator), denominator: meanOf(denominator) };
  const together = (a: readonly number[], aMean: number, b: readonly number[], bMean: number): number =>
    a.reduce((sum, value, index) => sum + (value - aMean) * ((b[index] ?? 0) - bMean), 0) / (subjects - 1);
  return {
    subjects,
    numerator: {
      mean: means.numerator,
      variance: together(numerator, means.numerator, numerator, means.numerator),
    },
    denominator: {
      mean: means.denominator,
      variance: together(denominator, means.denominator, denominator, means.denominator),
    },
    covariance: together(numerator, means.numerator, denominator, means.denominator),
  };
};

/** One arm's ratio and the variance of its estimate. */
export interface RatioOfMeans {
  readonly value: number | null;
  readonly variance: number | null;
  readonly reason?: string;
}

/**
 * mean(numerator) / mean(denominator) with its delta-method variance.
 *
 * @example
 * ratioOfMeans(ratioMoments([3, 5, 2, 8, 6], [10, 12, 9, 20, 15]));
 * // { value: 0.3636…, variance: 0.000934… }
 */
export const ratioOfMeans = (moments: RatioMoments | null): RatioOfMeans => {
  if (moments === null) return { value: null, variance: null, reason: "fewer than two subjects" };
  const { subjects, numerator, denominator, covariance } = moments;
  if (denominator.mean === 0) return { value: null, variance: null, reason: "the denominator is 0" };
  const value = numerator.mean / denominator.mean;
  const spread = numerator.variance - 2 * value * covariance + value ** 2 * denominator.variance;
  // Rounding may leave a hair below 0 where the two go in step.
  const variance = Math.max(0, spread) / (subjects * denominator.mean ** 2);
  if (!Number.isFinite(value) || !Number.isFinite(variance))
    return { value: null, variance: null, reason: "the denominator is too near to 0" };
  return { value, variance };
};

/** Variant − control of a ratio metric; normal distribution. */
export const compareRatios = (variant: RatioMoments | null, control: RatioMoments | null, alpha = 0.05): Contrast => {
  const arms = [ratioOfMeans(variant), ratioOfMeans(control)] as const;
  const [v, c] = arms;
  if (v.value === null || v.variance === null) return untestable(`in the variant, ${v.reason ?? "no ratio"}`);
  if (c.value === null || c.variance === null) return untestable(`in control, ${c.reason ?? "no ratio"}`);
  const difference = v.value - c.value;
  const variance = v.variance + c.variance;
  if (variance === 0) return untestable("no variation within the arms", difference);
  const standardError = Math.sqrt(variance);
  const statistic = difference / standardError;
  const halfWidth = normalCritical(alpha) * standardError;
  return {
    difference,
    statistic,
    pValue: normalTwoSided(statistic),
    interval: [difference - halfWidth, difference + halfWidth],
  };
};

/** A mean and the variance of its estimate. */
export interface MeanEstimate {
  readonly mean: number;
  readonly variance: number;
}

/** (variant − control) / control. */
export interface RelativeDifference {
  readonly value: number | null;
  readonly interval: readonly [low: number, high: number] | null;
  readonly reason?: string;
}

/**
 * Relative difference of two independent means, with the delta-method interval on the scale of the ratio.
 *
 * @returns nulls with a reason when control's mean is 0, or so near to it that the answer is no number
 */
export const relativeDifference = (variant: MeanEstimate, control: MeanEstimate, alpha = 0.05): RelativeDifference => {
  if (control.mean === 0) return { value: null, interval: null, reason: "control is 0" };
  const value = (variant.mean - control.mean) / control.mean;
  const quotient = variant.mean / control.mean;
  const halfWidth =
    (normalCritical(alpha) * Math.sqrt(variant.variance + quotient ** 2 * control.variance)) / Math.abs(control.mean);
  // A share of next to nothing is more than a number can say.
  if (!Number.isFinite(value) || !Number.isFinite(halfWidth))
    return { value: null, interval: null, reason: "control is too near to 0" };
  return { value, interval: [value - halfWidth, value + halfWidth] };
};

const rateOf = (arm: Proportion): MeanEstimate => ({
  mean: arm.successes / arm.subjects,
  variance: proportionVariance(arm),
});

/** The same for proportions, variances unpooled. */
export const relativeDifferenceOfProportions = (
  variant: Proportion,
  control: Proportion,
  alpha = 0.05,
): RelativeDifference => {
  if (variant.subjects === 0 || control.subjects === 0)
    return { value: null, interval: null, reason: "an arm has no subject" };
  return relativeDifference(rateOf(variant), rateOf(control), alpha);
};

/** The same for means; variances with n − 1. */
export const relativeDifferenceOfMeans = (
  variant: SampleMoments,
  control: SampleMoments,
  alpha = 0.05,
): RelativeDifference => {
  if (variant.mean === null || control.mean === null || variant.variance === null || control.variance === null)
    return { value: null, interval: null, reason: "an arm has fewer than two subjects" };
  return relativeDifference(
    { mean: variant.mean, variance: variant.variance / variant.subjects },
    { mean: control.mean, variance: control.variance / control.subjects },
    alpha,
  );
};
