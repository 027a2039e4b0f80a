import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { accumulate } from "../../src/ledger/accumulate.ts";
import type { ExposureRow, OutcomeRow } from "../../src/ledger/batch.ts";
import type { Crossing } from "../../src/ledger/crossover.ts";
import { metricSpecs, type MetricSpecs, noSpecs, specLookUp } from "../../src/ledger/metric-spec.ts";
import { crossingsOf } from "../../src/ledger/subject.ts";
import { memoryLedger } from "./memory-ledger.ts";
import { deliveriesOf, referenceCounts, referenceCrossings, rowsArbitrary } from "./reference.ts";

const delivered = rowsArbitrary.chain((rows) => fc.tuple(fc.constant(rows), deliveriesOf(rows)));

const textOf = ({ subject, previousVariant, to }: Crossing): string =>
  JSON.stringify([subject, previousVariant, to.variant, to.time]);

const id = (n: number): string => `00000000-0000-7000-8000-${String(n).padStart(12, "0")}`;
const shown = (n: number, subject: string, variant: string, time: number, epoch = 1): ExposureRow => [
  id(n),
  subject,
  variant,
  epoch,
  time,
];
const value = (n: number, subject: string, amount: number, kind: OutcomeRow[3] = "count"): OutcomeRow => [
  id(n),
  subject,
  "m",
  kind,
  0,
  amount,
];

const settledBefore = Math.floor(Date.parse("2026-11-21T08:02:00Z") / 60_000);

const plain = {
  isCounted: () => false,
  outcomesOf: () => new Map(),
  settledBefore: 0,
  specOf: specLookUp(noSpecs),
  products: [],
  slicing: { daysBefore: 0 },
};

describe("accumulate", () => {
  test("any order, repetition and split of the same events gives the counts of the set", () => {
    fc.assert(
      fc.property(delivered, ([rows, deliveries]) => {
        const ledger = memoryLedger(settledBefore);
        for (const batch of deliveries) ledger.record(batch);
        expect(ledger.counts()).toEqual(referenceCounts(rows));
      }),
      { numRuns: 2_000 },
    );
  });

  test("so it does whatever the windows, aggregates and caps of the metrics are", () => {
    const spec = fc.record({
      aggregate: fc.constantFrom("sum" as const, "max" as const, "last" as const),
      from: fc.constantFrom(-300_000, 0, 20_000, 60_000),
      to: fc.constantFrom(100_000, 200_000, 604_800_000, null),
      cap: fc.constantFrom(null, 0.5, 100, 500),
    });
    const specs = fc
      .tuple(spec, spec, fc.record({ from: fc.constantFrom(-300_000, 40_000), to: fc.constantFrom(80_000, null) }))
      .map(([count, continuous, window]): MetricSpecs => ({
        revision: 1,
        specs: [
          ["binary:purchase", { ...window, aggregate: "any", cap: null }],
          ["continuous:rounds", continuous],
          ["count:rounds", { ...count, aggregate: "sum" }],
        ],
        products: [],
      }));
    fc.assert(
      fc.property(delivered, specs, ([rows, deliveries], declared) => {
        const ledger = memoryLedger(settledBefore, declared);
        for (const batch of deliveries) ledger.record(batch);
        expect(ledger.counts()).toEqual(referenceCounts(rows, specLookUp(declared)));
      }),
      { numRuns: 2_000 },
    );
  });

  test("a mean is one exact quotient, whatever the order: 1/3 of ten thirds and one", () => {
    const declared = metricSpecs(1, [{ name: "m", kind: "continuous", aggregate: "mean", negative: true }]);
    const values = [0.1, 0.2, 0.7, -1.5, 2].map((amount, n) => value(n, "s", amount, "continuous"));
    for (const order of [values, values.toReversed(), [...values.slice(2), ...values.slice(0, 2)]]) {
      const ledger = memoryLedger(0, declared);
      ledger.record({ exposures: [shown(1, "s", "a", 5)], outcomes: [] });
      for (const outcome of order) ledger.record({ exposures: [], outcomes: [outcome] });
      expect(ledger.counts().metrics[0]?.arms[0]?.sum).toBe("0.3");
    }
    const thirds = memoryLedger(0, declared);
    const outcomes = [1, 0, 0].map((amount, n) => value(n, "s", amount, "continuous"));
    thirds.record({ exposures: [shown(1, "s", "a", 5)], outcomes });
    expect(thirds.counts().metrics[0]?.arms[0]?.sum).toBe("0.333333333333");
  });

  test("an earlier exposure opens the window earlier, and closes it earlier", () => {
    const declared = metricSpecs(1, [{ name: "m", kind: "count", window: { from: "1s", to: "10s" } }]);
    const at = (n: number, time: number): OutcomeRow => [id(n), "s", "m", "count", time, 10 ** n];
    const outcomes = [at(0, 999), at(1, 1_000), at(2, 9_999), at(3, 10_000), at(4, 14_999), at(5, 15_000)];
    const ledger = memoryLedger(0, declared);
    ledger.record({ exposures: [shown(1, "s", "a", 5_000)], outcomes });
    expect(ledger.counts().metrics[0]?.arms[0]?.sum).toBe("11100");
    ledger.record({ exposures: [shown(2, "s", "a", 0)], outcomes: [] });
    expect(ledger.counts().metrics[0]?.arms[0]?.sum).toBe("110");
    // None is left in the window: the subject has no value any more.
    ledger.record({ exposures: [shown(3, "s", "a", -50_000)], outcomes: [] });
    expect(ledger.counts().metrics[0]?.arms ?? []).toEqual([]);
  });

  test("crossings are those of the set", () => {
    fc.assert(
      fc.property(delivered, ([rows, deliveries]) => {
        const ledger = memoryLedger(settledBefore);
        for (const batch of deliveries) ledger.record(batch);
        const kept = [...ledger.subjects]
          .flatMap(([subject, state]) =>
            crossingsOf(state).map((to) => textOf({ subject, previousVariant: state.first?.variant ?? "", to })),
          )
          .toSorted();
        expect(kept).toEqual([...referenceCrossings(rows)].toSorted());
      }),
      { numRuns: 1_000 },
    );
  });

  test("settled and recent subjects of an arm add up to it, whatever the order", () => {
    fc.assert(
      fc.property(delivered, ([rows, deliveries]) => {
        const ledger = memoryLedger(settledBefore);
        for (const batch of deliveries) ledger.record(batch);
        for (const arm of ledger.arms.values()) expect(arm.settled + arm.recent).toBe(arm.subjects);
        const settled = [...ledger.subjects.values()].filter(
          ({ first }) => first !== null && first.time < settledBefore * 60_000,
        ).length;
        expect([...ledger.arms.values()].reduce((sum, arm) => sum + arm.settled, 0)).toBe(settled);
        expect([...ledger.arms.values()].reduce((sum, arm) => sum + arm.subjects, 0)).toBe(
          new Set(rows.exposures.map(([, subject]) => subject)).size,
        );
      }),
      { numRuns: 500 },
    );
  });

  test("of two exposures at one time the smaller event id is the first", () => {
    const ledger = memoryLedger(0);
    ledger.record({ exposures: [shown(2, "s", "b", 5), shown(1, "s", "a", 5)], outcomes: [] });
    expect(ledger.counts().arms).toEqual([{ variant: "a", epoch: 1, subjects: 1 }]);
  });

  test("a late earlier exposure takes the subject and its totals to another arm and epoch", () => {
    const ledger = memoryLedger(0);
    ledger.record({ exposures: [shown(1, "s", "a", 5, 2)], outcomes: [value(1, "s", 3), value(2, "s", 4.5)] });
    ledger.record({ exposures: [shown(2, "s", "b", 4, 1)], outcomes: [] });
    expect(ledger.counts()).toMatchObject({
      arms: [{ variant: "b", epoch: 1, subjects: 1 }],
      crossovers: 1,
      metrics: [{ arms: [{ variant: "b", epoch: 1, observed: 1, sum: "7.5", sumOfSquares: "56.25" }], unexposed: 0 }],
    });
  });

  test("an outcome without exposure waits without an arm and joins it", () => {
    const ledger = memoryLedger(0);
    ledger.record({ exposures: [], outcomes: [value(1, "s", 2)] });
    expect(ledger.counts().metrics).toMatchObject([{ arms: [], unexposed: 1 }]);
    ledger.record({ exposures: [shown(1, "s", "a", 5)], outcomes: [] });
    expect(ledger.counts().metrics).toMatchObject([{ arms: [{ variant: "a", sum: "2" }], unexposed: 0 }]);
  });

  test("a metric that arrives with two kinds is two metrics", () => {
    const ledger = memoryLedger(0);
    ledger.record({ exposures: [shown(1, "s", "a", 5)], outcomes: [value(1, "s", 1, "binary"), value(2, "s", 7)] });
    expect(ledger.counts().metrics.map(({ kind, arms }) => [kind, arms[0]?.sum])).toEqual([
      ["binary", "1"],
      ["count", "7"],
    ]);
  });

  test("a hundred thousand tenths make ten thousand, exactly", () => {
    const ledger = memoryLedger(0);
    const outcomes = Array.from({ length: 100_000 }, (_, n) => value(n, `s${n % 7}`, 0.1, "continuous"));
    ledger.record({ exposures: Array.from({ length: 7 }, (_, n) => shown(n, `s${n}`, "a", n)), outcomes });
    expect(ledger.counts().metrics[0]?.arms[0]?.sum).toBe("10000");
  });

  test("a subject shown more variants than are kept is one crossover, and keeps the earliest", () => {
    const exposures = Array.from({ length: 300 }, (_, n) => shown(n, "s", `v${n}`, (n * 7_919) % 300));
    for (const order of [exposures, exposures.toReversed()]) {
      const ledger = memoryLedger(0);
      for (const exposure of order) ledger.record({ exposures: [exposure], outcomes: [] });
      expect(ledger.counts().crossovers).toBe(1);
      const kept = ledger.subjects.get("s")?.variants ?? [];
      expect(kept.map(({ time }) => time)).toEqual(Array.from({ length: 100 }, (_, n) => n));
    }
  });

  test("ordinary repeats change no subject", () => {
    const first = accumulate({ ...plain, subjects: new Map() }, { exposures: [shown(1, "s", "a", 5)], outcomes: [] });
    const again = accumulate(
      { ...plain, subjects: first.subjects },
      { exposures: [shown(2, "s", "a", 6), shown(1, "s", "a", 5)], outcomes: [] },
    );
    expect(again).toMatchObject({ subjects: new Map(), arms: [], crossovers: 0 });
  });

  test("one event id that says different things gives the same counts in any order", () => {
    const said = [
      shown(1, "s", "b", 5, 1),
      shown(1, "s", "a", 5, 2),
      shown(1, "s", "a", 5, 1),
      shown(1, "s", "b", 5, 0),
    ];
    for (const order of [said, said.toReversed(), [...said.slice(2), ...said.slice(0, 2)]]) {
      const ledger = memoryLedger(0);
      for (const exposure of order) ledger.record({ exposures: [exposure], outcomes: [] });
      expect(ledger.counts()).toMatchObject({ arms: [{ variant: "a", epoch: 1, subjects: 1 }], crossovers: 1 });
    }
  });
});
