/**
 * The fold at the heart of the ledger: what is known of some subjects, and a batch of events about them, give the
 * subjects anew and what changes in the counts. Pure. Counts are a function of the *set* of events: any order, any
 * split into batches and any redelivery give the same ones, bit for bit. One exception is the sender's fault: of two
 * outcomes that say different things under one event id, the first to arrive is counted.
 */
import type { ExposureRow, OutcomeRow } from "./batch.ts";
import { addDecimals, type Decimal, squareDecimal, subtractDecimals } from "./decimal.ts";
import { addValue, expose, type FirstExposure, metricKey, newSubject, type SubjectState } from "./subject.ts";

/** Change of one metric's totals in one arm. */
export interface TotalChange {
  observed: number;
  sum: Decimal;
  sumOfSquares: Decimal;
}

/** Change of one arm: a variant in an epoch. */
export interface ArmChange {
  readonly epoch: number;
  readonly variant: string;
  subjects: number;
  /** Of these, subjects whose first exposure was already older than the watermark. */
  settled: number;
  /** The others, by the minute of their first exposure. */
  readonly recent: Map<number, number>;
  /** By metric key. */
  readonly totals: Map<string, TotalChange>;
}

export interface Accumulated {
  /** Subjects that are not as they were. */
  readonly subjects: ReadonlyMap<string, SubjectState>;
  /** Outcomes that were not counted before, each event id once. */
  readonly outcomes: readonly OutcomeRow[];
  readonly arms: readonly ArmChange[];
  /** Change of the subjects that have a value but no exposure, by metric key. */
  readonly unexposed: ReadonlyMap<string, number>;
  /** Subjects that became crossovers. */
  readonly crossovers: number;
}

export interface Known {
  /** Every subject of the batch that has a state. */
  readonly subjects: ReadonlyMap<string, SubjectState>;
  /** Ids of the batch's outcomes that are counted already. */
  readonly outcomeIds: ReadonlySet<string>;
  /** First exposures before this minute (ms / 60,000) are settled: older than the watermark. */
  readonly settledBefore: number;
}

export const minuteOf = (time: number): number => Math.floor(time / 60_000);

interface Changes {
  readonly arms: Map<string, ArmChange>;
  readonly unexposed: Map<string, number>;
  readonly settledBefore: number;
}

const armOf = (changes: Changes, { epoch, variant }: FirstExposure): ArmChange => {
  const key = `${epoch}:${variant}`;
  const known = changes.arms.get(key);
  if (known !== undefined) return known;
  const arm = { epoch, variant, subjects: 0, settled: 0, recent: new Map(), totals: new Map() };
  changes.arms.set(key, arm);
  return arm;
};

const countSubject = (changes: Changes, first: FirstExposure, change: 1 | -1): void => {
  const arm = armOf(changes, first);
  const minute = minuteOf(first.time);
  arm.subjects += change;
  if (minute < changes.settledBefore) arm.settled += change;
  else arm.recent.set(minute, (arm.recent.get(minute) ?? 0) + change);
};

const countTotal = (
  changes: Changes,
  first: FirstExposure | null,
  key: string,
  from: Decimal | undefined,
  to: Decimal | undefined,
): void => {
  const observed = (to === undefined ? 0 : 1) - (from === undefined ? 0 : 1);
  if (first === null) {
    changes.unexposed.set(key, (changes.unexposed.get(key) ?? 0) + observed);
    return;
  }
  const { totals } = armOf(changes, first);
  const { observed: before, sum, sumOfSquares } = totals.get(key) ?? { observed: 0, sum: 0, sumOfSquares: 0 };
  const [old, now] = [from ?? 0, to ?? 0];
  totals.set(key, {
    observed: before + observed,
    sum: addDecimals(sum, subtractDecimals(now, old)),
    sumOfSquares: addDecimals(sumOfSquares, subtractDecimals(squareDecimal(now), squareDecimal(old))),
  });
};

const sameArm = (a: FirstExposure | null, b: FirstExposure | null): boolean =>
  a === b || (a !== null && b !== null && a.epoch === b.epoch && a.variant === b.variant);

const countChange = (changes: Changes, before: SubjectState, after: SubjectState): void => {
  if (before.first !== after.first) {
    if (before.first !== null) countSubject(changes, before.first, -1);
    if (after.first !== null) countSubject(changes, after.first, 1);
  }
  if (sameArm(before.first, after.first)) {
    for (const [key, total] of after.totals) {
      const old = before.totals.get(key);
      if (old !== total) countTotal(changes, after.first, key, old, total);
    }
    return;
  }
  for (const [key, total] of before.totals) countTotal(changes, before.first, key, total, undefined);
  for (const [key, total] of after.totals) countTotal(changes, after.first, key, undefined, total);
};

/**
 * Folds a batch into what is known.
 *
 * @param batch exposures and outcomes of one experiment, duplicates included; which exposure ids are new is counted
 *   elsewhere, because an exposure that comes twice changes nothing here
 * @example
 * const { subjects, arms } = accumulate(
 *   { subjects: new Map(), outcomeIds: new Set(), settledBefore: 0 },
 *   { exposures: [["019a…", "user-1", "treatment", 1, 1_764_000_000_000]], outcomes: [] },
 * );
 * arms[0]; // { epoch: 1, variant: "treatment", subjects: 1, … }
 */
export const accumulate = (
  known: Known,
  batch: { readonly exposures: readonly ExposureRow[]; readonly outcomes: readonly OutcomeRow[] },
): Accumulated => {
  const states = new Map<string, SubjectState>();
  const stateOf = (subject: string): SubjectState => states.get(subject) ?? known.subjects.get(subject) ?? newSubject;
  for (const exposure of batch.exposures) {
    const state = stateOf(exposure[1]);
    const next = expose(state, exposure);
    if (next !== state) states.set(exposure[1], next);
  }

  const outcomes: OutcomeRow[] = [];
  const ids = new Set<string>();
  const copied = new Map<string, Map<string, Decimal>>();
  for (const outcome of batch.outcomes) {
    const [id, subject, metric, kind] = outcome;
    if (known.outcomeIds.has(id) || ids.has(id)) continue;
    ids.add(id);
    outcomes.push(outcome);
    let totals = copied.get(subject);
    if (totals === undefined) {
      const state = stateOf(subject);
      totals = new Map(state.totals);
      copied.set(subject, totals);
      states.set(subject, { ...state, totals });
    }
    const key = metricKey(metric, kind);
    totals.set(key, addValue(totals.get(key), outcome));
  }

  const changes: Changes = { arms: new Map(), unexposed: new Map(), settledBefore: known.settledBefore };
  const subjects = new Map<string, SubjectState>();
  let crossovers = 0;
  for (const [subject, after] of states) {
    const before = known.subjects.get(subject) ?? newSubject;
    if (after === before) continue;
    if (after.variants !== null && before.variants === null) crossovers += 1;
    subjects.set(subject, after);
    countChange(changes, before, after);
  }
  return {
    subjects,
    outcomes,
    arms: [...changes.arms.values()],
    unexposed: changes.unexposed,
    crossovers,
  };
};
