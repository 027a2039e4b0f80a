/**
 * Counts as rows that add up: what a shard answers, and what the rows of all shards together become. Adding is exact, so
 * one ledger and sixteen shards of it give the same counts, bit for bit.
 */
import type { MetricKind } from "../experiment.ts";
import { metricKinds } from "../experiment.ts";
import type {
  ArmCount,
  ArmTotal,
  CountedParts,
  LedgerCounts,
  MetricTotals,
  ProductTotals,
  SliceCounts,
} from "./counts.ts";
import { addDecimals, decimalText, parseDecimal } from "./decimal.ts";
import { mergeUnnamed, type Unnamed } from "./unnamed.ts";
import { crossoverSlice, daySlice, dimensionOfSlice, everybody, hoursOfDay, timeOfSlice } from "./slices.ts";

export type SubjectRow = readonly [slice: string, epoch: number, variant: string, subjects: number];
export type TotalRow = readonly [
  slice: string,
  metric: string,
  epoch: number,
  variant: string,
  observed: number,
  sum: string,
  sumOfSquares: string,
];

/** Numbers of the last parcels that went to, or came from, other shards. */
export interface Parcels {
  readonly shard: number;
  readonly sent: readonly (readonly [peer: number, seq: number])[];
  readonly received: readonly (readonly [peer: number, seq: number])[];
}

export interface CountRows {
  /** Everybody, also while totals are counted anew. */
  readonly arms: readonly ArmCount[];
  readonly slices: readonly SubjectRow[];
  readonly totals: readonly TotalRow[];
  /** Metric keys, with the subjects that have a value and no exposure. */
  readonly metrics: readonly (readonly [key: string, unexposed: number])[];
  readonly exposures: number;
  readonly crossovers: number;
  readonly outcomes: number;
  readonly dropped: number;
  readonly received: number;
  /** How many subjects' totals are by the present definitions, of how many. */
  readonly recounted: readonly [done: number, all: number];
  readonly parcels: Parcels;
  readonly unnamed?: Unnamed;
}

const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
const byArm = (a: { epoch: number; variant: string }, b: { epoch: number; variant: string }): number =>
  a.epoch - b.epoch || byText(a.variant, b.variant);

const addTexts = (a: string, b: string): string => decimalText(addDecimals(parseDecimal(a), parseDecimal(b)));

/** Adds rows that are about the same, in the order of their keys. */
const addUp = <Row>(
  rows: readonly Row[],
  keyOf: (row: Row) => string,
  add: (a: Row, b: Row) => Row,
): readonly Row[] => {
  const sums = new Map<string, Row>();
  for (const row of rows) {
    const key = keyOf(row);
    const sum = sums.get(key);
    sums.set(key, sum === undefined ? row : add(sum, row));
  }
  return [...sums.values()];
};

const sumSubjects = (rows: readonly SubjectRow[]): readonly SubjectRow[] =>
  addUp(
    rows,
    ([slice, epoch, variant]) => JSON.stringify([slice, epoch, variant]),
    ([slice, epoch, variant, a], [, , , b]) => [slice, epoch, variant, a + b],
  );

const sumTotals = (rows: readonly TotalRow[]): readonly TotalRow[] =>
  addUp(
    rows,
    ([slice, metric, epoch, variant]) => JSON.stringify([slice, metric, epoch, variant]),
    ([slice, metric, epoch, variant, observed, sum, squares], [, , , , more, moreSum, moreSquares]) => [
      slice,
      metric,
      epoch,
      variant,
      observed + more,
      addTexts(sum, moreSum),
      addTexts(squares, moreSquares),
    ],
  );

const maturedPrefix = "m";

const hourMs = 3_600_000;

/**
 * Turns hours into days, and adds a slice for each window with the subjects whose window had closed.
 *
 * @param asOf ms since 1970, the same for all shards
 * @param windows when windows close, ms after the first exposure
 */
export const collapseTime = (
  { slices, totals, ...rest }: CountRows,
  asOf: number,
  windows: readonly number[],
): CountRows => {
  const names = (slice: string): readonly string[] => {
    const time = timeOfSlice(slice);
    if (time === null) return [slice];
    const end = (time.number + 1) * (time.unit === "day" ? hoursOfDay : 1) * hourMs;
    const day = time.unit === "day" ? time.number : Math.floor(time.number / hoursOfDay);
    return [daySlice(day), ...windows.filter((to) => end + to <= asOf).map((to) => `${maturedPrefix}${to}`)];
  };
  return {
    ...rest,
    slices: sumSubjects(slices.flatMap(([slice, ...row]) => names(slice).map((name): SubjectRow => [name, ...row]))),
    totals: sumTotals(totals.flatMap(([slice, ...row]) => names(slice).map((name): TotalRow => [name, ...row]))),
  };
};

/**
 * True when no subject is counted twice, and none left out: every parcel that a shard sent off has been received. While
 * subjects move, a reading may fall between the two.
 */
export const isWhole = (shards: readonly Pick<CountRows, "parcels">[]): boolean => {
  const tally = (direction: "sent" | "received"): readonly string[] =>
    shards
      .flatMap(({ parcels }) =>
        parcels[direction].map(([peer, seq]) =>
          direction === "sent" ? `${parcels.shard}>${peer}:${seq}` : `${peer}>${parcels.shard}:${seq}`,
        ),
      )
      .toSorted(byText);
  return tally("sent").join() === tally("received").join();
};

const withUnnamed = (unnamed: Unnamed | undefined): { readonly unnamed?: Unnamed } =>
  unnamed === undefined ? {} : { unnamed };

/** The counts of all shards together. */
export const addShards = (shards: readonly CountRows[]): CountRows => ({
  ...withUnnamed(mergeUnnamed(shards.map(({ unnamed }) => unnamed))),
  arms: addUp(
    shards.flatMap(({ arms }) => arms),
    ({ epoch, variant }) => JSON.stringify([epoch, variant]),
    (a, b) => ({ ...a, subjects: a.subjects + b.subjects }),
  ),
  slices: sumSubjects(shards.flatMap(({ slices }) => slices)),
  totals: sumTotals(shards.flatMap(({ totals }) => totals)),
  metrics: addUp(
    shards.flatMap(({ metrics }) => metrics),
    ([key]) => key,
    ([key, a], [, b]) => [key, a + b],
  ),
  exposures: shards.reduce((sum, { exposures }) => sum + exposures, 0),
  crossovers: shards.reduce((sum, { crossovers }) => sum + crossovers, 0),
  outcomes: shards.reduce((sum, { outcomes }) => sum + outcomes, 0),
  dropped: shards.reduce((sum, { dropped }) => sum + dropped, 0),
  received: shards.reduce((sum, { received }) => sum + received, 0),
  recounted: [
    shards.reduce((sum, { recounted: [done] }) => sum + done, 0),
    shards.reduce((sum, { recounted: [, all] }) => sum + all, 0),
  ],
  parcels: { shard: 0, sent: [], received: [] },
});

const isKind = (text: string): text is MetricKind => metricKinds.some((kind) => kind === text);

const metricOf = (key: string): { readonly metric: string; readonly kind: MetricKind } => {
  const separator = key.indexOf(":");
  const kind = key.slice(0, separator);
  if (!isKind(kind)) throw new TypeError(`ledger: ${JSON.stringify(key)} is no metric key`);
  return { metric: key.slice(separator + 1), kind };
};

const armTotal = ([, , epoch, variant, observed, sum, sumOfSquares]: TotalRow): ArmTotal => ({
  variant,
  epoch,
  observed,
  sum,
  sumOfSquares,
});

const byMetric = (a: MetricTotals, b: MetricTotals): number => byText(a.metric, b.metric) || byText(a.kind, b.kind);

const metricsOf = (
  totals: readonly TotalRow[],
  unexposed: CountRows["metrics"],
): { readonly metrics: readonly MetricTotals[]; readonly products: readonly ProductTotals[] } => {
  const byKey = Map.groupBy(
    totals.filter(([, , , , observed]) => observed > 0),
    ([, metric]) => metric,
  );
  const armsOf = (key: string): readonly ArmTotal[] => (byKey.get(key) ?? []).map(armTotal).toSorted(byArm);
  const keys = [...new Set([...unexposed.map(([key]) => key), ...byKey.keys()])];
  const waiting = new Map(unexposed);
  return {
    metrics: keys
      .filter((key) => !key.includes("*"))
      .map((key) => ({ ...metricOf(key), arms: armsOf(key), unexposed: waiting.get(key) ?? 0 }))
      .toSorted(byMetric),
    products: keys
      .filter((key) => key.includes("*"))
      .map((key) => {
        const [left = "", right = ""] = key.split("*");
        return { left, right, arms: armsOf(key) };
      })
      .toSorted((a, b) => byText(a.left, b.left) || byText(a.right, b.right)),
  };
};

/** Rows of one slice as counts. */
const sliceOf = ({ slices, totals }: CountRows, name: string): SliceCounts => ({
  arms: slices
    .filter(([slice, , , subjects]) => slice === name && subjects > 0)
    .map(([, epoch, variant, subjects]) => ({ variant, epoch, subjects }))
    .toSorted(byArm),
  ...metricsOf(
    totals.filter(([slice]) => slice === name),
    [],
  ),
});

/** Grouped once: with many slices, filtering all rows for each of them would be quadratic. */
const bySlice = ({ slices, totals, ...rest }: CountRows): ReadonlyMap<string, CountRows> => {
  const subjects = Map.groupBy(slices, ([slice]) => slice);
  const sums = Map.groupBy(totals, ([slice]) => slice);
  return new Map(
    [...new Set([...subjects.keys(), ...sums.keys()])].map((name) => [
      name,
      { ...rest, slices: subjects.get(name) ?? [], totals: sums.get(name) ?? [] },
    ]),
  );
};

const msOfDay = hoursOfDay * hourMs;

/** The parts that were asked for; hours have become days. */
const partsOf = (rows: CountRows, windows: readonly number[]): CountedParts => {
  const slices = bySlice(rows);
  const named = (name: string): SliceCounts => sliceOf(slices.get(name) ?? { ...rows, slices: [], totals: [] }, name);
  const days: number[] = [];
  const dimensions: string[] = [];
  for (const [name, { slices: subjects }] of slices) {
    if (!subjects.some(([, , , count]) => count > 0)) continue;
    const time = timeOfSlice(name);
    const dimension = dimensionOfSlice(name);
    if (time !== null) days.push(time.number);
    else if (dimension !== null) dimensions.push(dimension);
  }
  return {
    days: days
      .toSorted((a, b) => a - b)
      .map((day) => ({ day: new Date(day * msOfDay).toISOString().slice(0, 10), ...named(daySlice(day)) })),
    dimensions: dimensions.toSorted(byText).map((text) => {
      const separator = text.indexOf("=");
      return { dimension: text.slice(0, separator), value: text.slice(separator + 1), ...named(`x${text}`) };
    }),
    crossovers: named(crossoverSlice),
    matured: windows.map((to) => ({ to, ...named(`${maturedPrefix}${to}`) })),
  };
};

/**
 * Rows of all shards as the counts that are judged.
 *
 * @param windows when windows close; left out: no parts
 */
export const countsFrom = (
  rows: CountRows,
  windows?: readonly number[],
): Omit<LedgerCounts, "checkpointLooks" | "subjectLooks" | "shards"> => {
  const arms = rows.arms.filter(({ subjects }) => subjects > 0).toSorted(byArm);
  const subjects = arms.reduce((sum, arm) => sum + arm.subjects, 0);
  const [done, all] = rows.recounted;
  return {
    arms,
    exposures: rows.exposures,
    repeats: Math.max(0, rows.exposures - subjects),
    crossovers: rows.crossovers,
    outcomes: rows.outcomes,
    dropped: rows.dropped,
    received: rows.received,
    ...metricsOf(
      rows.totals.filter(([slice]) => slice === everybody),
      rows.metrics,
    ),
    recounted: all === 0 ? 1 : done / all,
    ...withUnnamed(rows.unnamed),
    ...(windows === undefined ? {} : { parts: partsOf(rows, windows) }),
  };
};
