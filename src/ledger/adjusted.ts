/** Contrasts adjusted by a metric of the time before the first exposure (CUPED). */
import type { DeclaredMetric } from "../experiment.ts";
import { type Contrast, untestable } from "../science/contrast.ts";
import { type Cuped, type CupedSums, cupedOfSums } from "../science/cuped.ts";
import { stratifiedMeans } from "../science/stratified.ts";
import { covarianceOf, type Decimal, decimalNumber, momentsOf, parseDecimal } from "./decimal.ts";
import type { Ground } from "./ground.ts";
import { type Reading, type Source, sumsIn } from "./levels.ts";
import { presenceKey } from "./metric-spec.ts";
import { metricKey } from "./subject.ts";

/** A contrast adjusted by what was known before the first exposure; the unadjusted one stands beside it. */
export interface AdjustedContrast extends Contrast {
  /** Name of the metric that it is adjusted by. */
  readonly covariate: string;
  /** Slopes of each epoch: of the covariate, and of being new; null where there is nothing to fit. */
  readonly slopes: readonly {
    readonly epoch: number;
    readonly theta: number | null;
    readonly newSubjects: number | null;
  }[];
  /** Share of the difference's variance that the adjustment took away; null where there is none to take from. */
  readonly varianceReduction: number | null;
}

const cupedSumsIn = (source: Source, outcome: string, covariate: string, variant: string, epoch: number): CupedSums => {
  const everybody = sumsIn(source, outcome, variant, epoch, false);
  const known = sumsIn(source, covariate, variant, epoch, true);
  const productOf = (left: string): Decimal => {
    const total = source.products
      .find((one) => one.left === left && one.right === outcome)
      ?.arms.find((arm) => arm.variant === variant && arm.epoch === epoch);
    return parseDecimal(total?.sum ?? "0");
  };
  const outcomeSum = productOf(presenceKey(covariate));
  return {
    outcome: { subjects: everybody.subjects, ...momentsOf(everybody.subjects, everybody.sum, everybody.sumOfSquares) },
    known: {
      subjects: known.subjects,
      covariate: { subjects: known.subjects, ...momentsOf(known.subjects, known.sum, known.sumOfSquares) },
      outcomeMean: known.subjects === 0 ? null : decimalNumber(outcomeSum) / known.subjects,
      covariance: covarianceOf(known.subjects, known.sum, outcomeSum, productOf(covariate)),
    },
  };
};

/** What an adjustment is made from. */
interface Basis {
  readonly ground: Ground;
  readonly metrics: readonly DeclaredMetric[];
  readonly control: string;
  readonly alpha: number;
}

/** Within each epoch, and then combined, as every contrast is; undefined for a metric without a covariate. */
export const adjustedOf = (
  { declared, keys: [outcome] }: Reading,
  { ground, metrics, control, alpha }: Basis,
  variant: string,
): AdjustedContrast | undefined => {
  const covariate = metrics.find(({ name }) => name === declared?.covariate);
  if (covariate === undefined || covariate.kind === "ratio") return undefined;
  const known = metricKey(covariate.name, covariate.kind);
  const { counts, epochs } = ground;
  const fitted = epochs.flatMap((epoch) => {
    const [v, c] = [variant, control].map((arm) => cupedSumsIn(counts, outcome, known, arm, epoch));
    if (v === undefined || c === undefined || Math.min(v.outcome.subjects, c.outcome.subjects) < 2) return [];
    const subjects = counts.arms.filter((arm) => arm.epoch === epoch).reduce((sum, arm) => sum + arm.subjects, 0);
    return [{ epoch, subjects, plain: { variant: v.outcome, control: c.outcome }, fit: cupedOfSums(v, c, alpha) }];
  });
  const all = fitted.reduce((sum, { subjects }) => sum + subjects, 0);
  const varianceOf = (armsOf: (one: (typeof fitted)[number]) => Cuped["arms"]): number =>
    fitted.reduce((sum, one) => {
      const arms = armsOf(one);
      const variance = [arms.variant, arms.control].reduce(
        (total, arm) => total + (arm.variance ?? 0) / arm.subjects,
        0,
      );
      return sum + (one.subjects / all) ** 2 * variance;
    }, 0);
  const plain = varianceOf((one) => one.plain);
  const isFlat = fitted.every(({ fit }) => fit.theta === null && fit.newSubjects === null);
  const contrast = stratifiedMeans(
    fitted.map(({ subjects, fit }) => ({ subjects, ...fit.arms })),
    alpha,
  );
  return {
    ...(isFlat && fitted.length > 0
      ? untestable("the covariate does not vary within the arms", contrast.difference)
      : contrast),
    covariate: covariate.name,
    slopes: fitted.map(({ epoch, fit: { theta, newSubjects } }) => ({ epoch, theta, newSubjects })),
    varianceReduction: plain > 0 ? 1 - varianceOf(({ fit }) => fit.arms) / plain : null,
  };
};
