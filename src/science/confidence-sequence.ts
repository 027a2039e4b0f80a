/**
 * Confidence sequences: intervals that hold at all looks together, so that anybody may look at any time and stop when
 * they like. Two-sided: the normal mixture of Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas, "Time-uniform central limit
 * theory and asymptotic confidence sequences" (Annals of Statistics 2024, arXiv:2103.06476). One-sided: the same mixture
 * over one half of the line, in the closed form of Howard, Ramdas, McAuliffe & Sekhon, "Time-uniform, nonparametric,
 * nonasymptotic confidence sequences" (Annals of Statistics 2021, arXiv:1810.08240).
 *
 * They are asymptotic. Before the central limit theorem holds they lie: at a first ramp step of 5 % they raised false
 * alarms in 53 to 83 % of experiments. So {@link proportionSequence} and {@link meanSequence} stay silent, with a
 * reason, until an experiment is large enough; rare events have the exact test of `rare-events.ts`.
 */
import { normalCritical } from "./normal.ts";
import { proportionVariance, type Proportion } from "./proportions.ts";
import type { SampleMoments } from "./welch.ts";

export const sequenceDefaults = { alpha: 0.05, plannedSubjects: 5_000 } as const;

/** Both are fixed before the start, inside the plan: chosen after a look they would void what the sequence promises. */
export interface SequenceOptions {
  /** Two-sided level of the intervals. Default 0.05. */
  readonly alpha?: number;
  /** Subjects, in both arms together, at which the sequence is tightest. Default 5,000. */
  readonly plannedSubjects?: number;
}

/**
 * Variance ρ² of the mixture: the one that makes the sequence tightest at the planned number of subjects.
 *
 * @example mixtureVariance() // 0.001587… for 5,000 subjects at 0.05
 */
export const mixtureVariance = (
  plannedSubjects: number = sequenceDefaults.plannedSubjects,
  alpha: number = sequenceDefaults.alpha,
): number => {
  if (!(plannedSubjects > 0 && Number.isFinite(plannedSubjects)))
    throw new RangeError(`planned subjects: ${plannedSubjects} must be a finite number above 0`);
  if (!(alpha > 0 && alpha < 1)) throw new RangeError(`alpha: ${alpha} must be between 0 and 1`);
  return (-2 * Math.log(alpha) + Math.log(1 - 2 * Math.log(alpha))) / plannedSubjects;
};

/** Something estimated from `subjects` observations, with the variance of the estimate (not of an observation). */
export interface Estimate {
  readonly value: number;
  readonly variance: number;
  readonly subjects: number;
}

/** n ρ² and √(2 (nρ² + 1) / (nρ²) · V): what both boundaries are made of. */
const scaleOf = ({ variance, subjects }: Omit<Estimate, "value">, rhoSquared: number) => {
  const information = subjects * rhoSquared;
  return { information, scale: Math.sqrt(((2 * (information + 1)) / information) * variance) };
};

/**
 * Half the width of the two-sided sequence: σ √(2 (nρ²+1) / (n²ρ²) · ln(√(nρ²+1) / α)), where σ²/n is the variance of the
 * estimate.
 *
 * @example sequenceHalfWidth({ variance: 4 / 1_000, subjects: 1_000 }, mixtureVariance(), 0.05) // 0.21275…
 */
export const sequenceHalfWidth = (
  estimate: Omit<Estimate, "value">,
  rhoSquared: number,
  alpha: number = sequenceDefaults.alpha,
): number => {
  const { information, scale } = scaleOf(estimate, rhoSquared);
  return scale * Math.sqrt(Math.log(Math.sqrt(information + 1) / alpha));
};

/**
 * The same for a limit on one side alone: ln(1 + √(nρ²+1) / (2α)) under the root. The mixture over one half of the line
 * is 2 e^z Φ(√2z) / √(nρ²+1) ≥ (2 e^z − 1) / √(nρ²+1), which reaches 1/α no later than the closed form says.
 */
const oneSidedWidth = (estimate: Omit<Estimate, "value">, rhoSquared: number, alpha: number): number => {
  const { information, scale } = scaleOf(estimate, rhoSquared);
  return scale * Math.sqrt(Math.log1p(Math.sqrt(information + 1) / (2 * alpha)));
};

export interface Limits {
  readonly lower: number;
  readonly upper: number;
}

/**
 * Two one-sided limits, each of which alone holds at all looks together with probability 1 − alpha: what guardrails are
 * judged by. Together they are an interval at 2 alpha.
 */
export const oneSidedLimits = (estimate: Estimate, rhoSquared: number, alpha: number): Limits => {
  const width = oneSidedWidth(estimate, rhoSquared, alpha);
  return { lower: estimate.value - width, upper: estimate.value + width };
};

/** A contrast that may be looked at at any time. */
export interface SequentialContrast {
  readonly difference: number | null;
  /** Null while the sequence may not be shown; `reason` says why. */
  readonly interval: readonly [low: number, high: number] | null;
  /** At this look; the p value over several looks is the least of them. */
  readonly pValue: number | null;
  readonly reason?: string;
}

/** Two-sided sequence and p value of any asymptotically normal difference, whatever its sample size. */
export const sequenceOf = (estimate: Estimate, options: SequenceOptions = {}): SequentialContrast => {
  const { alpha = sequenceDefaults.alpha, plannedSubjects } = options;
  const rhoSquared = mixtureVariance(plannedSubjects, alpha);
  const { value: difference, variance, subjects } = estimate;
  if (variance === 0) return notShown("no variation within the arms", difference);
  const halfWidth = sequenceHalfWidth(estimate, rhoSquared, alpha);
  const information = subjects * rhoSquared;
  const evidence = (((difference / Math.sqrt(variance)) ** 2 / 2) * information) / (information + 1);
  return {
    difference,
    interval: [difference - halfWidth, difference + halfWidth],
    pValue: Math.min(1, Math.exp(Math.log1p(information) / 2 - evidence)),
  };
};

const notShown = (reason: string, difference: number | null): SequentialContrast => ({
  difference,
  interval: null,
  pValue: null,
  reason,
});

/** Events, and subjects without one, that the smaller arm must expect before the normal approximation is believed. */
export const expectedEventsMinimum = 25;
/** Subjects of each arm for the same, where a value may be anything up to a cap. */
export const cappedSubjectsMinimum = 1_000;

/** Why the sequence of these two proportions may not be shown yet; null when it may. */
export const proportionsTooFew = (variant: Proportion, control: Proportion): string | null => {
  const subjects = variant.subjects + control.subjects;
  const rate = (variant.successes + control.successes) / subjects;
  const smaller = Math.min(variant.subjects, control.subjects);
  // Of no subject at all the rate is not a number, and that is not enough either.
  return Math.min(rate, 1 - rate) * smaller >= expectedEventsMinimum
    ? null
    : `an arm expects fewer than ${expectedEventsMinimum} subjects with the event, or without: too few for a sequence`;
};

/** Why the sequence of means may not be shown yet; null when it may. */
export const meansTooFew = (arms: readonly SampleMoments[], capped: boolean): string | null => {
  if (!capped) return "the metric declares no cap: one extreme value could make the sequence lie";
  return arms.every(({ subjects }) => subjects >= cappedSubjectsMinimum)
    ? null
    : `an arm has fewer than ${cappedSubjectsMinimum} subjects: too few for a sequence`;
};

/** Variance of one subject's yes or no, with n − 1. */
const sampleVariance = (proportion: Proportion): number =>
  (proportionVariance(proportion) * proportion.subjects) / (proportion.subjects - 1);

/** Difference of two proportions as an estimate; variances with n − 1. */
export const proportionsDifference = (variant: Proportion, control: Proportion): Estimate => ({
  value: variant.successes / variant.subjects - control.successes / control.subjects,
  variance: sampleVariance(variant) + sampleVariance(control),
  subjects: variant.subjects + control.subjects,
});

/**
 * Confidence sequence for the difference of two proportions.
 *
 * @returns without an interval, with a reason, until each arm expects 25 events and 25 non-events at the pooled rate
 * @example
 * proportionSequence({ successes: 8_279, subjects: 45_489 }, { successes: 8_502, subjects: 44_700 });
 * // { difference: -0.0082…, interval: [-0.0168…, 0.0004…], pValue: 0.0833 }
 */
export const proportionSequence = (
  variant: Proportion,
  control: Proportion,
  options: SequenceOptions = {},
): SequentialContrast => {
  const tooFew = proportionsTooFew(variant, control);
  if (tooFew === null) return sequenceOf(proportionsDifference(variant, control), options);
  const known = variant.subjects > 0 && control.subjects > 0;
  return notShown(tooFew, known ? proportionsDifference(variant, control).value : null);
};

/** Difference of two means as an estimate; null without two subjects in both arms. */
export const meansDifference = (variant: SampleMoments, control: SampleMoments): Estimate | null => {
  const { mean, variance } = variant;
  if (mean === null || variance === null || control.mean === null || control.variance === null) return null;
  return {
    value: mean - control.mean,
    variance: variance / variant.subjects + control.variance / control.subjects,
    subjects: variant.subjects + control.subjects,
  };
};

/**
 * Confidence sequence for the difference of two means.
 *
 * @param capped whether every subject's value was cut at a cap that was declared before the start
 * @returns without an interval, with a reason, below 1,000 subjects an arm or without a cap
 */
export const meanSequence = (
  variant: SampleMoments,
  control: SampleMoments,
  { capped, ...options }: SequenceOptions & { readonly capped: boolean },
): SequentialContrast => {
  const estimate = meansDifference(variant, control);
  const tooFew = meansTooFew([variant, control], capped);
  if (tooFew !== null || estimate === null)
    return notShown(tooFew ?? "fewer than two subjects in an arm", estimate?.value ?? null);
  return sequenceOf(estimate, options);
};

/** How much wider the sequence is than the interval of a single look, at this size: what looking at any time costs. */
export const sequencePrice = (subjects: number, options: SequenceOptions = {}): number => {
  const { alpha = sequenceDefaults.alpha, plannedSubjects } = options;
  return sequenceHalfWidth({ variance: 1, subjects }, mixtureVariance(plannedSubjects), alpha) / normalCritical(alpha);
};
