/**
 * The fold at the heart of the ledger: what is known of some subjects, and a batch of events about them, give the
 * subjects anew and what changes in the counts. Pure. Counts are a function of the *set* of events: any order, any
 * split into batches and any redelivery give the same ones, bit for bit. One exception is the sender's fault: of two
 * outcomes that say different things under one event id, the first to arrive is counted.
 */
import type { ExposureRow, OutcomeRow } from "./batch.ts";
import { addDecimals, type Decimal, multiplyDecimals, squareDecimal, subtractDecimals } from "./decimal.ts";
import { type MetricSpec, presentIn, type Product } from "./metric-spec.ts";
import { everybody, slicesOf, type Slicing } from "./slices.ts";
import {
  addValue,
  expose,
  type FirstExposure,
  isInWindow,
  metricKey,
  type MetricState,
  newSubject,
  type SubjectState,
  valueOf,
} from "./subject.ts";

/** Change of one metric's totals in one arm. */
export interface TotalChange {
  observed: number;
  sum: Decimal;
  sumOfSquares: Decimal;
}

/** Change of one slice of an arm. */
export interface SliceChange {
  subjects: number;
  /** By metric key, and by product key. */
  readonly totals: Map<string, TotalChange>;
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
  /** By slice; that of everybody has the totals of the whole arm. */
  readonly slices: Map<string, SliceChange>;
}

/** Change of the counts. */
export interface CountChanges {
  readonly arms: readonly ArmChange[];
  /** Change of the subjects that have a value but no exposure, by metric key. */
  readonly unexposed: ReadonlyMap<string, number>;
  /** Subjects that became crossovers, or are no longer here. */
  readonly crossovers: number;
}

export interface Accumulated extends CountChanges {
  /** Subjects that are not as they were. */
  readonly subjects: ReadonlyMap<string, SubjectState>;
  /** Outcomes that were not counted before, each event id of a subject once. */
  readonly outcomes: readonly OutcomeRow[];
}

/** How subjects become counts. */
export interface Counting {
  /** First exposures before this minute (ms / 60,000) are settled: older than the watermark. */
  readonly settledBefore: number;
  readonly specOf: (key: string) => MetricSpec;
  readonly products: readonly Product[];
  readonly slicing: Slicing;
  /** False for a subject whose totals are still to be counted anew: its arm is, the rest follows. */
  readonly isTotalled?: (subject: string) => boolean;
}

export interface Known extends Counting {
  /** Every subject of the batch that has a state. */
  readonly subjects: ReadonlyMap<string, SubjectState>;
  /** True for an outcome of this batch that is counted already. */
  readonly isCounted: (outcome: OutcomeRow) => boolean;
  /** Everything that has been counted of these subjects: asked for when a first exposure moves, which is seldom. */
  readonly outcomesOf: (subjects: readonly string[]) => ReadonlyMap<string, readonly OutcomeRow[]>;
}

export const minuteOf = (time: number): number => Math.floor(time / 60_000);

interface Changes {
  readonly arms: Map<string, ArmChange>;
  readonly unexposed: Map<string, number>;
  readonly counting: Counting;
}

const armOf = ({ arms }: Changes, { epoch, variant }: FirstExposure): ArmChange => {
  const key = `${epoch}:${variant}`;
  const known = arms.get(key);
  if (known !== undefined) return known;
  const arm = { epoch, variant, subjects: 0, settled: 0, recent: new Map(), slices: new Map() };
  arms.set(key, arm);
  return arm;
};

const sliceOf = ({ slices }: ArmChange, name: string): SliceChange => {
  const known = slices.get(name);
  if (known !== undefined) return known;
  const slice = { subjects: 0, totals: new Map() };
  slices.set(name, slice);
  return slice;
};

const countSubject = (changes: Changes, first: FirstExposure, change: 1 | -1): void => {
  const arm = armOf(changes, first);
  const minute = minuteOf(first.time);
  arm.subjects += change;
  if (minute < changes.counting.settledBefore) arm.settled += change;
  else arm.recent.set(minute, (arm.recent.get(minute) ?? 0) + change);
};

const addTotal = (
  totals: Map<string, TotalChange>,
  key: string,
  from: Decimal | undefined,
  to: Decimal | undefined,
): void => {
  const [old, now] = [from ?? 0, to ?? 0];
  const observed = (to === undefined ? 0 : 1) - (from === undefined ? 0 : 1);
  const sum = subtractDecimals(now, old);
  const sumOfSquares = subtractDecimals(squareDecimal(now), squareDecimal(old));
  const total = totals.get(key);
  if (total === undefined) {
    totals.set(key, { observed, sum, sumOfSquares });
    return;
  }
  total.observed += observed;
  total.sum = addDecimals(total.sum, sum);
  total.sumOfSquares = addDecimals(total.sumOfSquares, sumOfSquares);
};

const valueIn = ({ totals }: SubjectState, key: string, specOf: Counting["specOf"]): Decimal | undefined => {
  const present = presentIn(key);
  if (present !== null) return totals.has(present) ? 1 : undefined;
  const state = totals.get(key);
  return state === undefined ? undefined : valueOf(state, specOf(key));
};

/** The product counts only where there is a factor: nothing is 0 here, as it is for the sums. */
const productIn = (state: SubjectState, { left, right }: Product, specOf: Counting["specOf"]): Decimal | undefined => {
  const [x, y] = [valueIn(state, left, specOf), valueIn(state, right, specOf)];
  return x === undefined || y === undefined ? undefined : multiplyDecimals(x, y);
};

/** What one subject adds to its slices and what it no longer adds, in one go. */
const countTotals = (
  changes: Changes,
  slices: readonly SliceChange[],
  before: SubjectState,
  after: SubjectState,
): void => {
  const { specOf, products } = changes.counting;
  const count = (key: string, from: Decimal | undefined, to: Decimal | undefined): void => {
    if (from === to) return;
    for (const { totals } of slices) addTotal(totals, key, from, to);
  };
  for (const key of after.totals.keys()) {
    if (before.totals.get(key) !== after.totals.get(key))
      count(key, valueIn(before, key, specOf), valueIn(after, key, specOf));
  }
  for (const key of before.totals.keys())
    if (!after.totals.has(key)) count(key, valueIn(before, key, specOf), undefined);
  for (const product of products)
    count(product.key, productIn(before, product, specOf), productIn(after, product, specOf));
};

const noTotals: SubjectState = newSubject;

const slicesIn = (changes: Changes, state: SubjectState, change: 1 | -1 | 0): readonly SliceChange[] => {
  if (state.first === null) return [];
  const arm = armOf(changes, state.first);
  const slices = [everybody, ...slicesOf(changes.counting.slicing, state)].map((name) => sliceOf(arm, name));
  for (const slice of slices) slice.subjects += change;
  return slices;
};

const samePlace = (a: SubjectState, b: SubjectState): boolean =>
  (a.variants === null) === (b.variants === null) &&
  (a.first === b.first ||
    (a.first !== null &&
      b.first !== null &&
      a.first.epoch === b.first.epoch &&
      a.first.variant === b.first.variant &&
      a.first.time === b.first.time &&
      a.first.dimensions.join("\n") === b.first.dimensions.join("\n")));

const countUnexposed = (changes: Changes, { first, totals }: SubjectState, change: 1 | -1): void => {
  if (first !== null) return;
  for (const key of totals.keys()) changes.unexposed.set(key, (changes.unexposed.get(key) ?? 0) + change);
};

const countChange = (changes: Changes, before: SubjectState, after: SubjectState, isTotalled: boolean): void => {
  if (before.first !== after.first) {
    if (before.first !== null) countSubject(changes, before.first, -1);
    if (after.first !== null) countSubject(changes, after.first, 1);
  }
  countUnexposed(changes, before, -1);
  countUnexposed(changes, after, 1);
  if (!isTotalled) return;
  if (samePlace(before, after)) {
    countTotals(changes, slicesIn(changes, after, 0), before, after);
    return;
  }
  countTotals(changes, slicesIn(changes, before, -1), before, noTotals);
  countTotals(changes, slicesIn(changes, after, 1), noTotals, after);
};

const startChanges = (counting: Counting): Changes => ({ arms: new Map(), unexposed: new Map(), counting });

const always = (): boolean => true;

/** How the counts change when these subjects are not here any more. */
export const removal = (counting: Counting, subjects: ReadonlyMap<string, SubjectState>): CountChanges => {
  const { isTotalled = always } = counting;
  const changes = startChanges(counting);
  let crossovers = 0;
  for (const [subject, state] of subjects) {
    if (state.variants !== null) crossovers -= 1;
    countChange(changes, state, newSubject, isTotalled(subject));
  }
  return { arms: [...changes.arms.values()], unexposed: changes.unexposed, crossovers };
};

/** What these subjects add to totals and slices, where those are counted anew; their arms are left as they are. */
export const totalsOf = (counting: Counting, subjects: Iterable<SubjectState>): CountChanges => {
  const changes = startChanges(counting);
  for (const state of subjects) countTotals(changes, slicesIn(changes, state, 1), noTotals, state);
  return { arms: [...changes.arms.values()], unexposed: new Map(), crossovers: 0 };
};

/** Folds all outcomes of a subject anew. */
export const totalsFrom = (
  first: FirstExposure | null,
  outcomes: readonly OutcomeRow[],
  specOf: Counting["specOf"],
  start: ReadonlyMap<string, MetricState> = new Map(),
): ReadonlyMap<string, MetricState> => {
  const totals = new Map(start);
  for (const outcome of outcomes) {
    const [, , metric, kind, time] = outcome;
    const key = metricKey(metric, kind);
    if (first === null) {
      totals.set(key, waiting);
      continue;
    }
    const spec = specOf(key);
    if (isInWindow(spec, first.time, time)) totals.set(key, addValue(totals.get(key), spec, outcome));
  }
  return totals;
};

/** Says that there are values; what they come to is found when it is known from when to when they count. */
const waiting: MetricState = { value: 0 };

/** Outcomes of one subject, each event id once. Most have a few: they are looked through, which costs less than a set. */
interface OwnOutcomes {
  readonly rows: OutcomeRow[];
  ids?: Set<string>;
}

const lookedThroughMax = 16;

const hasOutcome = (own: OwnOutcomes, id: string): boolean => {
  if (own.ids === undefined && own.rows.length < lookedThroughMax) return own.rows.some(([known]) => known === id);
  own.ids ??= new Set(own.rows.map(([known]) => known));
  return own.ids.has(id);
};

const addOutcome = (own: OwnOutcomes, outcome: OutcomeRow): void => {
  own.rows.push(outcome);
  own.ids?.add(outcome[0]);
};

/**
 * Folds a batch into what is known.
 *
 * @param batch exposures and outcomes of one experiment, duplicates included; which exposure ids are new is counted
 *   elsewhere, because an exposure that comes twice changes nothing here
 * @example
 * const { subjects, arms } = accumulate(
 *   { subjects: new Map(), isCounted: () => false, outcomesOf: () => new Map(), settledBefore: 0, … },
 *   { exposures: [["019a…", "user-1", "treatment", 1, 1_764_000_000_000]], outcomes: [] },
 * );
 * arms[0]; // { epoch: 1, variant: "treatment", subjects: 1, … }
 */
export const accumulate = (
  known: Known,
  batch: { readonly exposures: readonly ExposureRow[]; readonly outcomes: readonly OutcomeRow[] },
): Accumulated => {
  const { specOf, isTotalled = always } = known;
  const states = new Map<string, SubjectState>();
  const stateOf = (subject: string): SubjectState => states.get(subject) ?? known.subjects.get(subject) ?? newSubject;
  for (const exposure of batch.exposures) {
    const state = stateOf(exposure[1]);
    const next = expose(state, exposure);
    if (next !== state) states.set(exposure[1], next);
  }

  const outcomes: OutcomeRow[] = [];
  const added = new Map<string, OwnOutcomes>();
  for (const outcome of batch.outcomes) {
    const [id, subject] = outcome;
    const own = added.get(subject);
    if ((own !== undefined && hasOutcome(own, id)) || known.isCounted(outcome)) continue;
    outcomes.push(outcome);
    if (own === undefined) added.set(subject, { rows: [outcome] });
    else addOutcome(own, outcome);
  }

  // Those whose window moved: everything that was counted of them is folded anew.
  const moved = [...states].flatMap(([subject, { first }]) => {
    const before = known.subjects.get(subject);
    return before !== undefined &&
      before.totals.size + (before.first === null ? 0 : 1) > 0 &&
      before.first?.time !== first?.time
      ? [subject]
      : [];
  });
  const counted = moved.length === 0 ? new Map<string, readonly OutcomeRow[]>() : known.outcomesOf(moved);
  for (const subject of moved) {
    const state = stateOf(subject);
    states.set(subject, { ...state, totals: totalsFrom(state.first, counted.get(subject) ?? [], specOf) });
  }
  for (const [subject, own] of added) {
    const state = stateOf(subject);
    states.set(subject, { ...state, totals: totalsFrom(state.first, own.rows, specOf, state.totals) });
  }

  const changes = startChanges(known);
  let crossovers = 0;
  for (const [subject, after] of states) {
    const before = known.subjects.get(subject) ?? newSubject;
    if (after.variants !== null && before.variants === null) crossovers += 1;
    countChange(changes, before, after, isTotalled(subject));
  }
  return {
    subjects: states,
    outcomes,
    arms: [...changes.arms.values()],
    unexposed: changes.unexposed,
    crossovers,
  };
};
