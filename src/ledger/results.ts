/** From counts to results: both sample ratio tests, each arm against control, and the signals that follow. Pure. */
import type { MetricKind } from "../experiment.ts";
import type { LedgerCounts, MetricTotals } from "./counts.ts";
import { byVariant, groundOf, subjectsIn, type EpochPlan, type PlannedArm } from "./ground.ts";
import { outcomeOf, type OutcomeResult } from "./outcomes.ts";
import { sampleRatioOf, type SampleRatioReading } from "./sample-ratio.ts";
import { crossoverSignals, mismatchSignal, type AnalysisSignal } from "./signals.ts";

export type { EpochPlan, PlannedArm } from "./ground.ts";
export type { ArmResult, OutcomeResult, VariantContrast } from "./outcomes.ts";
export type { SampleRatioReading, SequentialSampleRatio } from "./sample-ratio.ts";
export type { AnalysisSignal } from "./signals.ts";

export interface ResultsInput {
  readonly counts: LedgerCounts;
  /** The arms of the live epoch, in the order of the configuration. */
  readonly planned: readonly PlannedArm[];
  readonly control: string;
  /** The epoch that `planned` describes. Default: the latest one with a subject. */
  readonly epoch?: number;
  /** Plans of other epochs. A rise of the epoch may have changed the ratio, so one without a plan is not tested. */
  readonly earlier?: readonly EpochPlan[];
  /** Declared kinds of metrics, for one that was sent with several. */
  readonly kinds?: Readonly<Record<string, MetricKind>>;
  /** Two-sided level of the intervals; default 0.05. */
  readonly alpha?: number;
}

export interface Results {
  readonly subjects: Readonly<Record<string, number>>;
  readonly repeats: number;
  readonly crossovers: number;
  /** Of the live epoch; `byEpoch` lists all of them when there are several. */
  readonly sampleRatio: SampleRatioReading & { readonly byEpoch?: readonly SampleRatioReading[] };
  /** False under a sample ratio mismatch: effects are then withheld behind a warning. */
  readonly trustworthy: boolean;
  readonly outcomes: Readonly<Record<string, OutcomeResult>>;
  readonly signals: readonly AnalysisSignal[];
}

/**
 * A metric that was sent with two kinds is counted as two, and neither may hide the other: the declared kind has the
 * plain name (without a declaration the first in alphabetical order), the others carry theirs in brackets, which no
 * metric's name can hold.
 */
const named = (
  metrics: readonly MetricTotals[],
  declared: Readonly<Record<string, MetricKind>>,
): readonly (readonly [string, MetricTotals])[] =>
  metrics.map((metric) => {
    const kinds = metrics.filter((other) => other.metric === metric.metric).map((other) => other.kind);
    const wanted = Object.hasOwn(declared, metric.metric) ? declared[metric.metric] : undefined;
    const plain = kinds.find((kind) => kind === wanted) ?? kinds.toSorted()[0];
    return [metric.kind === plain ? metric.metric : `${metric.metric} (${metric.kind})`, metric] as const;
  });

/**
 * Results of one experiment from what its ledger counted. Sample ratios are tested within each epoch and contrasts
 * are combined over epochs (`science/stratified.ts`). Only the sequential test raises a signal; whatever cannot be
 * computed is null beside a `reason`, never NaN.
 *
 * @throws RangeError for shares, counts or sums that no ledger can have
 * @example
 * results({ counts, planned: [{ variant: "control", share: 0.5 }, { variant: "treatment", share: 0.5 }], control: "control" })
 *   .outcomes["purchase"]?.contrasts[0]; // { variant: "treatment", control: "control", difference: 0.012, … }
 */
export const results = (input: ResultsInput): Results => {
  const { counts, control, planned, alpha = 0.05 } = input;
  const ground = groundOf(counts, planned, input.epoch, input.earlier);
  const readings = ground.epochs.map((epoch) => sampleRatioOf(ground, epoch));
  const live =
    readings.find((reading) => reading.epoch === ground.liveEpoch) ?? sampleRatioOf(ground, ground.liveEpoch);
  const mismatches = readings.filter((reading) => reading.sequential.mismatch);
  const subjects = byVariant(ground.variants, (variant) => subjectsIn(counts.arms, variant));
  const treatments = planned.map((arm) => arm.variant).filter((variant) => variant !== control);
  return {
    subjects,
    repeats: counts.repeats,
    crossovers: counts.crossovers,
    sampleRatio: readings.length > 1 ? { ...live, byEpoch: readings } : live,
    trustworthy: mismatches.length === 0,
    outcomes: Object.fromEntries(
      named(counts.metrics, input.kinds ?? {}).map(([name, metric]) => [
        name,
        outcomeOf(ground, metric, treatments, control, alpha),
      ]),
    ),
    signals: [
      ...mismatches.map(mismatchSignal),
      ...crossoverSignals(
        counts.crossovers,
        Object.values(subjects).reduce((sum, count) => sum + count, 0),
      ),
    ],
  };
};
