/** What the arms of an experiment come to in one metric: a mean or a ratio, within epochs and over all of them. */
import type { DeclaredMetric } from "../experiment.ts";
import type { Estimate } from "../science/confidence-sequence.ts";
import { type RatioMoments, ratioOfMeans } from "../science/ratio-metrics.ts";
import type { SliceCounts } from "./counts.ts";
import { covarianceOf, type Decimal, momentsOf, parseDecimal } from "./decimal.ts";
import { subjectsIn } from "./ground.ts";
import { metricKey } from "./subject.ts";

/** Counts as far as contrasts look at them. */
export type Source = Pick<SliceCounts, "arms" | "metrics" | "products">;

/** Where a declared or undeclared metric is found, and how it is read. */
export interface Reading {
  readonly name: string;
  readonly kind: DeclaredMetric["kind"];
  readonly declared: DeclaredMetric | undefined;
  /** Key of the metric; of a ratio, those of its two. */
  readonly keys: readonly [key: string] | readonly [numerator: string, denominator: string];
}

interface ArmSums {
  readonly subjects: number;
  readonly sum: Decimal;
  readonly sumOfSquares: Decimal;
}

export const sumsIn = (
  source: Source,
  key: string,
  variant: string,
  epoch: number,
  excludeMissing: boolean,
): ArmSums => {
  const total = source.metrics
    .find(({ metric, kind }) => metricKey(metric, kind) === key)
    ?.arms.find((arm) => arm.variant === variant && arm.epoch === epoch);
  return {
    subjects: excludeMissing ? (total?.observed ?? 0) : subjectsIn(source.arms, variant, epoch),
    sum: parseDecimal(total?.sum ?? "0"),
    sumOfSquares: parseDecimal(total?.sumOfSquares ?? "0"),
  };
};

/** One arm's mean or ratio, with the variance of that estimate. */
interface Level {
  readonly subjects: number;
  readonly value: number | null;
  readonly variance: number | null;
}

const meanLevel = ({ subjects, sum, sumOfSquares }: ArmSums): Level => {
  const { mean, variance } = momentsOf(subjects, sum, sumOfSquares);
  return { subjects, value: mean, variance: variance === null ? null : variance / subjects };
};

const ratioMomentsOf = (
  source: Source,
  left: string,
  right: string,
  variant: string,
  epoch: number,
): RatioMoments | null => {
  const x = sumsIn(source, left, variant, epoch, false);
  const y = sumsIn(source, right, variant, epoch, false);
  const product = source.products
    .find((one) => one.left === left && one.right === right)
    ?.arms.find((arm) => arm.variant === variant && arm.epoch === epoch);
  const numerator = momentsOf(x.subjects, x.sum, x.sumOfSquares);
  const denominator = momentsOf(y.subjects, y.sum, y.sumOfSquares);
  const covariance = covarianceOf(x.subjects, x.sum, y.sum, parseDecimal(product?.sum ?? "0"));
  if (numerator.mean === null || numerator.variance === null || covariance === null) return null;
  if (denominator.mean === null || denominator.variance === null) return null;
  return {
    subjects: x.subjects,
    numerator: { mean: numerator.mean, variance: numerator.variance },
    denominator: { mean: denominator.mean, variance: denominator.variance },
    covariance,
  };
};

export interface LevelPair {
  readonly weight: number;
  readonly variant: Level;
  readonly control: Level;
}

/** Variant − control and each of them, epochs weighted by their share of the subjects. */
export const combined = (pairs: readonly LevelPair[]) => {
  const total = pairs.reduce((sum, { weight }) => sum + weight, 0);
  const sides = { variant: { mean: 0, variance: 0 }, control: { mean: 0, variance: 0 } };
  let subjects = 0;
  for (const { weight, ...levels } of pairs) {
    const share = weight / total;
    for (const side of ["variant", "control"] as const) {
      const { value, variance, subjects: own } = levels[side];
      if (value === null || variance === null) return null;
      sides[side] = {
        mean: sides[side].mean + share * value,
        variance: sides[side].variance + share ** 2 * variance,
      };
      subjects += own;
    }
  }
  return pairs.length === 0 ? null : { ...sides, subjects };
};

export const estimateOf = (pairs: readonly LevelPair[]): Estimate | null => {
  const both = combined(pairs);
  return both === null
    ? null
    : {
        value: both.variant.mean - both.control.mean,
        variance: both.variant.variance + both.control.variance,
        subjects: both.subjects,
      };
};

const levelsOf = (reading: Reading, source: Source, variant: string, epoch: number): Level => {
  const [left, right] = reading.keys;
  if (right === undefined)
    return meanLevel(sumsIn(source, left, variant, epoch, reading.declared?.missing === "exclude"));
  const { value, variance } = ratioOfMeans(ratioMomentsOf(source, left, right, variant, epoch));
  return { subjects: subjectsIn(source.arms, variant, epoch), value, variance };
};

export const pairsOf = (
  reading: Reading,
  source: Source,
  epochs: readonly number[],
  variant: string,
  control: string,
): readonly LevelPair[] =>
  epochs.flatMap((epoch) => {
    const weight = source.arms.filter((arm) => arm.epoch === epoch).reduce((sum, arm) => sum + arm.subjects, 0);
    const pair = {
      weight,
      variant: levelsOf(reading, source, variant, epoch),
      control: levelsOf(reading, source, control, epoch),
    };
    return pair.variant.variance === null || pair.control.variance === null ? [] : [pair];
  });
