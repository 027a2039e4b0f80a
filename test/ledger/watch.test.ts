import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { accumulate } from "../../src/ledger/accumulate.ts";
import type { ExposureRow, OutcomeRow } from "../../src/ledger/batch.ts";
import { addDecimals, type Decimal, decimalOf, decimalText, squareDecimal } from "../../src/ledger/decimal.ts";
import { type MetricSpecs, metricSpecs, noSpecs, specLookUp } from "../../src/ledger/metric-spec.ts";
import { decodeTrusted, encodeTrusted } from "../../src/ledger/stored-subject.ts";
import { metricKey, newSubject, type SubjectState, trustedFirst } from "../../src/ledger/subject.ts";
import { foldWatch, mergeWatchCounts, type Watch, type WatchCounts, watchKey } from "../../src/ledger/watch.ts";

const idOf = (n: number): string => `00000000-0000-7000-8000-${String(n).padStart(12, "0")}`;

const watch: Watch = {
  epoch: 2,
  since: 1_000,
  metrics: [
    { metric: "error", kind: "binary" },
    { metric: "spend", kind: "count", cap: 5 },
    { metric: "spend", kind: "count" },
  ],
};

/** Ids follow from what they are of, so that one event told twice is one event. */
const exposures = fc
  .record({
    subject: fc.nat(6),
    variant: fc.constantFrom("control", "treatment"),
    epoch: fc.constantFrom(1, 2),
    time: fc.constantFrom(900, 1_000, 1_001, 1_500),
    fromBrowser: fc.boolean(),
  })
  .map(({ subject, variant, epoch, time, fromBrowser }): ExposureRow => {
    const n = ((subject * 2 + (variant === "control" ? 0 : 1)) * 4 + epoch) * 10_000 + time + (fromBrowser ? 5_000 : 0);
    const row = [idOf(n), `user-${subject}`, variant, epoch, time] as const;
    return fromBrowser ? [...row, true] : row;
  });
const outcomes = fc
  .record({ id: fc.nat(40), subject: fc.nat(6), isError: fc.boolean(), amount: fc.constantFrom(1, 2.5, 7, 0.1) })
  .map(({ id, subject, isError, amount }): OutcomeRow => {
    const n = 900_000 + id * 1_000 + subject * 10 + (isError ? 1 : 0) + Math.round(amount * 100_000_000);
    return isError
      ? [idOf(n), `user-${subject}`, "error", "binary", 1_200, 1]
      : [idOf(n), `user-${subject}`, "spend", "count", 1_200, amount];
  });
const batches = fc.array(
  fc.record({ exposures: fc.array(exposures, { maxLength: 6 }), outcomes: fc.array(outcomes, { maxLength: 6 }) }),
  { maxLength: 6 },
);
type Batches = readonly { readonly exposures: readonly ExposureRow[]; readonly outcomes: readonly OutcomeRow[] }[];

/** From the set of events, in the plainest terms. */
const reference = (all: Batches): WatchCounts => {
  const rows = all.flatMap((batch) => batch.exposures).filter(([, , , , , fromBrowser]) => fromBrowser !== true);
  const firsts = new Map(
    [...Map.groupBy(rows, ([, subject]) => subject)].map(([subject, own]) => [
      subject,
      own.toSorted((a, b) => a[4] - b[4] || (a[0] < b[0] ? -1 : 1))[0],
    ]),
  );
  const values = [...new Map(all.flatMap((batch) => batch.outcomes).map((row) => [row[0], row])).values()];
  const counted = [...firsts].flatMap(([subject, first]) =>
    first !== undefined && first[3] === watch.epoch && first[4] >= watch.since ? [{ subject, variant: first[2] }] : [],
  );
  const totalOf = (subject: string, { metric, cap }: Watch["metrics"][number]): number | undefined => {
    const own = values.filter((row) => row[1] === subject && row[2] === metric).map((row) => row[5]);
    if (own.length === 0) return undefined;
    const sum = metric === "error" ? 1 : Number(decimalText(own.map(decimalOf).reduce<Decimal>(addDecimals, 0)));
    return Math.min(sum, cap ?? Infinity);
  };
  const isCut = (subject: string, metric: Watch["metrics"][number]): boolean => {
    const { cap: _cap, ...whole } = metric;
    return totalOf(subject, metric) !== totalOf(subject, whole);
  };
  const text = (numbers: readonly number[], map: (value: Decimal) => Decimal = (value) => value): string =>
    decimalText(numbers.map((value) => map(decimalOf(value))).reduce<Decimal>(addDecimals, 0));
  return {
    arms: [...Map.groupBy(counted, ({ variant }) => variant)]
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([variant, subjects]) => ({
        variant,
        subjects: subjects.length,
        totals: watch.metrics.map((metric) => {
          const own = subjects.flatMap(({ subject }) => totalOf(subject, metric) ?? []);
          const cut = subjects.filter(({ subject }) => isCut(subject, metric)).length;
          return { observed: own.length, cut, sum: text(own), sumOfSquares: text(own, squareDecimal) };
        }),
      })),
  };
};

/** As the ledger does it: a batch at a time, states and counts through their stored form. */
const followed = (
  all: Batches,
  watched = watch,
  specs: MetricSpecs = noSpecs,
): { counts: WatchCounts; subjects: ReadonlyMap<string, SubjectState> } => {
  const subjects = new Map<string, SubjectState>();
  const counted = new Map<string, OutcomeRow[]>();
  let counts: WatchCounts = { arms: [] };
  for (const batch of all) {
    const folded = accumulate(
      {
        subjects,
        isCounted: ([id, subject]) => counted.get(subject)?.some(([known]) => known === id) === true,
        outcomesOf: (names) => new Map(names.map((name) => [name, counted.get(name) ?? []])),
        settledBefore: 0,
        specOf: specLookUp(specs),
        products: [],
        slicing: { daysBefore: 0 },
      },
      batch,
    );
    const fold = foldWatch(watched, counts);
    for (const [subject, after] of folded.subjects) {
      fold.observe(subjects.get(subject) ?? newSubject, after);
      const { trusted: _trusted, ...rest } = after;
      subjects.set(subject, { ...rest, ...decodeTrusted(encodeTrusted(after)) });
    }
    for (const outcome of folded.outcomes) counted.set(outcome[1], [...(counted.get(outcome[1]) ?? []), outcome]);
    counts = fold.counts();
  }
  return { counts, subjects };
};

describe("what guardrails look at", () => {
  test("is a function of the set of events that server keys sent, whatever their order and repetition", () => {
    fc.assert(
      fc.property(batches, fc.array(fc.nat(5), { maxLength: 4 }), (all, again) => {
        const repeated = [...all, ...again.flatMap((index) => all[index] ?? [])].toReversed();
        expect(followed(repeated).counts).toEqual(reference(all));
      }),
      { numRuns: 500 },
    );
  });

  test("counted at once from the subjects, it is what following them gives", () => {
    fc.assert(
      fc.property(batches, (all) => {
        const { counts, subjects } = followed(all);
        const fold = foldWatch(watch);
        for (const state of subjects.values()) fold.observe(newSubject, state);
        expect(fold.counts()).toEqual(counts);
      }),
      { numRuns: 200 },
    );
  });

  test("of a ledger in shards it is the sum over them", () => {
    fc.assert(
      fc.property(batches, (all) => {
        const shardOf = (subject: string): number => Number(subject.slice(5)) % 3;
        const parts = [0, 1, 2].map((shard) =>
          followed(
            all.map((batch) => ({
              exposures: batch.exposures.filter((row) => shardOf(row[1]) === shard),
              outcomes: batch.outcomes.filter((row) => shardOf(row[1]) === shard),
            })),
          ),
        );
        expect(mergeWatchCounts(parts.map(({ counts }) => counts))).toEqual(reference(all));
      }),
      { numRuns: 200 },
    );
  });

  test.each([
    { aggregate: "mean", values: [2, 9, 4], value: "5", cut: 0 },
    { aggregate: "max", values: [2, 90, 4], value: "50", cut: 1 },
    { aggregate: "last", values: [2, 9, 4], value: "4", cut: 0 },
    { aggregate: "sum", values: [20, 20, 30], value: "50", cut: 1 },
    { aggregate: "last", values: [2, 9, -90], value: "-50", cut: 1 },
  ] as const)("of a $aggregate is the one value of a subject, within the cap: $values → $value", (given) => {
    const metrics = [{ metric: "latency", kind: "continuous" as const, cap: 50 }];
    const specs = metricSpecs(1, [{ name: "latency", kind: "continuous", aggregate: given.aggregate }]);
    const exposed: ExposureRow = [idOf(1), "user-1", "treatment", 2, 1_000];
    const told = given.values.map((value, n): OutcomeRow => [
      idOf(n + 2),
      "user-1",
      "latency",
      "continuous",
      1_100 + n,
      value,
    ]);
    // One batch at a time: what was counted of the subject before is taken back each time.
    for (const order of [told, told.toReversed()]) {
      const all = [{ exposures: [exposed], outcomes: [] }, ...order.map((row) => ({ exposures: [], outcomes: [row] }))];
      const { counts } = followed(all, { ...watch, metrics }, specs);
      const square = decimalText(squareDecimal(decimalOf(Number(given.value))));
      expect(counts.arms).toEqual([
        {
          variant: "treatment",
          subjects: 1,
          totals: [{ observed: 1, sum: given.value, sumOfSquares: square, cut: given.cut }],
        },
      ]);
    }
  });

  test("does not include what a browser's key made up, and a browser moves nobody", () => {
    const server: ExposureRow = [idOf(2), "user-1", "control", 2, 1_500];
    const browser: ExposureRow = [idOf(1), "user-1", "treatment", 2, 1_000, true];
    for (const order of [
      [server, browser],
      [browser, server],
    ]) {
      const { counts, subjects } = followed(order.map((row) => ({ exposures: [row], outcomes: [] })));
      expect(counts.arms.map(({ variant, subjects: count }) => [variant, count])).toEqual([["control", 1]]);
      const state = subjects.get("user-1") ?? newSubject;
      expect([state.first?.variant, trustedFirst(state)?.variant]).toEqual(["treatment", "control"]);
    }
    expect(followed([{ exposures: [browser], outcomes: [] }]).counts.arms).toEqual([]);
  });

  test("has one key for each epoch, start and list of metrics", () => {
    const others: readonly Watch[] = [
      watch,
      { ...watch, epoch: 3 },
      { ...watch, since: 1_001 },
      { ...watch, metrics: watch.metrics.slice(1) },
      { ...watch, metrics: [{ metric: "error", kind: "count", cap: 1 }, ...watch.metrics.slice(1)] },
    ];
    expect(new Set(others.map(watchKey)).size).toBe(others.length);
    expect(metricKey("error", "binary")).toBe("binary:error");
  });

  test.each(["{}", "[1]", '["a", 1, 2]', "nonsense"])("a stored exposure that nobody wrote is refused: %s", (text) => {
    expect(() => decodeTrusted(text)).toThrow(TypeError);
  });
});
