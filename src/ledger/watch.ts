/**
 * What guardrails look at: subjects first exposed since the experiment last started (or its live version was published),
 * in one epoch, by exposures that server keys sent; and their totals of the metrics that are watched. Pure, additive
 * over subjects, and so over shards: counts of a whole are the sum of the counts of its parts.
 */
import * as v from "valibot";
import { metricKinds } from "../experiment.ts";
import {
  addDecimals,
  type Decimal,
  decimalNumber,
  decimalOf,
  decimalText,
  parseDecimal,
  squareDecimal,
  subtractDecimals,
} from "./decimal.ts";
import { metricKey, type SubjectState, trustedFirst, wholeValue } from "./subject.ts";

const WatchedMetricSchema = v.object({
  metric: v.string(),
  kind: v.picklist(metricKinds),
  /** A subject's total beyond it counts as it. */
  cap: v.exactOptional(v.number()),
});
export type WatchedMetric = v.InferOutput<typeof WatchedMetricSchema>;

export const WatchSchema = v.object({
  epoch: v.number(),
  /** ms since 1970: the earliest first exposure that counts. */
  since: v.number(),
  metrics: v.array(WatchedMetricSchema),
});
export type Watch = v.InferOutput<typeof WatchSchema>;

const WatchedArmSchema = v.object({
  variant: v.string(),
  subjects: v.number(),
  /** In the order of the watched metrics; sums are exact decimals as text. */
  totals: v.array(
    v.object({
      observed: v.number(),
      sum: v.string(),
      sumOfSquares: v.string(),
      /** Subjects whose value is beyond the cap and counts as the cap. */
      cut: v.optional(v.number(), 0),
    }),
  ),
});
export type WatchedArm = v.InferOutput<typeof WatchedArmSchema>;

export const WatchCountsSchema = v.object({ arms: v.array(WatchedArmSchema) });
export type WatchCounts = v.InferOutput<typeof WatchCountsSchema>;

export const noWatchCounts: WatchCounts = { arms: [] };

/** Rises with what is counted: stored counts of an older shape are of another watch, and are counted anew. */
const shape = 2;

/** One watch for each epoch, start and list of metrics. */
export const watchKey = ({ epoch, since, metrics }: Watch): string =>
  JSON.stringify([shape, epoch, since, metrics.map(({ metric, kind, cap }) => [metric, kind, cap ?? null])]);

interface Tally {
  observed: number;
  sum: Decimal;
  sumOfSquares: Decimal;
  cut: number;
}

interface ArmTally {
  subjects: number;
  readonly totals: readonly Tally[];
}

const emptyTally = (metrics: number): ArmTally => ({
  subjects: 0,
  totals: Array.from({ length: metrics }, () => ({ observed: 0, sum: 0, sumOfSquares: 0, cut: 0 })),
});

const cappedDecimal = (total: Decimal, cap: number | undefined): Decimal => {
  if (cap === undefined) return total;
  const value = decimalNumber(total);
  return value > cap ? decimalOf(cap) : value < -cap ? decimalOf(-cap) : total;
};

export interface WatchFold {
  /** A subject that was as `before` is now as `after`. */
  observe(before: SubjectState, after: SubjectState): void;
  counts(): WatchCounts;
}

/**
 * Keeps the counts of a watch up to date with its subjects.
 *
 * @example
 * const fold = foldWatch(watch, known);
 * for (const [subject, after] of folded.subjects) fold.observe(before.get(subject) ?? newSubject, after);
 * fold.counts(); // { arms: [{ variant: "treatment", subjects: 512, totals: [{ observed: 9, sum: "9", … }] }] }
 */
export const foldWatch = ({ epoch, since, metrics }: Watch, known: WatchCounts = noWatchCounts): WatchFold => {
  const keys = metrics.map(({ metric, kind }) => metricKey(metric, kind));
  const arms = new Map<string, ArmTally>(
    known.arms.map(({ variant, subjects, totals }) => [
      variant,
      {
        subjects,
        totals: totals.map(({ observed, sum, sumOfSquares, cut }) => ({
          observed,
          cut,
          sum: parseDecimal(sum),
          sumOfSquares: parseDecimal(sumOfSquares),
        })),
      },
    ]),
  );
  const add = (state: SubjectState, sign: 1 | -1): void => {
    const first = trustedFirst(state);
    if (first === null || first.epoch !== epoch || first.time < since) return;
    let arm = arms.get(first.variant);
    if (arm === undefined) {
      arm = emptyTally(metrics.length);
      arms.set(first.variant, arm);
    }
    const combine = sign === 1 ? addDecimals : subtractDecimals;
    arm.subjects += sign;
    for (const [place, key] of keys.entries()) {
      const raw = state.totals.get(key);
      const tally = arm.totals[place];
      if (raw === undefined || tally === undefined) continue;
      const whole = wholeValue(raw);
      const total = cappedDecimal(whole, metrics[place]?.cap);
      tally.observed += sign;
      // The same object where nothing was cut.
      if (total !== whole) tally.cut += sign;
      tally.sum = combine(tally.sum, total);
      tally.sumOfSquares = combine(tally.sumOfSquares, squareDecimal(total));
    }
  };
  return {
    observe(before, after) {
      add(before, -1);
      add(after, 1);
    },
    counts: () => ({
      arms: [...arms]
        .filter(([, { subjects }]) => subjects > 0)
        .toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
        .map(([variant, { subjects, totals }]) => ({
          variant,
          subjects,
          totals: totals.map(({ observed, sum, sumOfSquares, cut }) => ({
            observed,
            cut,
            sum: decimalText(sum),
            sumOfSquares: decimalText(sumOfSquares),
          })),
        })),
    }),
  };
};

/** The counts of all parts together: of a ledger in shards. */
export const mergeWatchCounts = (parts: readonly WatchCounts[]): WatchCounts => {
  const arms = Map.groupBy(
    parts.flatMap((part) => part.arms),
    ({ variant }) => variant,
  );
  return {
    arms: [...arms]
      .toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
      .map(([variant, same]) => ({
        variant,
        subjects: same.reduce((sum, arm) => sum + arm.subjects, 0),
        totals: (same[0]?.totals ?? []).map((_, place) => {
          const totals = same.flatMap((arm) => arm.totals[place] ?? []);
          const addUp = (read: (total: (typeof totals)[number]) => string): string =>
            decimalText(totals.reduce<Decimal>((sum, total) => addDecimals(sum, parseDecimal(read(total))), 0));
          return {
            observed: totals.reduce((sum, { observed }) => sum + observed, 0),
            cut: totals.reduce((sum, { cut }) => sum + cut, 0),
            sum: addUp((total) => total.sum),
            sumOfSquares: addUp((total) => total.sumOfSquares),
          };
        }),
      })),
  };
};
