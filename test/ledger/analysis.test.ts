import { describe, expect, test } from "vitest";
import type { DeclaredMetric } from "../../src/experiment.ts";
import { accumulate } from "../../src/ledger/accumulate.ts";
import type { ExposureRow, OutcomeRow } from "../../src/ledger/batch.ts";
import { collapseTime, countsFrom, type CountRows } from "../../src/ledger/count-rows.ts";
import type { LedgerCounts } from "../../src/ledger/counts.ts";
import { decimalText } from "../../src/ledger/decimal.ts";
import { metricSpecs, specLookUp } from "../../src/ledger/metric-spec.ts";
import { results, type ResultsInput } from "../../src/ledger/results.ts";
import { proportionSequence } from "../../src/science/confidence-sequence.ts";
import { benjaminiHochberg, holm } from "../../src/science/multiple-comparisons.ts";
import { cuped } from "../../src/science/cuped.ts";
import { compareProportions } from "../../src/science/proportions.ts";
import { compareRatios, ratioMoments } from "../../src/science/ratio-metrics.ts";
import { momentsOfValues } from "../../src/science/t-tests.ts";
import { welchTest } from "../../src/science/welch.ts";

const day = 86_400_000;
const start = Date.parse("2026-11-01T00:00:00Z");
const id = (n: number): string => `00000000-0000-7000-8000-${String(n).padStart(12, "0")}`;
const planned = [
  { variant: "control", share: 0.5 },
  { variant: "treatment", share: 0.5 },
];

/** Counts as a ledger gives them, of these events. */
const counted = (
  metrics: readonly DeclaredMetric[],
  exposures: readonly ExposureRow[],
  outcomes: readonly OutcomeRow[],
  asOf: number,
): LedgerCounts => {
  const specs = metricSpecs(1, metrics);
  const { arms, crossovers } = accumulate(
    {
      subjects: new Map(),
      isCounted: () => false,
      outcomesOf: () => new Map(),
      settledBefore: 0,
      specOf: specLookUp(specs),
      products: specs.products,
      slicing: { daysBefore: 0 },
    },
    { exposures, outcomes },
  );
  const rows: CountRows = {
    arms: arms.map(({ epoch, variant, subjects }) => ({ epoch, variant, subjects })),
    slices: arms.flatMap(({ epoch, variant, slices }) =>
      Array.from(slices, ([slice, { subjects }]) => [slice, epoch, variant, subjects] as const),
    ),
    totals: arms.flatMap(({ epoch, variant, slices }) =>
      Array.from(slices).flatMap(([slice, { totals }]) =>
        Array.from(
          totals,
          ([metric, { observed, sum, sumOfSquares }]) =>
            [slice, metric, epoch, variant, observed, decimalText(sum), decimalText(sumOfSquares)] as const,
        ),
      ),
    ),
    metrics: [],
    exposures: exposures.length,
    crossovers,
    outcomes: outcomes.length,
    dropped: 0,
    received: 0,
    recounted: [1, 1],
    parcels: { shard: 0, sent: [], received: [] },
  };
  const windows = [...new Set(specs.specs.flatMap(([, { to }]) => (to === null ? [] : [to])))];
  return { ...countsFrom(collapseTime(rows, asOf, windows), windows), checkpointLooks: [], shards: 1 };
};

const shown = (n: number, variant: string, time = start, dimensions: readonly string[] = []): ExposureRow => [
  id(n),
  `s${n}`,
  variant,
  1,
  time,
  false,
  dimensions,
];
const value = (n: number, subject: number, metric: string, kind: OutcomeRow[3], amount: number): OutcomeRow => [
  id(10_000 + n),
  `s${subject}`,
  metric,
  kind,
  start + 1_000,
  amount,
];

const judged = (counts: LedgerCounts, more: Partial<ResultsInput> = {}) =>
  results({ counts, planned, control: "control", epoch: 1, ...more });

/** Four hundred subjects: those of treatment convert more often. */
const size = 400;
const exposures = Array.from({ length: size }, (_, n) => shown(n, n % 2 === 0 ? "control" : "treatment"));
const converts = (n: number): boolean => n % 5 === 0 || (n % 2 === 1 && n % 3 === 0);

describe("results of a metric", () => {
  const metrics: readonly DeclaredMetric[] = [
    { name: "purchase", kind: "binary", primary: true },
    { name: "visits", kind: "count" },
    { name: "spend", kind: "continuous", missing: "exclude" },
    { name: "perVisit", kind: "ratio", numerator: "spend", denominator: "visits" },
  ];
  const visitsOf = (n: number): number => (n % 4) + 1;
  const spendOf = (n: number): number | undefined => (n % 3 === 0 ? undefined : (n * 7) % 11);
  const outcomes = exposures.flatMap((_, n) => [
    value(n * 3, n, "purchase", "binary", Number(converts(n))),
    value(n * 3 + 1, n, "visits", "count", visitsOf(n)),
    ...(spendOf(n) === undefined ? [] : [value(n * 3 + 2, n, "spend", "continuous", spendOf(n) ?? 0)]),
  ]);
  const found = judged(counted(metrics, exposures, outcomes, start + day), { metrics });
  const numbersOf = (arm: 0 | 1) => Array.from({ length: size / 2 }, (_, half) => half * 2 + arm);
  const successes = (arm: 0 | 1): number => numbersOf(arm).filter(converts).length;

  test("a proportion has its test, its sequence and its relative difference", () => {
    const [arms, contrast] = [
      [1, 0].map((arm) => ({ subjects: 200, successes: successes(arm === 1 ? 1 : 0) })),
      found.outcomes["purchase"]?.contrasts[0],
    ];
    const [variant, control] = arms;
    if (variant === undefined || control === undefined) throw new RangeError("no arms");
    const fixed = compareProportions(variant, control);
    expect(contrast).toMatchObject({ variant: "treatment", difference: fixed.difference, pValue: fixed.pValue });
    expect(contrast?.sequential).toEqual(proportionSequence(variant, control));
    expect(contrast?.sequential.interval).not.toBeNull();
    expect(contrast?.relativeDifference.value).toBeCloseTo(variant.successes / control.successes - 1, 12);
  });

  test("a ratio is compared over subjects, by the delta method; a subject without a value counts as 0", () => {
    const moments = (arm: 0 | 1) =>
      ratioMoments(
        numbersOf(arm).map((n) => spendOf(n) ?? 0),
        numbersOf(arm).map(visitsOf),
      );
    const expected = compareRatios(moments(1), moments(0));
    const contrast = found.outcomes["perVisit"]?.contrasts[0];
    expect(found.outcomes["perVisit"]).toMatchObject({ kind: "ratio", exploratory: true });
    expect(contrast?.difference).toBeCloseTo(expected.difference ?? NaN, 12);
    expect(contrast?.pValue).toBeCloseTo(expected.pValue ?? NaN, 10);
    // It has no cap.
    expect(contrast?.sequential.interval).toBeNull();
    expect(contrast?.sequential.reason).toContain("no cap");
  });

  test("missing: exclude divides by who has a value, and says so", () => {
    const means = [1, 0].map((arm) => {
      const own = numbersOf(arm === 1 ? 1 : 0).flatMap((n) => spendOf(n) ?? []);
      return own.reduce((sum, one) => sum + one, 0) / own.length;
    });
    expect(found.outcomes["spend"]).toMatchObject({ missing: "exclude" });
    expect(found.outcomes["spend"]?.contrasts[0]?.difference).toBeCloseTo((means[0] ?? 0) - (means[1] ?? 0), 12);
  });

  test("primary metrics are corrected by Holm, the others by Benjamini and Hochberg", () => {
    const p = (name: string): number => found.outcomes[name]?.contrasts[0]?.pValue ?? NaN;
    const adjusted = (name: string) => found.outcomes[name]?.contrasts[0]?.adjustedPValue;
    expect(adjusted("purchase")).toBe(holm([p("purchase")])[0]);
    const rest = Object.keys(found.outcomes).filter((name) => name !== "purchase");
    expect(rest).toHaveLength(3);
    const expected = benjaminiHochberg(rest.map(p));
    for (const [place, name] of rest.entries()) expect(adjusted(name)).toBeCloseTo(expected[place] ?? NaN, 12);
    const byPlan = judged(counted(metrics, exposures, outcomes, start + day), {
      metrics,
      plan: { alpha: 0.05, primary: "visits" },
    });
    expect(byPlan.outcomes["visits"]).toMatchObject({ primary: true, exploratory: false });
    expect(byPlan.outcomes["purchase"]?.contrasts[0]?.adjustedPValue).toBe(holm([p("purchase"), p("visits")])[0]);
  });
});

describe("metrics that were declared or changed after the start", () => {
  const metrics: readonly DeclaredMetric[] = [
    { name: "purchase", kind: "binary", primary: true },
    { name: "spend", kind: "continuous", cap: 50, primary: true },
    { name: "per order", kind: "ratio", numerator: "spend", denominator: "purchase" },
  ];
  const seen = Array.from({ length: 40 }, (_, n) => shown(n, n % 2 === 0 ? "control" : "treatment", start + n));
  const outcomes = seen.flatMap(([, subject], n): OutcomeRow[] => [
    [id(1_000 + n), subject, "purchase", "binary", start + 1_000, n % 2 === 0 || n % 3 === 0 ? 1 : 0],
    [id(2_000 + n), subject, "spend", "continuous", start + 1_000, n],
  ]);
  const counts = counted(metrics, seen, outcomes, start + day);
  const unchanged = { metrics: new Map(), dimensions: new Map(), guardrails: new Map() };

  test("given one, then it is marked and exploratory, and the family of primary metrics is without it", () => {
    const before = judged(counts, { metrics, afterStart: unchanged });
    const found = judged(counts, {
      metrics,
      afterStart: { ...unchanged, metrics: new Map([["spend", "changed"]]) },
    });
    expect(before.outcomes["spend"]).toMatchObject({ primary: true, exploratory: false });
    expect(before.outcomes["spend"]).not.toHaveProperty("afterStart");
    expect(found.outcomes["spend"]).toMatchObject({ primary: false, exploratory: true, afterStart: "changed" });
    const contrast = found.outcomes["purchase"]?.contrasts[0];
    expect(contrast?.adjustedPValue).toBe(contrast?.pValue);
    expect(before.outcomes["purchase"]?.contrasts[0]?.adjustedPValue).not.toBe(contrast?.pValue);
    expect(found.afterStart).toEqual({ metrics: { spend: "changed" }, dimensions: {}, guardrails: {} });
  });

  test("a ratio of a changed metric is changed with it", () => {
    const found = judged(counts, {
      metrics,
      afterStart: { ...unchanged, metrics: new Map([["purchase", "changed"]]) },
    });
    expect(found.outcomes["per order"]).toMatchObject({ afterStart: "changed" });
  });
});

describe("parts of the subjects", () => {
  const metrics: readonly DeclaredMetric[] = [{ name: "rounds", kind: "count", window: { to: "2h" } }];

  test("matured are those whose window has closed, to the hour; everybody is in the totals", () => {
    const early = Array.from({ length: 20 }, (_, n) =>
      shown(n, n % 2 === 0 ? "control" : "treatment", start + 59 * 60_000),
    );
    const late = Array.from({ length: 10 }, (_, n) =>
      shown(100 + n, n % 2 === 0 ? "control" : "treatment", start + 60 * 60_000),
    );
    const outcomes = [...early, ...late].map(([, subject], n): OutcomeRow => [
      id(10_000 + n),
      subject,
      "rounds",
      "count",
      start + 61 * 60_000,
      n,
    ]);
    const at = (asOf: number) =>
      judged(counted(metrics, [...early, ...late], outcomes, asOf), { metrics }).outcomes["rounds"];
    expect(at(start + 3 * 3_600_000 - 1)?.matured?.subjects).toEqual({ control: 0, treatment: 0 });
    const some = at(start + 3 * 3_600_000);
    expect(some?.matured?.subjects).toEqual({ control: 10, treatment: 10 });
    expect(some?.arms["control"]?.subjects).toBe(15);
    const moments = (offset: 0 | 1) => {
      const own = Array.from({ length: 10 }, (_, half) => half * 2 + offset);
      const mean = own.reduce((sum, one) => sum + one, 0) / 10;
      return { subjects: 10, mean, variance: own.reduce((sum, one) => sum + (one - mean) ** 2, 0) / 9 };
    };
    expect(some?.matured?.contrasts[0]?.pValue).toBeCloseTo(welchTest(moments(1), moments(0)).pValue ?? NaN, 12);
    expect(at(start + 4 * 3_600_000)?.matured?.subjects).toEqual({ control: 15, treatment: 15 });
  });

  test("without crossovers is what it would be had they never come", () => {
    const crossing = [shown(900, "control", start), shown(901, "treatment", start)];
    const again: readonly ExposureRow[] = [
      [id(5_000), "s900", "treatment", 1, start + 5],
      [id(5_001), "s901", "control", 1, start + 6],
    ];
    const outcomes = Array.from({ length: 40 }, (_, n) => value(n, n, "rounds", "count", (n * n) % 17));
    const others = exposures.slice(0, 40);
    const all = judged(
      counted(
        metrics,
        [...others, ...crossing, ...again],
        [...outcomes, value(90, 900, "rounds", "count", 1_000)],
        start,
      ),
      { metrics },
    );
    const without = judged(counted(metrics, others, outcomes, start), { metrics });
    expect(all.crossovers).toBe(2);
    const { difference, pValue } = without.outcomes["rounds"]?.contrasts[0] ?? {};
    expect(all.outcomes["rounds"]?.withoutCrossovers?.contrasts[0]).toMatchObject({ difference, pValue });
    expect(all.outcomes["rounds"]?.withoutCrossovers?.subjects).toEqual({ control: 20, treatment: 20 });
    expect(all.outcomes["rounds"]?.contrasts[0]?.difference).not.toBe(difference);
  });

  test("days and declared dimensions show the gap in shares, and their totals", () => {
    const rows = Array.from({ length: 100 }, (_, n) =>
      shown(n, n % 4 === 0 ? "control" : "treatment", start + (n < 60 ? 0 : day), [
        n < 60 ? "country=US" : "country=(other)",
      ]),
    );
    const found = judged(counted(metrics, rows, [value(1, 1, "rounds", "count", 5)], start), { metrics });
    expect(found.days?.map(({ day: name, subjects, deviation }) => [name, subjects, deviation])).toEqual([
      ["2026-11-01", { control: 15, treatment: 45 }, { control: -0.25, treatment: 0.25 }],
      ["2026-11-02", { control: 10, treatment: 30 }, { control: -0.25, treatment: 0.25 }],
    ]);
    expect(found.dimensions?.map(({ dimension, value: name, subjects }) => [dimension, name, subjects])).toEqual([
      ["country", "(other)", { control: 10, treatment: 30 }],
      ["country", "US", { control: 15, treatment: 45 }],
    ]);
    expect(found.days?.[0]?.outcomes["rounds (count)"]?.["treatment"]).toMatchObject({ subjects: 45, sum: 5 });
    expect(found.days?.[0]?.sampleRatioPValue).toBeLessThan(0.001);
  });
});

describe("CUPED", () => {
  const metrics: readonly DeclaredMetric[] = [
    { name: "before", kind: "continuous", window: { before: "10d" } },
    { name: "spend", kind: "continuous", covariate: "before" },
  ];
  /** Every fifth is new; of the others some spend nothing, and what comes after the exposure is no covariate. */
  const people = Array.from({ length: 200 }, (_, n) => ({
    variant: n % 2 === 0 ? "control" : "treatment",
    subject: `user-${n}`,
    covariate: n % 5 === 0 ? null : (n * 37) % 23,
    outcome: n % 7 === 0 ? 0 : ((n * 37) % 23) * 2 + (n % 2) + ((n * 13) % 5),
    time: start + n * 1_000,
  }));
  const shownTo = (epochOf: (n: number) => number) =>
    people.map(({ variant, subject, time }, n): ExposureRow => [id(n), subject, variant, epochOf(n), time]);
  const done = people.flatMap(({ subject, covariate, outcome, time }, n): OutcomeRow[] => [
    ...(covariate === null
      ? []
      : [[id(1_000 + n), subject, "before", "continuous", time - 3 * day, covariate] satisfies OutcomeRow]),
    [id(2_000 + n), subject, "before", "continuous", time + 1, 1_000],
    [id(3_000 + n), subject, "before", "continuous", time - 11 * day, 1_000],
    ...(outcome === 0 ? [] : [[id(4_000 + n), subject, "spend", "continuous", time + 5, outcome] satisfies OutcomeRow]),
  ]);
  const of = (variant: string, from = 0, to = people.length) =>
    people.slice(from, to).filter((one) => one.variant === variant);
  const contrastIn = (epochOf: (n: number) => number) =>
    judged(counted(metrics, shownTo(epochOf), done, start + 9 * day), { metrics, epoch: 1 }).outcomes["spend"]
      ?.contrasts[0];

  test("given events in any order, then the ledger's sums give what the subjects one by one give", () => {
    const contrast = contrastIn(() => 1);
    const { adjusted, theta, newSubjects } = cuped(of("treatment"), of("control"));
    const found = contrast?.adjusted;
    expect(found).toMatchObject({ covariate: "before", slopes: [{ epoch: 1 }] });
    expect(found?.difference).toBeCloseTo(adjusted.difference ?? NaN, 10);
    expect(found?.pValue).toBeCloseTo(adjusted.pValue ?? NaN, 10);
    expect(found?.interval?.[0]).toBeCloseTo(adjusted.interval?.[0] ?? NaN, 10);
    expect(found?.slopes[0]?.theta).toBeCloseTo(theta ?? NaN, 10);
    expect(found?.slopes[0]?.newSubjects).toBeCloseTo(newSubjects ?? NaN, 10);
    expect(found?.varianceReduction).toBeGreaterThan(0.2);
    // Beside the unadjusted one, which is as it was.
    expect(contrast?.difference).toBeCloseTo(
      welchTest(
        momentsOfValues(of("treatment").map((one) => one.outcome)),
        momentsOfValues(of("control").map((one) => one.outcome)),
      ).difference ?? NaN,
      10,
    );
  });

  test("over two epochs it is fitted in each, and combined by their share of the subjects", () => {
    const found = contrastIn((n) => (n < 80 ? 0 : 1))?.adjusted;
    const parts = [cuped(of("treatment", 0, 80), of("control", 0, 80)), cuped(of("treatment", 80), of("control", 80))];
    const expected = 0.4 * (parts[0]?.adjusted.difference ?? NaN) + 0.6 * (parts[1]?.adjusted.difference ?? NaN);
    expect(found?.difference).toBeCloseTo(expected, 10);
    expect(found?.slopes.map(({ epoch, theta }) => [epoch, theta?.toFixed(9)])).toEqual(
      parts.map(({ theta }, epoch) => [epoch, theta?.toFixed(9)]),
    );
  });

  test("a covariate that nobody has adjusts nothing, and says why", () => {
    const found = judged(
      counted(
        metrics,
        shownTo(() => 1),
        done.filter(([, , name]) => name === "spend"),
        start + day,
      ),
      {
        metrics,
      },
    ).outcomes["spend"]?.contrasts[0];
    expect(found?.adjusted).toMatchObject({ pValue: null, reason: "the covariate does not vary within the arms" });
    expect(found?.pValue).not.toBeNull();
  });

  test("a metric without a covariate has no adjusted contrast", () => {
    const plain = metrics.map(({ covariate: _covariate, ...metric }) => metric);
    const found = judged(
      counted(
        plain,
        shownTo(() => 1),
        done,
        start + day,
      ),
      { metrics: plain },
    );
    expect(found.outcomes["spend"]?.contrasts[0]).not.toHaveProperty("adjusted");
  });
});

describe("an effect over time", () => {
  const metrics: readonly DeclaredMetric[] = [
    { name: "purchase", kind: "binary" },
    { name: "spend", kind: "continuous", cap: 50, primary: true },
  ];
  const everybody = Array.from({ length: 400 }, (_, n) =>
    shown(n, n % 2 === 0 ? "control" : "treatment", start + Math.floor(n / 100) * day + n),
  );
  const outcomes = everybody.flatMap(([, subject, , , time], n): OutcomeRow[] => [
    [id(1_000 + n), subject, "purchase", "binary", time + 1, (n * 7) % 5 < 2 ? 1 : 0],
    [id(2_000 + n), subject, "spend", "continuous", time + 1, n % 9],
  ]);
  const found = judged(counted(metrics, everybody, outcomes, start + 9 * day), { metrics });
  const series = (name: string) => found.outcomes[name]?.contrasts[0]?.series ?? [];

  test("each day holds everybody up to then, and the last is the whole", () => {
    expect(series("purchase").map(({ day: date, subjects }) => [date, subjects])).toEqual([
      ["2026-11-01", 100],
      ["2026-11-02", 200],
      ["2026-11-03", 300],
      ["2026-11-04", 400],
    ]);
    const contrast = found.outcomes["purchase"]?.contrasts[0];
    expect(series("purchase").at(-1)).toMatchObject({
      difference: contrast?.sequential.difference,
      interval: contrast?.sequential.interval,
    });
    expect(contrast?.sequential.interval).not.toBeNull();
  });

  test("the second day is what the sequence says of the first two days", () => {
    const seen = everybody.slice(0, 200);
    const successes = (arm: string) => seen.filter(([, , variant], n) => variant === arm && (n * 7) % 5 < 2).length;
    const expected = proportionSequence(
      { successes: successes("treatment"), subjects: 100 },
      { successes: successes("control"), subjects: 100 },
    );
    expect(series("purchase")[1]?.interval?.[0]).toBeCloseTo(expected.interval?.[0] ?? NaN, 12);
    expect(series("purchase")[1]?.interval?.[1]).toBeCloseTo(expected.interval?.[1] ?? NaN, 12);
  });

  test("below 1,000 subjects an arm a mean has its difference, and no interval", () => {
    expect(series("spend")).toHaveLength(4);
    for (const { difference, interval } of series("spend")) {
      expect(difference).not.toBeNull();
      expect(interval).toBeNull();
    }
  });
});

describe("what may be believed", () => {
  const metrics: readonly DeclaredMetric[] = [{ name: "purchase", kind: "binary" }];
  const outcomes = exposures.map((_, n) => value(n, n, "purchase", "binary", Number(converts(n))));

  test("under a mismatch effects are withheld until somebody asks for them", () => {
    const stray = [...exposures, shown(9_000, "killed")];
    const counts = counted(metrics, stray, outcomes, start);
    const plans = [...planned, { variant: "killed", share: 0 }];
    const found = judged(counts, { metrics, planned: plans });
    expect(found.trustworthy).toBe(false);
    expect(found.withheld).toContain("not trustworthy");
    expect(found.outcomes["purchase"]?.contrasts[0]).toMatchObject({
      difference: null,
      pValue: null,
      interval: null,
      adjustedPValue: null,
      sequential: { interval: null, pValue: null },
      relativeDifference: { value: null },
    });
    expect(found.outcomes["purchase"]?.withoutCrossovers?.contrasts[0]?.difference).toBeNull();
    expect(found.outcomes["purchase"]?.arms["control"]?.subjects).toBe(200);
    const told = judged(counts, { metrics, planned: plans, showUntrusted: true });
    expect(told.withheld).toBeNull();
    expect(told.outcomes["purchase"]?.contrasts[0]?.difference).not.toBeNull();
  });

  test("fixedHorizon says how far the plan has come", () => {
    const counts = counted(metrics, exposures, outcomes, start);
    expect(judged(counts).fixedHorizon).toEqual({ status: "early", fraction: null });
    expect(judged(counts, { plan: { alpha: 0.05, sample: 1_600 } }).fixedHorizon).toEqual({
      status: "early",
      fraction: 0.25,
    });
    expect(judged(counts, { plan: { alpha: 0.05, sample: 400 } }).fixedHorizon).toEqual({
      status: "final",
      fraction: 1,
    });
    const plan = { alpha: 0.05, end: "2026-11-10" };
    expect(judged(counts, { plan, start, now: start + 5 * day }).fixedHorizon).toEqual({
      status: "early",
      fraction: 0.5,
    });
    expect(judged(counts, { plan, start, now: start + 10 * day }).fixedHorizon).toEqual({
      status: "final",
      fraction: 1,
    });
    // A time with its zone, as a configuration may write it, too: it is no day that is over at its end.
    const spaced = { alpha: 0.05, end: "2026-11-11 00:00:00Z" };
    expect(judged(counts, { plan: spaced, start, now: start + 10 * day }).fixedHorizon).toEqual({
      status: "final",
      fraction: 1,
    });
  });
});
