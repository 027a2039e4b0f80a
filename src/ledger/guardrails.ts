/**
 * What guardrails say of an experiment that serves, on the counts since its last start. A guardrail is looked at every
 * minute for as long as an experiment runs, so only limits that hold at all looks together may pull a brake: acting on
 * point estimates rolled back 26.5 % of experiments without an effect.
 *
 * Violated: the one-sided lower limit of an arm is beyond the bound. Safe: the upper limit of every arm is inside.
 * Otherwise inconclusive. Guardrails are not corrected for their number: all of them must hold.
 */
import type { Guardrail } from "../experiment.ts";
import {
  type Limits,
  meansDifference,
  meansTooFew,
  mixtureVariance,
  oneSidedLimits,
  proportionsDifference,
  proportionsTooFew,
} from "../science/confidence-sequence.ts";
import type { Proportion } from "../science/proportions.ts";
import { rateLimits, rateRatioLimits } from "../science/rare-events.ts";
import type { SampleMoments } from "../science/welch.ts";
import { decimalNumber, momentsOf, parseDecimal } from "./decimal.ts";
import type { PlannedArm } from "./ground.ts";
import type { WatchCounts, WatchedArm, WatchedMetric } from "./watch.ts";

/** One-sided, over all looks together. */
export const guardrailAlpha = 0.05;

/**
 * An increase is judged by the exact test while events are rare and by the confidence sequence afterwards. Which of the
 * two it is depends on the data, so they share the level: together they stay under it whenever the change comes.
 */
export const exactShare = 0.2;

export type Verdict = "violated" | "safe" | "inconclusive";

/** How one arm stands to the bound. */
export interface ArmVerdict {
  readonly variant: string;
  readonly verdict: Verdict;
  readonly subjects: number;
  /** Of the arm itself under `maximum`; of the increase over control otherwise. Null while nothing can be said of it. */
  readonly estimate: number | null;
  readonly lower: number | null;
  readonly upper: number | null;
  readonly method: "exact" | "sequence" | null;
  /** Subjects whose value is beyond the cap and counts as the cap: what is bounded is the mean of cut values. */
  readonly cut: number;
  /** Why there are no limits. */
  readonly reason?: string;
}

export interface GuardrailVerdict {
  /** Which one of the configuration's it is, in its order. */
  readonly index: number;
  readonly guardrail: Guardrail;
  readonly verdict: Verdict;
  readonly bound: number;
  readonly arms: readonly ArmVerdict[];
  /** The arm that decided it: the violated one furthest beyond the bound, else the one that is least sure. */
  readonly decisive: ArmVerdict | null;
  /** `maximum` only: control is beyond the bound itself, so that going back to it cannot help. */
  readonly controlBreaks: boolean;
}

export interface GuardrailsInput {
  readonly guardrails: readonly Guardrail[];
  /** Of {@link watchedMetrics} of these guardrails. */
  readonly counts: WatchCounts;
  /** The arms of the live epoch. */
  readonly planned: readonly PlannedArm[];
  readonly control: string;
  /** Subjects of the plan, at which the sequences are tightest. Default 5,000. */
  readonly plannedSubjects?: number;
  /** Metrics that declare `missing: exclude`: a subject without a value is not in their mean, and is 0 in all others'. */
  readonly excluding?: ReadonlySet<string>;
  /** Whether the sample ratio is as planned: the exact test of a relative increase rests on it. */
  readonly sampleRatioHolds?: boolean;
}

/** What must be counted for these guardrails, each once. */
export const watchedMetrics = (guardrails: readonly Guardrail[]): readonly WatchedMetric[] => {
  const keyed = new Map(
    guardrails.map(({ metric, kind, cap }) => [
      JSON.stringify([metric, kind, cap ?? null]),
      { metric, kind, ...(cap === undefined ? {} : { cap }) },
    ]),
  );
  return [...keyed.values()];
};

/** One arm's totals of one metric. */
interface Arm {
  readonly variant: string;
  readonly share: number;
  readonly proportion: Proportion;
  readonly moments: SampleMoments;
  readonly cut: number;
}

const armOf = (
  counted: WatchedArm | undefined,
  { variant, share }: PlannedArm,
  place: number,
  excludes: boolean,
): Arm => {
  const subjects = counted?.subjects ?? 0;
  const total = counted?.totals[place];
  const measured = excludes ? (total?.observed ?? 0) : subjects;
  const [sum, squares] = [parseDecimal(total?.sum ?? "0"), parseDecimal(total?.sumOfSquares ?? "0")];
  return {
    variant,
    share,
    proportion: { successes: decimalNumber(sum), subjects },
    moments: { subjects: measured, ...momentsOf(measured, sum, squares) },
    cut: total?.cut ?? 0,
  };
};

/** What can be said of one number, or why nothing can. */
type Reading =
  | { readonly estimate: number; readonly limits: Limits; readonly method: "exact" | "sequence" }
  | { readonly estimate: number | null; readonly reason: string };

const rateOf = ({ successes, subjects }: Proportion): number => successes / subjects;

/** The rate or mean of one arm. A rate is exact at any size. */
const levelReading = (arm: Arm, { kind, cap }: Guardrail, plannedSubjects: number | undefined): Reading => {
  if (kind === "binary")
    return {
      estimate: rateOf(arm.proportion),
      limits: rateLimits(arm.proportion.successes, arm.proportion.subjects, guardrailAlpha),
      method: "exact",
    };
  const { mean, variance, subjects } = arm.moments;
  const tooFew = meansTooFew([arm.moments], cap !== undefined);
  if (tooFew !== null || mean === null || variance === null)
    return { estimate: mean, reason: tooFew ?? "fewer than two subjects" };
  const estimate = { value: mean, variance: variance / subjects, subjects };
  return {
    estimate: mean,
    limits: oneSidedLimits(estimate, mixtureVariance(plannedSubjects), guardrailAlpha),
    method: "sequence",
  };
};

const sequenceAlpha = guardrailAlpha * (1 - exactShare);
const exactAlpha = guardrailAlpha * exactShare;

/** Halvings of an interval of ratios. */
const halvings = 40;

/** Where a condition that holds at `inside` and not at `outside` ends. */
const search = (inside: number, outside: number, isInside: (ratio: number) => boolean): number => {
  let [near, far] = [inside, outside];
  for (let step = 0; step < halvings; step += 1) {
    const middle = (near + far) / 2;
    if (isInside(middle)) near = middle;
    else far = middle;
  }
  return near;
};

/**
 * Limits of the ratio of two means, by asking of each ratio whether variant − ratio · control could be 0 (Fieller 1954).
 * `limitsAt` gives the one-sided limits of that difference.
 */
const ratioLimits = (estimate: number, limitsAt: (ratio: number) => Limits): Limits => {
  const notBelow = (ratio: number): boolean => limitsAt(ratio).lower <= 0;
  const notAbove = (ratio: number): boolean => limitsAt(ratio).upper >= 0;
  const highest = Math.max(1, estimate) * 1e6;
  return {
    lower: notBelow(0) ? 0 : search(estimate, 0, notBelow),
    upper: notAbove(highest) ? Infinity : search(estimate, highest, notAbove),
  };
};

const shifted = ({ lower, upper }: Limits, by: number): Limits => ({ lower: lower + by, upper: upper + by });

/** Of a binary metric: variant − control, or that as a share of control. */
const rateIncrease = (variant: Arm, control: Arm, { relative }: Guardrail, input: GuardrailsInput): Reading => {
  const [v, c] = [variant.proportion, control.proportion];
  const rho = mixtureVariance(input.plannedSubjects);
  const isRare = proportionsTooFew(v, c) !== null;
  if (relative !== true) {
    const estimate = rateOf(v) - rateOf(c);
    if (!isRare)
      return {
        estimate,
        limits: oneSidedLimits(proportionsDifference(v, c), rho, sequenceAlpha),
        method: "sequence",
      };
    // Each arm alone at half the level: exact, whatever the sample ratio.
    const [ofVariant, ofControl] = [v, c].map((arm) => rateLimits(arm.successes, arm.subjects, exactAlpha / 2));
    if (ofVariant === undefined || ofControl === undefined) throw new TypeError("guardrail: two arms");
    const limits = { lower: ofVariant.lower - ofControl.upper, upper: ofVariant.upper - ofControl.lower };
    return { estimate, limits, method: "exact" };
  }
  const estimate = c.successes === 0 ? null : rateOf(v) / rateOf(c) - 1;
  if (!isRare && estimate !== null) {
    const limitsAt = (ratio: number): Limits => {
      const { value, variance, subjects } = proportionsDifference(v, c);
      const ofControl = (proportionsDifference(c, c).variance / 2) * (ratio ** 2 - 1);
      return oneSidedLimits(
        { value: value - (ratio - 1) * rateOf(c), variance: variance + ofControl, subjects },
        rho,
        sequenceAlpha,
      );
    };
    return { estimate, limits: shifted(ratioLimits(estimate + 1, limitsAt), -1), method: "sequence" };
  }
  if (input.sampleRatioHolds === false)
    return { estimate, reason: "the event is rare, and its exact test needs the sample ratio to be as planned" };
  const limits = rateRatioLimits(
    { converted: v.successes, share: variant.share },
    { converted: c.successes, share: control.share },
    exactAlpha,
  );
  // With control at 0 every finite increase is below what was seen.
  return { estimate: estimate ?? Infinity, limits: shifted(limits, -1), method: "exact" };
};

/** Of a count or a continuous metric: the same, by the confidence sequence alone. */
const meanIncrease = (variant: Arm, control: Arm, { relative, cap }: Guardrail, input: GuardrailsInput): Reading => {
  const [v, c] = [variant.moments, control.moments];
  const difference = meansDifference(v, c);
  const tooFew = meansTooFew([v, c], cap !== undefined);
  if (tooFew !== null || difference === null || c.mean === null || c.variance === null)
    return { estimate: difference?.value ?? null, reason: tooFew ?? "fewer than two subjects in an arm" };
  const rho = mixtureVariance(input.plannedSubjects);
  const { mean: controlMean, variance: controlVariance, subjects: controlSubjects } = c;
  if (relative !== true)
    return {
      estimate: difference.value,
      limits: oneSidedLimits(difference, rho, guardrailAlpha),
      method: "sequence",
    };
  if (controlMean <= 0) return { estimate: null, reason: "control is not above 0: there is no share of it" };
  const ratio = difference.value / controlMean + 1;
  const limitsAt = (at: number): Limits =>
    oneSidedLimits(
      {
        value: difference.value - (at - 1) * controlMean,
        variance: difference.variance + ((at ** 2 - 1) * controlVariance) / controlSubjects,
        subjects: difference.subjects,
      },
      rho,
      guardrailAlpha,
    );
  return { estimate: ratio - 1, limits: shifted(ratioLimits(ratio, limitsAt), -1), method: "sequence" };
};

const verdictOf = ({ variant, proportion: { subjects }, cut }: Arm, reading: Reading, bound: number): ArmVerdict => {
  if ("reason" in reading) {
    const { estimate, reason } = reading;
    return {
      variant,
      verdict: "inconclusive",
      subjects,
      estimate,
      lower: null,
      upper: null,
      method: null,
      cut,
      reason,
    };
  }
  const { estimate, limits, method } = reading;
  const { lower, upper } = limits;
  const verdict = lower > bound ? "violated" : upper <= bound ? "safe" : "inconclusive";
  return { variant, verdict, subjects, estimate, lower, upper, method, cut };
};

const judge = (input: GuardrailsInput, metrics: readonly WatchedMetric[], index: number): GuardrailVerdict => {
  const guardrail = input.guardrails[index];
  if (guardrail === undefined) throw new RangeError(`guardrail ${index}: there is none`);
  const { metric, kind, cap, maximum, maximumIncrease, minimumSample } = guardrail;
  const place = metrics.findIndex((one) => one.metric === metric && one.kind === kind && one.cap === cap);
  const counted = new Map(input.counts.arms.map((arm) => [arm.variant, arm]));
  const excludes = kind !== "binary" && input.excluding?.has(metric) === true;
  const arms = input.planned.map((arm) => armOf(counted.get(arm.variant), arm, place, excludes));
  const control = arms.find((arm) => arm.variant === input.control);
  if (control === undefined) throw new TypeError("guardrail: control is not among the arms");
  const bound = maximum ?? maximumIncrease;
  if (bound === undefined) throw new TypeError("guardrail: neither maximum nor maximumIncrease");
  // An arm that nobody is to be in, because its switch is off or its weight 0, is not served and harms nobody.
  const treatments = arms.filter((arm) => arm !== control && arm.share > 0);
  const verdicts = treatments.map((arm) => {
    const { subjects } = arm.proportion;
    const smallest = maximum === undefined ? Math.min(subjects, control.proportion.subjects) : subjects;
    const tooSmall = smallest < minimumSample;
    const reading: Reading = tooSmall
      ? { estimate: null, reason: `${smallest} of the ${minimumSample} subjects that an arm needs` }
      : maximum !== undefined
        ? levelReading(arm, guardrail, input.plannedSubjects)
        : kind === "binary"
          ? rateIncrease(arm, control, guardrail, input)
          : meanIncrease(arm, control, guardrail, input);
    return verdictOf(arm, reading, bound);
  });
  const violated = verdicts
    .filter(({ verdict }) => verdict === "violated")
    .toSorted((a, b) => (b.lower ?? -Infinity) - (a.lower ?? -Infinity));
  const unsure = verdicts
    .filter(({ verdict }) => verdict === "inconclusive")
    .toSorted((a, b) => (b.upper ?? Infinity) - (a.upper ?? Infinity));
  const decisive = violated[0] ?? unsure[0] ?? verdicts[0] ?? null;
  // By what was seen of control, not by its limits: that it is hardly better is enough for going back not to help.
  const ofControl = kind === "binary" ? rateOf(control.proportion) : (control.moments.mean ?? Number.NaN);
  return {
    index,
    guardrail,
    verdict: decisive?.verdict ?? "inconclusive",
    bound,
    arms: verdicts,
    decisive,
    controlBreaks: maximum !== undefined && control.proportion.subjects >= minimumSample && ofControl > bound,
  };
};

/**
 * The verdict of each guardrail, in the order of the configuration.
 *
 * @throws RangeError for counts or sums that no ledger can have
 * @example
 * guardrailVerdicts({ guardrails, counts, planned, control: "control" })[0]?.verdict; // "violated" | "safe" | "inconclusive"
 */
export const guardrailVerdicts = (input: GuardrailsInput): readonly GuardrailVerdict[] => {
  const metrics = watchedMetrics(input.guardrails);
  return input.guardrails.map((_, index) => judge(input, metrics, index));
};

/** True when a verdict may rest on the sample ratio, which must then be looked at. */
export const needsSampleRatio = (guardrails: readonly Guardrail[]): boolean =>
  guardrails.some(({ kind, relative }) => kind === "binary" && relative === true);
