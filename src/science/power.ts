/**
 * Power and sample sizes. Power is always of the effect that was declared worth finding, at the observed variance of
 * control; power "of the observed effect" is a p value in other words (Hoenig & Heisey 2001). Sample sizes are not
 * rounded: whoever shows them rounds up, and whoever checks them sees why.
 */
import tQuantile from "@stdlib/stats-base-dists-t-quantile";
import { noncentralTUpperTail } from "./noncentral-t.ts";
import { normalCritical, normalUpperTail } from "./normal.ts";

export const powerDefaults = { alpha: 0.05, power: 0.8 } as const;

interface Level {
  /** Two-sided. Default 0.05. */
  readonly alpha?: number;
}

interface TwoProportions extends Level {
  /** Rate of control, and the rate that would be worth finding. */
  readonly p1: number;
  readonly p2: number;
  /** Variance under the null: of the pooled rate (default, as the z test has it), or unpooled. */
  readonly variance?: "pooled" | "unpooled";
}

const checkRates = ({ p1, p2 }: TwoProportions): void => {
  if (!(p1 >= 0 && p1 <= 1 && p2 >= 0 && p2 <= 1)) throw new RangeError(`rates: ${p1} and ${p2} must be 0 to 1`);
};

/** Standard deviations of the difference at one subject an arm: under the null, and under the alternative. */
const deviationsOf = ({ p1, p2, variance = "pooled" }: TwoProportions) => {
  const unpooled = Math.sqrt(p1 * (1 - p1) + p2 * (1 - p2));
  const mean = (p1 + p2) / 2;
  return { null: variance === "pooled" ? Math.sqrt(2 * mean * (1 - mean)) : unpooled, alternative: unpooled };
};

/** z that a normal variable exceeds with this probability. */
const upperQuantile = (probability: number): number => normalCritical(2 * probability);

/**
 * Subjects of each of two equal arms to find p2 instead of p1 with this power; the other tail is ignored (Fleiss, Levin &
 * Paik 2003, §4.2; R's power.prop.test).
 *
 * @returns Infinity for equal rates
 * @example sampleSizeOfProportions({ p1: 0.1, p2: 0.12 }) // 3840.84…
 */
export const sampleSizeOfProportions = (input: TwoProportions & { readonly power?: number }): number => {
  checkRates(input);
  const { p1, p2, alpha = powerDefaults.alpha, power = powerDefaults.power } = input;
  const deviations = deviationsOf(input);
  const needed = normalCritical(alpha) * deviations.null + upperQuantile(1 - power) * deviations.alternative;
  return (needed / (p1 - p2)) ** 2;
};

/**
 * Power of the two-proportion z test with n subjects in each arm.
 *
 * @example powerOfProportions({ n: 3_000, p1: 0.1, p2: 0.12 }) // 0.697…
 */
export const powerOfProportions = (input: TwoProportions & { readonly n: number }): number => {
  checkRates(input);
  const { n, p1, p2, alpha = powerDefaults.alpha } = input;
  const deviations = deviationsOf(input);
  const reach = Math.sqrt(n) * Math.abs(p1 - p2) - normalCritical(alpha) * deviations.null;
  return normalUpperTail(-reach / deviations.alternative);
};

interface TwoMeans extends Level {
  /** The difference that would be worth finding. */
  readonly delta: number;
  /** Standard deviation within an arm. */
  readonly sd: number;
}

/**
 * Power of the two-sample t test with n subjects in each arm: noncentral t on 2n − 2 degrees of freedom, the far tail
 * ignored (R's power.t.test).
 *
 * @example powerOfMeans({ n: 200, delta: 0.5, sd: 2 }) // 0.703…
 */
export const powerOfMeans = ({
  n,
  delta,
  sd,
  alpha = powerDefaults.alpha,
}: TwoMeans & { readonly n: number }): number => {
  const degreesOfFreedom = 2 * n - 2;
  const critical = -tQuantile(alpha / 2, degreesOfFreedom);
  return noncentralTUpperTail(critical, degreesOfFreedom, (Math.sqrt(n / 2) * Math.abs(delta)) / sd);
};

/**
 * Subjects of each of two equal arms by the normal approximation 2 (z + z)² sd² / delta².
 *
 * @example sampleSizeOfMeansByNormal({ delta: 0.5, sd: 2 }) // 251.16…
 */
export const sampleSizeOfMeansByNormal = (input: TwoMeans & { readonly power?: number }): number => {
  const { delta, sd, alpha = powerDefaults.alpha, power = powerDefaults.power } = input;
  return 2 * (((normalCritical(alpha) + upperQuantile(1 - power)) * sd) / delta) ** 2;
};

/** More doublings than any experiment has subjects. */
const doublingsMax = 60;
const relativePrecision = 1e-13;

/**
 * Subjects of each of two equal arms, by the noncentral t distribution.
 *
 * @returns Infinity for a difference of 0
 * @example sampleSizeOfMeans({ delta: 0.5, sd: 2 }) // 252.12…
 */
export const sampleSizeOfMeans = (input: TwoMeans & { readonly power?: number }): number => {
  const { power = powerDefaults.power } = input;
  if (input.delta === 0) return Infinity;
  // Power rises with n: bracket it, then halve. Two subjects an arm are the fewest that have a variance.
  let [low, high] = [2, 4];
  if (powerOfMeans({ ...input, n: low }) >= power) return low;
  for (let doubling = 0; powerOfMeans({ ...input, n: high }) < power; doubling += 1) {
    if (doubling === doublingsMax) return Infinity;
    [low, high] = [high, high * 2];
  }
  while (high - low > high * relativePrecision) {
    const middle = (low + high) / 2;
    if (middle === low || middle === high) break;
    if (powerOfMeans({ ...input, n: middle }) < power) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
};

/**
 * Power that an experiment has by now: of its declared effect, at the variance that control shows, with the arms as large
 * as they are (they need not be equal). Normal approximation.
 *
 * @returns null while control's variance is not known, or is 0
 * @example powerReached({ effect: 0.02, controlVariance: 0.09, variantSubjects: 3_000, controlSubjects: 3_000 }) // 0.733…
 */
export const powerReached = ({
  effect,
  controlVariance,
  variantSubjects,
  controlSubjects,
  alpha = powerDefaults.alpha,
}: Level & {
  readonly effect: number;
  readonly controlVariance: number | null;
  readonly variantSubjects: number;
  readonly controlSubjects: number;
}): number | null => {
  if (controlVariance === null || !(controlVariance > 0) || variantSubjects === 0 || controlSubjects === 0) return null;
  const standardError = Math.sqrt(controlVariance * (1 / variantSubjects + 1 / controlSubjects));
  return normalUpperTail(normalCritical(alpha) - Math.abs(effect) / standardError);
};
