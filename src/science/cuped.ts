/**
 * CUPED: what was known of each subject before its first exposure takes its part of the variance out of the outcome (Deng,
 * Xu, Kohavi & Walker 2013). The unadjusted estimate is always shown beside it.
 */
import { untestable, type Contrast } from "./contrast.ts";
import { momentsOfValues } from "./t-tests.ts";
import { welchTest, type SampleMoments } from "./welch.ts";

/** One subject: what it did, and what was known of it before; null for a subject that was new. */
export interface CupedSubject {
  readonly outcome: number;
  readonly covariate: number | null;
}

export interface Cuped {
  /** Σ within-arm Sxy / Σ within-arm Sxx: the slope of an analysis of covariance. Null when the covariate does not vary. */
  readonly theta: number | null;
  /** How outcomes of new subjects differ from what the covariate would say of them; null when nobody, or everybody, is new. */
  readonly newSubjects: number | null;
  readonly unadjusted: Contrast;
  readonly adjusted: Contrast;
  readonly arms: { readonly variant: SampleMoments; readonly control: SampleMoments };
}

/** One arm in sums: enough for {@link cupedOfSums}, and additive over subjects where a ledger keeps them. */
export interface CupedSums {
  /** Of everybody. */
  readonly outcome: SampleMoments;
  /** Of those with a covariate: how many, and their moments; n − 1. */
  readonly known: {
    readonly subjects: number;
    readonly covariate: SampleMoments;
    /** Mean outcome of those subjects, and its covariance with the covariate. */
    readonly outcomeMean: number | null;
    readonly covariance: number | null;
  };
}

/** Sums of products of deviations from the arm's means: y the outcome, x the centred covariate, z being new. */
interface Deviations {
  readonly xx: number;
  readonly zz: number;
  readonly xz: number;
  readonly xy: number;
  readonly zy: number;
  readonly yy: number;
  readonly meanX: number;
  readonly shareNew: number;
}

/** New subjects have the mean covariate, 0 once it is centred. */
const deviationsOf = ({ outcome, known }: CupedSums, centre: number): Deviations => {
  const { subjects: n } = outcome;
  const { subjects: m, covariate, outcomeMean, covariance } = known;
  const mean = outcome.mean ?? 0;
  const knownMean = outcomeMean ?? 0;
  const distance = covariate.mean === null ? 0 : covariate.mean - centre;
  const meanX = n === 0 ? 0 : (m * distance) / n;
  const shareNew = n === 0 ? 0 : (n - m) / n;
  return {
    xx: (covariate.variance ?? 0) * Math.max(0, m - 1) + m * distance ** 2 - n * meanX ** 2,
    zz: m * shareNew,
    xz: -n * meanX * shareNew,
    xy: (covariance ?? 0) * Math.max(0, m - 1) + m * distance * knownMean - n * meanX * mean,
    zy: m * (mean - knownMean),
    yy: (outcome.variance ?? 0) * Math.max(0, n - 1),
    meanX,
    shareNew,
  };
};

/**
 * Difference of two means, adjusted, from the sums of both arms. New subjects get the mean covariate and an indicator of
 * their own, so that being new is not mistaken for being average. The slopes come from within the arms: pooled over them,
 * an effect of the treatment would leak into the slope.
 */
export const cupedOfSums = (variant: CupedSums, control: CupedSums, alpha = 0.05): Cuped => {
  const sums = [variant, control];
  const knownTotal = sums.reduce((total, { known }) => total + known.subjects, 0);
  const centre =
    knownTotal === 0
      ? 0
      : sums.reduce((total, { known }) => total + known.subjects * (known.covariate.mean ?? 0), 0) / knownTotal;
  const [a, b] = [deviationsOf(variant, centre), deviationsOf(control, centre)];
  const unadjusted = welchTest(variant.outcome, control.outcome, alpha);
  const [sxx, szz, sxz] = [a.xx + b.xx, a.zz + b.zz, a.xz + b.xz];
  const [sxy, szy] = [a.xy + b.xy, a.zy + b.zy];
  const determinant = sxx * szz - sxz ** 2;
  // Both slopes where both vary; one alone where the other has nothing to say.
  const slopes =
    determinant > 1e-12 * sxx * szz && szz > 0
      ? { theta: (sxy * szz - szy * sxz) / determinant, isNew: (szy * sxx - sxy * sxz) / determinant }
      : { theta: sxx > 0 ? sxy / sxx : null, isNew: sxx > 0 || szz === 0 ? null : szy / szz };
  const { theta, isNew } = slopes;
  const everybody = sums.reduce((total, { outcome }) => total + outcome.subjects, 0);
  const share = everybody === 0 ? 0 : (everybody - knownTotal) / everybody;
  const [t, z] = [theta ?? 0, isNew ?? 0];
  const adjustedOf = ({ outcome: { subjects, mean } }: CupedSums, arm: Deviations): SampleMoments => {
    const spread = arm.yy - 2 * t * arm.xy - 2 * z * arm.zy + t ** 2 * arm.xx + z ** 2 * arm.zz + 2 * t * z * arm.xz;
    return {
      subjects,
      mean: mean === null ? null : mean - t * arm.meanX - z * (arm.shareNew - share),
      // What is left of nothing may fall below it by rounding.
      variance: subjects < 2 ? null : Math.max(0, spread) / (subjects - 1),
    };
  };
  const arms = { variant: adjustedOf(variant, a), control: adjustedOf(control, b) };
  return {
    theta,
    newSubjects: isNew,
    unadjusted,
    adjusted:
      theta === null && isNew === null
        ? untestable("the covariate does not vary within the arms", unadjusted.difference)
        : welchTest(arms.variant, arms.control, alpha),
    arms,
  };
};

const meanOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

const sumsOf = (subjects: readonly CupedSubject[]): CupedSums => {
  const known = subjects.flatMap(({ outcome, covariate }) => (covariate === null ? [] : [{ outcome, covariate }]));
  const covariates = momentsOfValues(known.map(({ covariate }) => covariate));
  const outcomeMean = known.length === 0 ? null : meanOf(known.map(({ outcome }) => outcome));
  const products = known.reduce(
    (sum, { outcome, covariate }) => sum + (covariate - (covariates.mean ?? 0)) * (outcome - (outcomeMean ?? 0)),
    0,
  );
  return {
    outcome: momentsOfValues(subjects.map(({ outcome }) => outcome)),
    known: {
      subjects: known.length,
      covariate: covariates,
      outcomeMean,
      covariance: known.length < 2 ? null : products / (known.length - 1),
    },
  };
};

/**
 * {@link cupedOfSums} of subjects one by one.
 *
 * @example
 * const { adjusted, unadjusted } = cuped(variantSubjects, controlSubjects);
 */
export const cuped = (
  variantSubjects: readonly CupedSubject[],
  controlSubjects: readonly CupedSubject[],
  alpha = 0.05,
): Cuped => cupedOfSums(sumsOf(variantSubjects), sumsOf(controlSubjects), alpha);
