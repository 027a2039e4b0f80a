/**
 * Contrasts over epochs. Within an epoch the allocation is constant, so a comparison inside it is fair; totals over
 * epochs are not (in an A/A test with a ramp over a changing base rate the pooled test always rejects). Differences
 * are combined by each epoch's share of subjects: d = Σ w d_e, Var = Σ w² V_e (post-stratification; Miratrix, Sekhon
 * & Yu 2013).
 */
import { untestable, type Contrast } from "./contrast.ts";
import { normalCritical, normalTwoSided } from "./normal.ts";
import { compareProportions, proportionVariance, type Proportion } from "./proportions.ts";
import { meanDifference, testDifference, welchTest, type SampleMoments, type VarianceTerm } from "./welch.ts";

export interface Stratum<Arm> {
  /** Subjects first exposed in the epoch, in all arms. */
  readonly subjects: number;
  readonly variant: Arm;
  readonly control: Arm;
}

const weighted = <Arm>(strata: readonly Stratum<Arm>[]): readonly (Stratum<Arm> & { readonly weight: number })[] => {
  const total = strata.reduce((sum, stratum) => sum + stratum.subjects, 0);
  return strata.map((stratum) => ({ ...stratum, weight: stratum.subjects / total }));
};

const noStratum = "no epoch has both arms";

/**
 * Proportions over epochs, with unpooled variances and the normal distribution. One epoch alone gives
 * {@link compareProportions}. Every stratum must have a subject in both arms.
 */
export const stratifiedProportions = (strata: readonly Stratum<Proportion>[], alpha = 0.05): Contrast => {
  const [first, ...others] = strata;
  if (first === undefined) return untestable(noStratum);
  if (others.length === 0) return compareProportions(first.variant, first.control, alpha);
  let difference = 0;
  let variance = 0;
  for (const { weight, variant, control } of weighted(strata)) {
    difference += weight * (variant.successes / variant.subjects - control.successes / control.subjects);
    variance += weight ** 2 * (proportionVariance(variant) + proportionVariance(control));
  }
  if (variance === 0) return untestable("no variation within the arms", difference);
  const standardError = Math.sqrt(variance);
  const statistic = difference / standardError;
  const halfWidth = normalCritical(alpha) * standardError;
  const interval = [difference - halfWidth, difference + halfWidth] as const;
  return { difference, statistic, pValue: normalTwoSided(statistic), interval };
};

/**
 * Means over epochs, with the t distribution on Satterthwaite's degrees of freedom over all arms and epochs. One
 * epoch alone gives {@link welchTest}. Every stratum must have two subjects in both arms.
 */
export const stratifiedMeans = (strata: readonly Stratum<SampleMoments>[], alpha = 0.05): Contrast => {
  const [first, ...others] = strata;
  if (first === undefined) return untestable(noStratum);
  if (others.length === 0) return welchTest(first.variant, first.control, alpha);
  let difference = 0;
  const terms: VarianceTerm[] = [];
  for (const { weight, variant, control } of weighted(strata)) {
    const compared = meanDifference(variant, control);
    if (!("terms" in compared)) return compared;
    difference += weight * compared.difference;
    terms.push(...compared.terms.map((term) => ({ ...term, variance: weight ** 2 * term.variance })));
  }
  return testDifference(difference, terms, alpha);
};
