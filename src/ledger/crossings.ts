/**
 * Signals: what an analysis says of an experiment by itself, once for each crossing. Pure. What holds now follows from the
 * readings; a signal is raised when it holds and did not hold at the look before, so looking twice says nothing twice, and
 * what falls back and crosses again is told again.
 *
 * Only tests that may be looked at at any time raise a signal about an effect or a ratio. A fixed-horizon p value raises
 * one at most about itself: that it was looked at too early.
 */
import type { SequentialContrast } from "../science/confidence-sequence.ts";
import type { SampleRatioReading } from "./sample-ratio.ts";
import { crossoverSignals, mismatchSignal } from "./signals.ts";

export const signalTypes = [
  "SampleRatioMismatch",
  "SequentialCheckpoint",
  "PeekingWarning",
  "MinimumSampleReached",
  "PowerThresholdMet",
  "CrossoverRate",
] as const;
export type SignalType = (typeof signalTypes)[number];

export interface Signal {
  /** The same for the same thing crossed, and for nothing else. */
  readonly key: string;
  /** One of {@link signalTypes}, or a name of the host's own. */
  readonly signalType: string;
  readonly severity: "Info" | "Warning" | "Critical";
  readonly message: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** One metric of one arm against control, within the live epoch. */
export interface ContrastReading {
  readonly metric: string;
  readonly variant: string;
  readonly epoch: number;
  readonly primary: boolean;
  /** What the metric is to do; left out, neither direction is better. */
  readonly goal?: "increase" | "decrease";
  readonly sequential: SequentialContrast;
  /** Of the effect that was declared worth finding, at control's observed variance; null where it cannot be said. */
  readonly power: number | null;
}

/** What the host wants to be told of besides. */
export interface CustomSignal {
  readonly name: string;
  readonly severity: Signal["severity"];
  readonly message: string;
  readonly holds: boolean;
  readonly data?: Readonly<Record<string, unknown>>;
}

export interface SignalReadings {
  readonly sampleRatios: readonly SampleRatioReading[];
  readonly contrasts: readonly ContrastReading[];
  readonly subjects: number;
  readonly crossovers: number;
  /** Subjects that the plan asks for, in all arms together. */
  readonly plannedSample?: number;
  /** Power that is enough; default 0.8. */
  readonly powerWanted?: number;
  readonly custom?: readonly CustomSignal[];
}

const key = (...parts: readonly (string | number)[]): string => JSON.stringify(parts);

const short = (value: number): string => String(Number(value.toPrecision(3)));

/** Whether the sequence excludes no difference, and on which side. */
export const directionOf = ({ interval }: SequentialContrast): "above" | "below" | null => {
  if (interval === null) return null;
  const [low, high] = interval;
  return low > 0 ? "above" : high < 0 ? "below" : null;
};

/** Whether that side is the one that was hoped for; null where nothing was. */
export const isBetter = (direction: "above" | "below", goal: ContrastReading["goal"]): boolean | null =>
  goal === undefined ? null : (direction === "above") === (goal === "increase");

const checkpoints = (contrasts: readonly ContrastReading[]): readonly Signal[] =>
  contrasts.flatMap((contrast): readonly Signal[] => {
    const { metric, variant, epoch, goal, sequential } = contrast;
    const direction = directionOf(sequential);
    const { interval, pValue, difference } = sequential;
    if (direction === null || interval === null) return [];
    const better = isBetter(direction, goal);
    const words = better === null ? "" : better ? ", as was hoped" : ", the other way than was hoped";
    return [
      {
        key: key("SequentialCheckpoint", epoch, metric, variant, direction),
        signalType: "SequentialCheckpoint",
        severity: better === false ? "Warning" : "Info",
        message: `${metric} in ${variant} is ${direction} control's: between ${short(interval[0])} and ${short(interval[1])}, valid at any look${words}.`,
        data: { metric, variant, epoch, direction, better, difference, interval, pValue },
      },
    ];
  });

const powered = (contrasts: readonly ContrastReading[], wanted: number): readonly Signal[] =>
  contrasts.flatMap(({ metric, variant, epoch, primary, power }): readonly Signal[] =>
    !primary || power === null || power < wanted
      ? []
      : [
          {
            key: key("PowerThresholdMet", epoch, metric, variant),
            signalType: "PowerThresholdMet",
            severity: "Info",
            message: `${metric} in ${variant}: the effect that was declared would be found with a probability of ${short(power)}.`,
            data: { metric, variant, epoch, power, wanted },
          },
        ],
  );

/**
 * Every signal that holds for these readings.
 *
 * @example signalsHolding({ sampleRatios: [], contrasts: [], subjects: 1_000, crossovers: 20 })[0]?.signalType // "CrossoverRate"
 */
export const signalsHolding = (readings: SignalReadings): readonly Signal[] => {
  const { sampleRatios, contrasts, subjects, crossovers, plannedSample, powerWanted = 0.8, custom = [] } = readings;
  return [
    ...sampleRatios
      .filter(({ sequential }) => sequential.mismatch)
      .map((reading): Signal => ({ key: key("SampleRatioMismatch", reading.epoch), ...mismatchSignal(reading) })),
    ...checkpoints(contrasts),
    ...(plannedSample === undefined || subjects < plannedSample
      ? []
      : [
          {
            key: key("MinimumSampleReached", plannedSample),
            signalType: "MinimumSampleReached",
            severity: "Info",
            message: `The planned sample is reached: ${subjects} of ${plannedSample} subjects.`,
            data: { subjects, plannedSample },
          } as const,
        ]),
    ...powered(contrasts, powerWanted),
    ...crossoverSignals(crossovers, subjects).map((signal): Signal => ({ key: key("CrossoverRate"), ...signal })),
    ...custom
      .filter(({ holds }) => holds)
      .map(({ name, severity, message, data = {} }): Signal => ({
        key: key("custom", name),
        signalType: name,
        severity,
        message,
        data,
      })),
  ];
};

export interface Crossings {
  /** What crossed at this look. */
  readonly raised: readonly Signal[];
  /** Keys to keep until the next one. */
  readonly holding: readonly string[];
}

/**
 * Which of the signals that hold now did not at the look before.
 *
 * @param before keys that the look before left; none before the first
 * @example
 * const first = crossings([], signalsHolding(readings)); // everything that holds is new
 * crossings(first.holding, signalsHolding(readings)).raised; // []
 */
export const crossings = (before: readonly string[], now: readonly Signal[]): Crossings => {
  const known = new Set(before);
  const unique = [...new Map(now.map((signal) => [signal.key, signal])).values()];
  return {
    raised: unique.filter((signal) => !known.has(signal.key)),
    holding: unique.map((signal) => signal.key).toSorted(),
  };
};

/** How far an experiment is on its way to the one moment at which a fixed-horizon p value means what it says. */
export interface FixedHorizon {
  readonly status: "early" | "final";
  /** 0 to 1, of the planned sample or time; null without a plan: then no moment is the planned one. */
  readonly fraction: number | null;
}

const part = (done: number, all: number): number => Math.max(0, Math.min(1, all > 0 ? done / all : 1));

/**
 * Against the planned sample where there is one, else against the planned end; without a plan every reading is early.
 *
 * @param now ms since 1970; `start` is when it last started, `end` what the plan says
 */
export const fixedHorizonOf = ({
  subjects,
  plannedSample,
  start,
  end,
  now,
}: {
  readonly subjects: number;
  readonly plannedSample?: number;
  readonly start?: number;
  readonly end?: number;
  readonly now: number;
}): FixedHorizon => {
  if (plannedSample !== undefined) {
    const fraction = part(subjects, plannedSample);
    return { status: subjects >= plannedSample ? "final" : "early", fraction };
  }
  if (end === undefined || start === undefined) return { status: "early", fraction: null };
  return { status: now >= end ? "final" : "early", fraction: part(now - start, end - start) };
};

/** A metric's fixed-horizon p value beside what may be looked at at any time. */
export interface EarlyReading {
  readonly metric: string;
  readonly variant: string;
  readonly fixedPValue: number | null;
  readonly sequential: SequentialContrast;
}

/**
 * The warning that a change or a conclusion rests on a p value that was read too early: an effect is claimed, the plan is
 * not fulfilled, the fixed-horizon test calls it significant, and what may be looked at at any time does not. Reading
 * results raises nothing; acting on them does.
 *
 * @param claim what is being done, in words: `ship treatment`, `publish version 3`
 * @returns null when nothing of the kind holds
 */
export const peekingWarning = (
  claim: string,
  horizon: FixedHorizon,
  readings: readonly EarlyReading[],
  alpha = 0.05,
): Signal | null => {
  if (horizon.status === "final") return null;
  const early = readings.filter(
    ({ fixedPValue, sequential }) => fixedPValue !== null && fixedPValue < alpha && directionOf(sequential) === null,
  );
  if (early.length === 0) return null;
  const at = horizon.fraction === null ? "without a plan" : `at ${Math.round(horizon.fraction * 100)} % of the plan`;
  const what = early.map(({ metric, variant }) => `${metric} in ${variant}`).join(", ");
  return {
    key: key("PeekingWarning", claim),
    signalType: "PeekingWarning",
    severity: "Warning",
    message: `"${claim}" rests on a p value that was read ${at}: ${what}. Read early and often, such a value is below ${alpha} far too often; the sequential result is not conclusive.`,
    data: {
      claim,
      fraction: horizon.fraction,
      readings: early.map(({ metric, variant, fixedPValue, sequential }) => ({
        metric,
        variant,
        fixedPValue,
        sequentialPValue: sequential.pValue,
      })),
    },
  };
};
