/**
 * The ledger in the plainest terms: counts computed anew from the whole set of events. What the incremental fold and
 * the SQL must agree with, bit for bit. Also the events that the properties are tried on.
 */
import * as fc from "fast-check";
import { metricKinds } from "../../src/experiment.ts";
import type { ExposureRow, OutcomeRow } from "../../src/ledger/batch.ts";
import type { LedgerCounts, MetricTotals } from "../../src/ledger/counts.ts";
import {
  addDecimals,
  type Decimal,
  decimalNumber,
  decimalOf,
  decimalText,
  squareDecimal,
} from "../../src/ledger/decimal.ts";
import { clockSkewMs, defaultWindowMs, type MetricSpec, noSpecs, specLookUp } from "../../src/ledger/metric-spec.ts";

export interface Rows {
  readonly exposures: readonly ExposureRow[];
  readonly outcomes: readonly OutcomeRow[];
}

const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

const distinct = <Row extends readonly [string, ...unknown[]]>(rows: readonly Row[]): readonly Row[] => [
  ...new Map(rows.map((row) => [row[0], row])).values(),
];

/** A subject's value by the plainest reading of its definition; undefined where no outcome is in the window. */
const totalOf = (events: readonly OutcomeRow[], spec: MetricSpec, exposed: number): Decimal | undefined => {
  const inside = events
    .filter(([, , , , time]) => time >= exposed + spec.from && (spec.to === null || time < exposed + spec.to))
    .toSorted((a, b) => a[4] - b[4] || byText(a[0], b[0]));
  const values = inside.map((event) => decimalOf(event[5]));
  const last = values.at(-1);
  if (last === undefined) return undefined;
  const sum = values.reduce<Decimal>(addDecimals, 0);
  const value = {
    any: () => (values.includes(1) ? 1 : 0),
    sum: () => sum,
    max: () => values.reduce((a, b) => (decimalNumber(a) >= decimalNumber(b) ? a : b)),
    last: () => last,
    mean: () => {
      throw new Error("the reference has no mean: it would round as the code does, or otherwise");
    },
  }[spec.aggregate]();
  return spec.cap !== null && decimalNumber(value) > spec.cap ? decimalOf(spec.cap) : value;
};

/** An event id counts once for its subject. */
const distinctOf = (rows: readonly OutcomeRow[]): readonly OutcomeRow[] => [
  ...new Map(rows.map((row) => [`${row[0]} ${row[1]}`, row])).values(),
];

const sumOf = (values: readonly Decimal[]): string => decimalText(values.reduce<Decimal>(addDecimals, 0));

/** All counts that are a function of the set of events. */
export type SetCounts = Pick<LedgerCounts, "arms" | "exposures" | "repeats" | "crossovers" | "outcomes" | "metrics">;

export const referenceCounts = (rows: Rows, specOf: (key: string) => MetricSpec = specLookUp(noSpecs)): SetCounts => {
  const exposures = distinct(rows.exposures);
  const outcomes = distinctOf(rows.outcomes);
  const exposuresOf = Map.groupBy(
    exposures.toSorted((a, b) => a[4] - b[4] || byText(a[0], b[0])),
    ([, subject]) => subject,
  );
  const firstOf = new Map(
    [...exposuresOf].map(([subject, [first]]) => [
      subject,
      { variant: first?.[2] ?? "", epoch: first?.[3] ?? 0, time: first?.[4] ?? 0 },
    ]),
  );
  const arms = Map.groupBy(firstOf, ([, { variant, epoch }]) => JSON.stringify([epoch, variant]));
  const metrics = Map.groupBy(outcomes, ([, , metric, kind]) => JSON.stringify([metric, kind]));
  return {
    arms: [...arms.values()]
      .map((subjects) => ({
        variant: subjects[0]?.[1].variant ?? "",
        epoch: subjects[0]?.[1].epoch ?? 0,
        subjects: subjects.length,
      }))
      .toSorted((a, b) => a.epoch - b.epoch || byText(a.variant, b.variant)),
    exposures: exposures.length,
    repeats: exposures.length - firstOf.size,
    crossovers: [...exposuresOf.values()].filter((own) => new Set(own.map(([, , variant]) => variant)).size > 1).length,
    outcomes: outcomes.length,
    metrics: [...metrics.values()]
      .map((events): MetricTotals => {
        const metric = events[0]?.[2] ?? "";
        const kind = events[0]?.[3] ?? "binary";
        const spec = specOf(`${kind}:${metric}`);
        const totals = [...Map.groupBy(events, ([, subject]) => subject)].map(([subject, own]) => {
          const arm = firstOf.get(subject);
          return { arm, total: arm === undefined ? undefined : totalOf(own, spec, arm.time) };
        });
        const exposed = totals.flatMap(({ arm, total }) =>
          arm === undefined || total === undefined ? [] : [{ ...arm, total }],
        );
        return {
          metric,
          kind,
          arms: [...Map.groupBy(exposed, ({ epoch, variant }) => JSON.stringify([epoch, variant])).values()]
            .map((own) => ({
              variant: own[0]?.variant ?? "",
              epoch: own[0]?.epoch ?? 0,
              observed: own.length,
              sum: sumOf(own.map(({ total }) => total)),
              sumOfSquares: sumOf(own.map(({ total }) => squareDecimal(total))),
            }))
            .toSorted((a, b) => a.epoch - b.epoch || byText(a.variant, b.variant)),
          unexposed: totals.filter(({ arm }) => arm === undefined).length,
        };
      })
      .toSorted((a, b) => byText(a.metric, b.metric) || byText(a.kind, b.kind)),
  };
};

/** Every crossover: subject, first variant, other variant, and when that was first seen. */
export const referenceCrossings = (rows: Rows): readonly string[] =>
  [
    ...Map.groupBy(
      distinct(rows.exposures).toSorted((a, b) => a[4] - b[4] || byText(a[0], b[0])),
      ([, subject]) => subject,
    ),
  ]
    .flatMap(([subject, own]) => {
      const first = own[0]?.[2];
      return [...Map.groupBy(own, ([, , variant]) => variant)].flatMap(([variant, [earliest]]) =>
        variant === first ? [] : [JSON.stringify([subject, first, variant, earliest?.[4]])],
      );
    })
    .toSorted(byText);

/** Few subjects, variants, times and epochs, so that everything that can meet does meet. */
const subject = fc.constantFrom("u1", "u2", "u3", "u:4/%'", "__proto__", "ünï☃", "💡");
const variant = fc.constantFrom("control", "treatment", "b:1", "constructor");
const eight = Date.parse("2026-11-21T08:00:00Z");
const time = fc.oneof(
  fc.integer({ min: 0, max: 12 }).map((step) => eight + step * 20_000 + (step % 3)),
  // At the edges of the window of whoever is first exposed at eight, and of whoever is a little later.
  fc.constantFrom(eight - clockSkewMs - 1, eight - clockSkewMs, eight + defaultWindowMs - 1, eight + defaultWindowMs),
);
const value = fc.oneof(
  fc.integer({ min: -5, max: 1_000 }),
  fc.constantFrom(0.1, 0.2, 0.3, -0.7, 1e15, 999_999_999_999_999, 1e-9, 123_456.789, 2 ** 40 + 0.5),
);

const exposure = fc.tuple(fc.uuid(), subject, variant, fc.integer({ min: 0, max: 2 }), time);
const outcome = fc
  .tuple(
    fc.uuid(),
    subject,
    fc.constantFrom("error", "purchase", "rounds"),
    fc.constantFrom(...metricKinds),
    time,
    value,
  )
  .map(([id, who, metric, kind, at, amount]): OutcomeRow => [
    id,
    who,
    metric,
    kind,
    at,
    kind === "binary" ? Number(amount > 500) : kind === "count" ? Math.abs(amount) : amount,
  ]);

export const rowsArbitrary: fc.Arbitrary<Rows> = fc.record({
  exposures: fc.uniqueArray(exposure, { maxLength: 30, selector: ([id]) => id }),
  outcomes: fc.uniqueArray(outcome, { maxLength: 30, selector: ([id]) => id }),
});

/** The same events in some other order, some of them several times, split into some batches. */
export const deliveriesOf = ({ exposures, outcomes }: Rows): fc.Arbitrary<readonly Rows[]> => {
  const events = [
    ...exposures.map((row) => ({ exposures: [row], outcomes: [] })),
    ...outcomes.map((row) => ({ exposures: [], outcomes: [row] })),
  ];
  const again = events.length === 0 ? fc.constant([]) : fc.array(fc.constantFrom(...events), { maxLength: 10 });
  return again
    .chain((more) => fc.shuffledSubarray([...events, ...more], { minLength: events.length + more.length }))
    .chain((order) =>
      fc.array(fc.integer({ min: 0, max: order.length }), { maxLength: 5 }).map((cuts) => {
        const places = [0, ...cuts.toSorted((a, b) => a - b), order.length];
        return places.slice(1).map((end, index): Rows => {
          const part = order.slice(places[index], end);
          return {
            exposures: part.flatMap((event) => event.exposures),
            outcomes: part.flatMap((event) => event.outcomes),
          };
        });
      }),
    );
};
