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

type Row = readonly [outcome: number, covariate: number, isNew: number];

const meanOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Sums of products of deviations from the mean of each arm, over both arms. */
const within = (arms: readonly (readonly Row[])[], a: 0 | 1 | 2, b: 0 | 1 | 2): number =>
  arms
    .filter((rows) => rows.length > 0)
    .reduce((total, rows) => {
      const [aMean, bMean] = [meanOf(rows.map((row) => row[a])), meanOf(rows.map((row) => row[b]))];
      return total + rows.reduce((sum, row) => sum + (row[a] - aMean) * (row[b] - bMean), 0);
    }, 0);

/**
 * Difference of two means, adjusted. New subjects get the mean covariate and an indicator of their own, so that being new
 * is not mistaken for being average. The slopes come from within the arms: pooled over them, an effect of the treatment
 * would leak into the slope.
 *
 * @example
 * const { adjusted, unadjusted } = cuped(variantSubjects, controlSubjects);
 */
export const cuped = (
  variantSubjects: readonly CupedSubject[],
  controlSubjects: readonly CupedSubject[],
  alpha = 0.05,
): Cuped => {
  const all = [...variantSubjects, ...controlSubjects];
  const known = all.flatMap(({ covariate }) => (covariate === null ? [] : [covariate]));
  const centre = known.length === 0 ? 0 : meanOf(known);
  const rowsOf = (subjects: readonly CupedSubject[]): readonly Row[] =>
    subjects.map(({ outcome, covariate }) => [outcome, (covariate ?? centre) - centre, covariate === null ? 1 : 0]);
  const arms = [rowsOf(variantSubjects), rowsOf(controlSubjects)] as const;
  const unadjusted = welchTest(
    momentsOfValues(variantSubjects.map(({ outcome }) => outcome)),
    momentsOfValues(controlSubjects.map(({ outcome }) => outcome)),
    alpha,
  );
  const [sxx, szz, sxz] = [within(arms, 1, 1), within(arms, 2, 2), within(arms, 1, 2)];
  const [sxy, szy] = [within(arms, 1, 0), within(arms, 2, 0)];
  const determinant = sxx * szz - sxz ** 2;
  // Both slopes where both vary; one alone where the other has nothing to say.
  const slopes =
    determinant > 1e-12 * sxx * szz && szz > 0
      ? { theta: (sxy * szz - szy * sxz) / determinant, isNew: (szy * sxx - sxy * sxz) / determinant }
      : { theta: sxx > 0 ? sxy / sxx : null, isNew: sxx > 0 || szz === 0 ? null : szy / szz };
  const { theta, isNew } = slopes;
  const share = meanOf(all.map(({ covariate }) => (covariate === null ? 1 : 0)));
  const adjustedOf = (rows: readonly Row[]): SampleMoments =>
    momentsOfValues(rows.map(([y, x, z]) => y - (theta ?? 0) * x - (isNew ?? 0) * (z - share)));
  const [variant, control] = [adjustedOf(arms[0]), adjustedOf(arms[1])];
  return {
    theta,
    newSubjects: isNew,
    unadjusted,
    adjusted:
      theta === null && isNew === null
        ? untestable("the covariate does not vary within the arms", unadjusted.difference)
        : welchTest(variant, control, alpha),
    arms: { variant, control },
  };
};
