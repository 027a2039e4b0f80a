/** From counts to results: both sample ratio tests, each arm against control, and the signals that follow. Pure. */
import { type AnalysisPlan, type DeclaredMetric, instantOrDayEnd, type MetricKind } from "../experiment.ts";
import type { AfterStart, ChangeAfterStart } from "../governance/frozen-plan.ts";
import { chiSquareSampleRatio } from "../science/chi-square-srm.ts";
import { analyse, type MetricAnalysis, type PartialOutcome } from "./analysis.ts";
import type { LedgerCounts, SliceCounts } from "./counts.ts";
import { type FixedHorizon, fixedHorizonOf } from "./crossings.ts";
import { byVariant, groundOf, subjectsIn, type EpochPlan, type Ground, type PlannedArm } from "./ground.ts";
import { type ArmResult, outcomeOf, type VariantContrast } from "./outcomes.ts";
import { sampleRatioOf, type SampleRatioReading } from "./sample-ratio.ts";
import { outcomesOff } from "./unnamed.ts";
import { crossoverSignals, mismatchSignal, type AnalysisSignal } from "./signals.ts";

export type { AnalysedContrast, MetricAnalysis, PartialOutcome } from "./analysis.ts";
export type { FixedHorizon } from "./crossings.ts";
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
  /** The declared metrics; with them, `kinds` need not be given. */
  readonly metrics?: readonly DeclaredMetric[];
  readonly plan?: AnalysisPlan;
  /** What is declared otherwise than when the experiment started. */
  readonly afterStart?: AfterStart;
  /** ms since 1970: now, and when the experiment last started. Without them nothing is said of the plan's end. */
  readonly now?: number;
  readonly start?: number;
  /** Two-sided level of the intervals; default that of the plan, or 0.05. */
  readonly alpha?: number;
  /** Show effects although the sample ratio says that they cannot be trusted. */
  readonly showUntrusted?: boolean;
}

/** A part of the subjects, in the live epoch: its sample ratio, and what it did. */
export interface Breakdown {
  readonly subjects: Readonly<Record<string, number>>;
  /** Observed share minus the planned one: of a huge sample the tiniest gap is significant, so the gap itself is told. */
  readonly deviation: Readonly<Record<string, number>>;
  readonly sampleRatioPValue: number | null;
  readonly outcomes: Readonly<Record<string, Readonly<Record<string, ArmResult>>>>;
}

export interface Results {
  readonly subjects: Readonly<Record<string, number>>;
  readonly repeats: number;
  readonly crossovers: number;
  /** Of the live epoch; `byEpoch` lists all of them when there are several. */
  readonly sampleRatio: SampleRatioReading & { readonly byEpoch?: readonly SampleRatioReading[] };
  /** False under a sample ratio mismatch: effects are then withheld behind a warning. */
  readonly trustworthy: boolean;
  /** Why effects are not shown; null when they are. */
  readonly withheld: string | null;
  readonly fixedHorizon: FixedHorizon;
  readonly outcomes: Readonly<Record<string, MetricAnalysis>>;
  /** By day of first exposure, UTC, and by declared dimension; present where the counts have parts. */
  readonly days?: readonly (Breakdown & { readonly day: string })[];
  readonly dimensions?: readonly (Breakdown & {
    readonly dimension: string;
    readonly value: string;
    readonly afterStart?: ChangeAfterStart;
  })[];
  /** What is declared otherwise than when the experiment started, by name. */
  readonly afterStart: Readonly<Record<keyof AfterStart, Readonly<Record<string, ChangeAfterStart>>>>;
  readonly signals: readonly AnalysisSignal[];
}

const breakdownOf = (ground: Ground, slice: SliceCounts): Breakdown => {
  const { liveEpoch, variants, plans } = ground;
  const live = slice.arms.filter((arm) => arm.epoch === liveEpoch);
  const total = live.reduce((sum, arm) => sum + arm.subjects, 0);
  const shareOf = new Map((plans.get(liveEpoch) ?? []).map(({ variant, share }) => [variant, share]));
  const planned = [...shareOf.values()].reduce((sum, share) => sum + share, 0);
  // Of this epoch alone, as its subjects are: over several, sums would say of subjects what others did.
  const metrics = slice.metrics.map((metric) => ({
    ...metric,
    arms: metric.arms.filter((arm) => arm.epoch === liveEpoch),
  }));
  const part: Ground = { ...ground, counts: { ...ground.counts, arms: live, metrics } };
  return {
    subjects: byVariant(variants, (variant) => subjectsIn(live, variant)),
    deviation: byVariant(variants, (variant) =>
      total === 0 || planned === 0 ? 0 : subjectsIn(live, variant) / total - (shareOf.get(variant) ?? 0) / planned,
    ),
    sampleRatioPValue:
      planned === 0
        ? null
        : chiSquareSampleRatio(
            variants.map((variant) => subjectsIn(live, variant)),
            variants.map((variant) => shareOf.get(variant) ?? 0),
          ).pValue,
    outcomes: Object.fromEntries(
      metrics.map((metric) => [`${metric.metric} (${metric.kind})`, outcomeOf(part, metric, [], "", 0.05).arms]),
    ),
  };
};

const withheldContrast = <Shown extends VariantContrast>(contrast: Shown, reason: string): Shown => ({
  ...contrast,
  difference: null,
  statistic: null,
  pValue: null,
  interval: null,
  reason,
});

const withheldPart = (part: PartialOutcome, reason: string): PartialOutcome => ({
  ...part,
  contrasts: part.contrasts.map((contrast) => withheldContrast(contrast, reason)),
});

/** Totals stay: what is not to be believed is that the arms can be compared. */
const withheldFrom = (outcome: MetricAnalysis, reason: string): MetricAnalysis => ({
  ...outcome,
  contrasts: outcome.contrasts.map(({ series: _series, adjusted: _adjusted, ...contrast }) => ({
    ...withheldContrast(contrast, reason),
    adjustedPValue: null,
    relativeDifference: { value: null, interval: null, reason },
    sequential: { difference: null, interval: null, pValue: null, reason },
  })),
  ...(outcome.matured === undefined ? {} : { matured: withheldPart(outcome.matured, reason) }),
  ...(outcome.withoutCrossovers === undefined
    ? {}
    : { withoutCrossovers: withheldPart(outcome.withoutCrossovers, reason) }),
});

const marksOf = (afterStart: ChangeAfterStart | undefined) => (afterStart === undefined ? {} : { afterStart });

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
  const { counts, control, planned, plan, now, start } = input;
  const alpha = input.alpha ?? plan?.alpha ?? 0.05;
  const metrics =
    input.metrics ?? Object.entries(input.kinds ?? {}).map(([name, kind]): DeclaredMetric => ({ name, kind }));
  const ground = groundOf(counts, planned, input.epoch, input.earlier);
  const readings = ground.epochs.map((epoch) => sampleRatioOf(ground, epoch));
  const live =
    readings.find((reading) => reading.epoch === ground.liveEpoch) ?? sampleRatioOf(ground, ground.liveEpoch);
  const mismatches = readings.filter((reading) => reading.sequential.mismatch);
  const subjects = byVariant(ground.variants, (variant) => subjectsIn(counts.arms, variant));
  const treatments = planned.map((arm) => arm.variant).filter((variant) => variant !== control);
  const all = Object.values(subjects).reduce((sum, count) => sum + count, 0);
  const withheld =
    outcomesOff(counts) ??
    (mismatches.length > 0 && input.showUntrusted !== true
      ? "results not trustworthy: the sample ratio is not the planned one"
      : null);
  const outcomes = analyse({
    ground,
    control,
    treatments,
    metrics,
    alpha,
    ...(plan?.sample === undefined ? {} : { plannedSubjects: plan.sample }),
    ...(plan?.primary === undefined ? {} : { primary: plan.primary }),
    ...(input.afterStart === undefined ? {} : { afterStart: input.afterStart.metrics }),
  });
  const marked = (part: keyof AfterStart) => Object.fromEntries(input.afterStart?.[part] ?? []);
  const dimensionMarks: AfterStart["dimensions"] = input.afterStart?.dimensions ?? new Map();
  return {
    subjects,
    repeats: counts.repeats,
    crossovers: counts.crossovers,
    sampleRatio: readings.length > 1 ? { ...live, byEpoch: readings } : live,
    trustworthy: mismatches.length === 0,
    withheld,
    fixedHorizon: fixedHorizonOf({
      subjects: all,
      now: now ?? 0,
      ...(plan?.sample === undefined ? {} : { plannedSample: plan.sample }),
      ...(plan?.end === undefined ? {} : { end: instantOrDayEnd(plan.end) }),
      ...(start === undefined ? {} : { start }),
    }),
    outcomes:
      withheld === null
        ? outcomes
        : Object.fromEntries(
            Object.entries(outcomes).map(([name, outcome]) => [name, withheldFrom(outcome, withheld)]),
          ),
    ...(counts.parts === undefined
      ? {}
      : {
          days: counts.parts.days.map(({ day, ...slice }) => ({ day, ...breakdownOf(ground, slice) })),
          dimensions: counts.parts.dimensions.map(({ dimension, value, ...slice }) => ({
            dimension,
            value,
            ...breakdownOf(ground, slice),
            ...marksOf(dimensionMarks.get(dimension)),
          })),
        }),
    afterStart: { metrics: marked("metrics"), dimensions: marked("dimensions"), guardrails: marked("guardrails") },
    signals: [...mismatches.map(mismatchSignal), ...crossoverSignals(counts.crossovers, all)],
  };
};
