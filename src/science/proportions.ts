/** Two proportions: the comparison for binary outcomes. */
import { untestable, type Contrast } from "./contrast.ts";
import { normalCritical, normalTwoSided } from "./normal.ts";

/** `successes` of `subjects`. */
export interface Proportion {
  readonly successes: number;
  readonly subjects: number;
}

const check = ({ successes, subjects }: Proportion): void => {
  if (!Number.isSafeInteger(successes) || !Number.isSafeInteger(subjects) || successes < 0 || successes > subjects) {
    throw new RangeError(`proportion: ${successes} of ${subjects} must be whole numbers, 0 ≤ successes ≤ subjects`);
  }
};

/** Variance of the estimated proportion, p (1 - p) / n. The failures are counted, since 1 - p loses digits near 1. */
export const proportionVariance = ({ successes, subjects }: Proportion): number =>
  ((successes / subjects) * ((subjects - successes) / subjects)) / subjects;

/**
 * Two-proportion z test: the pooled standard error for statistic and p value (the null hypothesis says the rates are
 * equal), the unpooled one for the Wald interval; no continuity correction (Agresti, Categorical Data Analysis, §3.1).
 *
 * @param alpha two-sided level of the interval
 * @returns nulls with a reason without subjects, or when all or none of both arms succeeded
 * @throws RangeError for counts that cannot be
 * @example
 * compareProportions({ successes: 8_279, subjects: 45_489 }, { successes: 8_502, subjects: 44_700 });
 * // { difference: -0.0082…, statistic: -3.164…, pValue: 0.00155…, interval: [-0.0133…, -0.0031…] }
 */
export const compareProportions = (variant: Proportion, control: Proportion, alpha = 0.05): Contrast => {
  check(variant);
  check(control);
  if (variant.subjects === 0) return untestable("no subject in the variant");
  if (control.subjects === 0) return untestable("no subject in control");
  const difference = variant.successes / variant.subjects - control.successes / control.subjects;
  const subjects = variant.subjects + control.subjects;
  const successes = variant.successes + control.successes;
  if (successes === 0) return untestable("no success in either arm", difference);
  if (successes === subjects) return untestable("nothing but successes in either arm", difference);
  const pooled = (successes / subjects) * ((subjects - successes) / subjects);
  const statistic = difference / Math.sqrt(pooled * (1 / variant.subjects + 1 / control.subjects));
  const tested = { difference, statistic, pValue: normalTwoSided(statistic) };
  const halfWidth = normalCritical(alpha) * Math.sqrt(proportionVariance(variant) + proportionVariance(control));
  // One arm all successes, the other none: a Wald interval of width 0 would claim certainty.
  if (halfWidth === 0) return { ...tested, interval: null, reason: "no variation within either arm" };
  return { ...tested, interval: [difference - halfWidth, difference + halfWidth] };
};
