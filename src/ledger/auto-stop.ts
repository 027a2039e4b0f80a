/**
 * Stopping by itself when a signal is raised. Only signals that may be looked at at any time: a rule on a fixed-horizon p
 * value would stop one experiment in four for nothing, so the configuration has no way to write one.
 */
import { controlOf, type SettledConfiguration } from "../experiment.ts";
import { planInForce } from "../governance/frozen-plan.ts";
import type { GuardrailReading } from "../governance/guardrails.ts";
import type { ExperimentState } from "../governance/state.ts";
import {
  meanSequence,
  proportionSequence,
  type SequenceOptions,
  type SequentialContrast,
} from "../science/confidence-sequence.ts";
import type { LedgerCounts, MetricTotals } from "./counts.ts";
import { type ContrastReading, directionOf, isBetter } from "./crossings.ts";
import { decimalNumber, momentsOf, parseDecimal } from "./decimal.ts";
import { subjectsIn } from "./ground.ts";
import { livePlan } from "./plan.ts";
import type { SampleRatioReading } from "./sample-ratio.ts";
import { outcomesOff } from "./unnamed.ts";

type Rule = NonNullable<SettledConfiguration["autoStop"]>[number];
type Metric = NonNullable<SettledConfiguration["metrics"]>[number];

/** What a rule on the sample ratio is called in notices and in the history. */
export const sampleRatioMetric = "sampleRatio";

/**
 * What a rule is called in a history.
 *
 * @example autoStopName({ signal: "SampleRatioMismatch", action: "pause" }) // "autoStop SampleRatioMismatch"
 */
export const autoStopName = (rule: Pick<Rule, "signal" | "metric" | "when">): string =>
  rule.metric === undefined
    ? `autoStop ${rule.signal}`
    : `autoStop ${rule.signal} ${rule.metric}${rule.when === undefined ? "" : ` ${rule.when}`}`;

const sequenceIn = (
  counts: LedgerCounts,
  totals: MetricTotals,
  epoch: number,
  [variant, control]: readonly [string, string],
  cap: number | undefined,
  options: SequenceOptions,
): SequentialContrast => {
  const armOf = (name: string) => {
    const subjects = subjectsIn(counts.arms, name, epoch);
    const total = totals.arms.find((arm) => arm.variant === name && arm.epoch === epoch);
    const sum = parseDecimal(total?.sum ?? "0");
    const squares = parseDecimal(total?.sumOfSquares ?? "0");
    return { subjects, sum, moments: { subjects, ...momentsOf(subjects, sum, squares) } };
  };
  const [a, b] = [armOf(variant), armOf(control)];
  return totals.kind === "binary"
    ? proportionSequence(
        { successes: decimalNumber(a.sum), subjects: a.subjects },
        { successes: decimalNumber(b.sum), subjects: b.subjects },
        options,
      )
    : meanSequence(a.moments, b.moments, { ...options, capped: cap !== undefined });
};

/** What the plan fixes of every sequence, before the start. */
export const sequenceOptionsOf = (state: ExperimentState): SequenceOptions => {
  const plan = planInForce(state);
  return {
    ...(plan === undefined ? {} : { alpha: plan.alpha }),
    ...(plan?.sample === undefined ? {} : { plannedSubjects: plan.sample }),
  };
};

/** The confidence sequences of a declared metric in the live epoch, an arm each. */
export const sequencesOf = (
  state: ExperimentState,
  counts: LedgerCounts,
  metric: Pick<Metric, "name" | "kind" | "goal" | "primary"> & { readonly cap?: number | undefined },
  options: SequenceOptions = {},
): readonly ContrastReading[] => {
  const { epoch, arms } = livePlan(state);
  const control = controlOf((state.live ?? state.latest).configuration).key;
  const totals = counts.metrics.find((one) => one.metric === metric.name && one.kind === metric.kind);
  if (totals === undefined) return [];
  return arms
    .filter(({ variant, share }) => variant !== control && share > 0)
    .map(({ variant }) => ({
      metric: metric.name,
      variant,
      epoch,
      primary: metric.primary === true,
      ...(metric.goal === undefined ? {} : { goal: metric.goal }),
      sequential: sequenceIn(counts, totals, epoch, [variant, control], metric.cap, options),
      power: null,
    }));
};

const reading = (
  rule: Rule,
  metric: string,
  fires: boolean,
  more: Pick<GuardrailReading, "variant" | "why" | "figures">,
): GuardrailReading => ({
  guardrail: autoStopName(rule),
  metric,
  verdict: fires ? "violated" : "safe",
  action: fires ? rule.action : "none",
  ...more,
});

const onSampleRatio = (rule: Rule, sampleRatio: SampleRatioReading): GuardrailReading => {
  const { sequential, epoch } = sampleRatio;
  const words = sequential.mismatch
    ? `sample ratio mismatch in epoch ${epoch}: p = ${String(sequential.pValue)} is at or below ${sequential.level}`
    : (sequential.reason ?? "no sample ratio mismatch");
  return reading(rule, sampleRatioMetric, sequential.mismatch, {
    variant: null,
    why: words,
    figures: {
      pValue: sequential.pValue,
      level: sequential.level,
      logBayesFactor: sequential.logBayesFactor,
      looks: sequential.looks,
      epoch,
    },
  });
};

const onCheckpoint = (rule: Rule, metric: string, contrasts: readonly ContrastReading[]): GuardrailReading => {
  const found = contrasts.find(({ sequential, goal }) => {
    const direction = directionOf(sequential);
    if (direction === null) return false;
    if (rule.when === undefined) return true;
    return isBetter(direction, goal) === (rule.when === "better");
  });
  if (found === undefined)
    return reading(rule, metric, false, { variant: null, why: `${metric}: nothing conclusive yet`, figures: {} });
  const [low, high] = found.sequential.interval ?? [null, null];
  return reading(rule, metric, true, {
    variant: found.variant,
    why: `${metric} in ${found.variant} is ${String(directionOf(found.sequential))} control's, between ${String(low)} and ${String(high)} at any look`,
    figures: {
      difference: found.sequential.difference,
      low,
      high,
      pValue: found.sequential.pValue,
      epoch: found.epoch,
    },
  });
};

/**
 * What the rules for stopping by itself say of a serving experiment.
 *
 * @param sampleRatio of the live epoch
 */
export const autoStopReadings = (
  state: ExperimentState,
  counts: LedgerCounts,
  sampleRatio: SampleRatioReading,
): readonly GuardrailReading[] => {
  const { autoStop = [], metrics = [] } = (state.live ?? state.latest).configuration;
  return autoStop.flatMap((rule): readonly GuardrailReading[] => {
    if (rule.signal === "SampleRatioMismatch") return [onSampleRatio(rule, sampleRatio)];
    const metric = metrics.find(({ name }) => name === rule.metric);
    // What is not trusted concludes nothing.
    if (metric === undefined || sampleRatio.sequential.mismatch || outcomesOff(counts) !== undefined) return [];
    return [onCheckpoint(rule, metric.name, sequencesOf(state, counts, metric, sequenceOptionsOf(state)))];
  });
};
