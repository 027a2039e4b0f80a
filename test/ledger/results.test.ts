import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { looksAtCheckpoints } from "../../src/ledger/checkpoint-looks.ts";
import {
  type ArmCount,
  type CheckpointLooks,
  emptyCounts,
  type LedgerCounts,
  type MetricTotals,
} from "../../src/ledger/counts.ts";
import { addDecimals, decimalOf, decimalText, squareDecimal, type Decimal } from "../../src/ledger/decimal.ts";
import type { EpochPlan } from "../../src/ledger/ground.ts";
import { results } from "../../src/ledger/results.ts";
import { logBayesFactor, looksAtEverySubject } from "../../src/science/sequential-srm.ts";
import { epochAlpha } from "../../src/science/srm-verdict.ts";
import { cookieCats, cookieCatsAbsent } from "../science/cookie-cats.ts";

const arm = (variant: string, subjects: number, epoch = 1): ArmCount => ({ variant, epoch, subjects });

const countsOf = (arms: readonly ArmCount[], more: Partial<LedgerCounts> = {}): LedgerCounts => ({
  ...emptyCounts,
  arms,
  ...more,
});

type Totals = readonly [variant: string, sum: string, sumOfSquares: string, epoch?: number];

const metric = (name: string, kind: MetricTotals["kind"], totals: readonly Totals[]): MetricTotals => ({
  metric: name,
  kind,
  arms: totals.map(([variant, sum, sumOfSquares, epoch = 1]) => ({ variant, epoch, observed: 0, sum, sumOfSquares })),
  unexposed: 0,
});

const looksAt = (plan: EpochPlan, ...checkpoints: readonly (readonly ArmCount[])[]): CheckpointLooks => {
  const fold = looksAtCheckpoints(plan);
  for (const arms of checkpoints) fold.observe(arms);
  return fold.result();
};

const halves = (control: string, treatment: string) => [
  { variant: control, share: 0.5 },
  { variant: treatment, share: 0.5 },
];
const planned = halves("control", "treatment");
const judge = (counts: LedgerCounts) => results({ counts, planned, control: "control", epoch: 1 });

const nothing = countsOf([]);
const six = (value: number | null | undefined): string => (value ?? Number.NaN).toPrecision(6);

describe("Cookie Cats", () => {
  const gates = halves("gate_30", "gate_40");
  const totals = countsOf([arm("gate_40", 45_489), arm("gate_30", 44_700)], {
    metrics: [
      metric("retention_1", "binary", [
        ["gate_30", "20034", "20034"],
        ["gate_40", "20119", "20119"],
      ]),
      metric("retention_7", "binary", [
        ["gate_30", "8502", "8502"],
        ["gate_40", "8279", "8279"],
      ]),
      metric("sum_game_rounds", "count", [
        ["gate_30", "2344795", "3068811771"],
        ["gate_40", "2333530", "605052202"],
      ]),
    ],
  });

  test("totals give the known results", () => {
    const answer = results({ counts: totals, planned: gates, control: "gate_30" });
    expect(Object.entries(answer.subjects)).toEqual([
      ["gate_30", 44_700],
      ["gate_40", 45_489],
    ]);
    const { chiSquare, sequential } = answer.sampleRatio;
    expect(chiSquare.statistic?.toPrecision(9)).toBe("6.90240495");
    expect(six(chiSquare.pValue)).toBe("0.00860799");
    expect(chiSquare.degreesOfFreedom).toBe(1);
    expect(six(sequential.logBayesFactor)).toBe("0.0421646");
    expect(answer.sampleRatio.planned).toEqual({ gate_30: 0.5, gate_40: 0.5 });
    expect(answer.trustworthy).toBe(true);
    expect(answer.signals).toEqual([]);
    expect(answer.sampleRatio).not.toHaveProperty("byEpoch");

    const [first] = answer.outcomes["retention_1"]?.contrasts ?? [];
    expect(first).toMatchObject({ variant: "gate_40", control: "gate_30" });
    expect(six(first?.statistic)).toBe("-1.78409");
    expect(six(first?.pValue)).toBe("0.0744097");
    const [seventh] = answer.outcomes["retention_7"]?.contrasts ?? [];
    expect(six(seventh?.statistic)).toBe("-3.16436");
    expect(six(seventh?.pValue)).toBe("0.00155425");
    expect(seventh?.interval?.map(six)).toEqual(["-0.0132816", "-0.00312104"]);
    const rounds = answer.outcomes["sum_game_rounds"];
    expect(rounds?.arms["gate_30"]).toEqual({
      subjects: 44_700,
      sum: 2_344_795,
      mean: 2_344_795 / 44_700,
      variance: 65_903.32189749401,
    });
    expect(rounds?.contrasts[0]).toMatchObject({ variant: "gate_40", control: "gate_30" });
    expect(six(rounds?.contrasts[0]?.statistic)).toBe("-0.885437");
    expect(six(rounds?.contrasts[0]?.pValue)).toBe("0.375924");
    expect(six(rounds?.contrasts[0]?.degreesOfFreedom)).toBe("58595.5");
    expect(rounds?.contrasts[0]?.interval?.map(six)).toEqual(["-3.71971", "1.40473"]);
  });

  if (cookieCatsAbsent !== undefined) process.stderr.write(`skipped: Cookie Cats row by row: ${cookieCatsAbsent}\n`);
  test.skipIf(cookieCatsAbsent !== undefined)("rows, counted one by one, give the same totals and a look a row", () => {
    const fold = looksAtEverySubject(gates);
    const sums = new Map<string, { subjects: number; values: readonly [Decimal, Decimal][] }>();
    for (const { version, rounds, retention1, retention7 } of cookieCats()) {
      fold.observe(version);
      const before = sums.get(version) ?? {
        subjects: 0,
        values: [
          [0, 0],
          [0, 0],
          [0, 0],
        ],
      };
      const outcomes = [retention1 ? 1 : 0, retention7 ? 1 : 0, rounds].map(decimalOf);
      sums.set(version, {
        subjects: before.subjects + 1,
        values: before.values.map(([sum, squares], index) => {
          const value = outcomes[index] ?? 0;
          return [addDecimals(sum, value), addDecimals(squares, squareDecimal(value))];
        }),
      });
    }
    const counts = countsOf(
      [...sums].map(([variant, { subjects }]) => arm(variant, subjects)),
      {
        subjectLooks: fold.result(),
        metrics: totals.metrics.map((known, index) =>
          metric(
            known.metric,
            known.kind,
            [...sums].map(([variant, { values }]) => {
              const [sum, squares] = values[index] ?? [0, 0];
              return [variant, decimalText(sum), decimalText(squares)];
            }),
          ),
        ),
      },
    );
    const answer = results({ counts, planned: gates, control: "gate_30" });
    expect(answer.outcomes).toEqual(results({ counts: totals, planned: gates, control: "gate_30" }).outcomes);
    expect(answer.sampleRatio.sequential).toMatchObject({ looks: 90_189, lookAt: "subject", mismatch: false });
    expect(six(answer.sampleRatio.sequential.pValue)).toBe("0.774019");
    expect(six(answer.sampleRatio.sequential.logBayesFactor)).toBe("0.0421646");
  });
});

describe("sample ratio", () => {
  test("before the first subject has reasons and no NaN", () => {
    const answer = judge(nothing);
    expect(answer.subjects).toEqual({ control: 0, treatment: 0 });
    expect(answer.sampleRatio.chiSquare).toMatchObject({ statistic: null, degreesOfFreedom: null, pValue: null });
    expect(answer.sampleRatio.sequential).toMatchObject({ logBayesFactor: 0, pValue: 1, looks: 0, mismatch: false });
    expect(answer.signals).toEqual([]);
  });

  test("without a stored checkpoint knows the Bayes factor of the counts, and p is 1: nobody has looked", () => {
    const { sequential } = judge(countsOf([arm("control", 300), arm("treatment", 900)])).sampleRatio;
    expect(sequential).toEqual({
      logBayesFactor: logBayesFactor([300, 900], [1, 1]),
      pValue: 1,
      looks: 0,
      lookAt: "checkpoint",
      level: epochAlpha(1),
      mismatch: false,
    });
    expect(sequential.logBayesFactor).toBeGreaterThan(20);
  });

  test("keeps the smallest p of the checkpoints after the ratio has recovered", () => {
    const answer = judge(
      countsOf([arm("control", 1_000), arm("treatment", 1_010)], {
        checkpointLooks: [
          looksAt(
            { epoch: 1, arms: planned },
            [],
            [arm("control", 100), arm("treatment", 300)],
            [arm("control", 1_000), arm("treatment", 1_010)],
          ),
        ],
      }),
    );
    const { sequential } = answer.sampleRatio;
    expect(sequential.looks).toBe(2);
    expect(sequential.pValue).toBeCloseTo(Math.exp(-logBayesFactor([100, 300], [1, 1])), 15);
    expect(sequential.logBayesFactor).toBeCloseTo(logBayesFactor([1_000, 1_010], [1, 1]), 12);
    expect(sequential.mismatch).toBe(true);
    expect(answer.trustworthy).toBe(false);
    expect(answer.signals).toHaveLength(1);
    const [signal] = answer.signals;
    expect(signal).toMatchObject({ signalType: "SampleRatioMismatch", severity: "Critical" });
    expect(signal?.message).toMatch(/epoch 1: control 49\.75 % instead of 50\.00 %, treatment 50\.25 %/);
    expect(signal?.data).toMatchObject({ epoch: 1, looks: 2, level: epochAlpha(1) });
    expect(signal?.data["arms"]).toEqual([
      {
        variant: "control",
        subjects: 1_000,
        plannedShare: 0.5,
        observedShare: 1_000 / 2_010,
        deviation: 1_000 / 2_010 - 0.5,
      },
      {
        variant: "treatment",
        subjects: 1_010,
        plannedShare: 0.5,
        observedShare: 1_010 / 2_010,
        deviation: 1_010 / 2_010 - 0.5,
      },
    ]);
  });

  test("raises no signal on the chi-square test alone", () => {
    const answer = judge(
      countsOf([arm("control", 44_700), arm("treatment", 45_489)], {
        checkpointLooks: [looksAt({ epoch: 1, arms: planned }, [arm("control", 44_700), arm("treatment", 45_489)])],
      }),
    );
    expect(answer.sampleRatio.chiSquare.pValue).toBeLessThan(0.01);
    expect(answer.sampleRatio.sequential.pValue).toBeGreaterThan(0.9);
    expect(answer.signals).toEqual([]);
  });

  test.each(["surprise", "constructor", "toString", "__proto__"])(
    "takes a subject in the unplanned variant %s for a mismatch at once",
    (variant) => {
      const answer = judge(countsOf([arm("control", 50), arm("treatment", 50), arm(variant, 1)]));
      expect(Object.entries(answer.subjects)).toEqual([
        ["control", 50],
        ["treatment", 50],
        [variant, 1],
      ]);
      expect(Object.entries(answer.sampleRatio.planned)).toContainEqual([variant, 0]);
      expect(answer.sampleRatio.chiSquare.pValue).toBe(0);
      expect(answer.sampleRatio.sequential).toMatchObject({ pValue: 0, logBayesFactor: null, mismatch: true });
      expect(answer.sampleRatio.sequential.reason).toMatch(/planned share is 0/);
      expect(answer.signals).toHaveLength(1);
      expect(answer.trustworthy).toBe(false);
      expect(Object.getPrototypeOf(answer.subjects)).toBe(Object.prototype);
    },
  );

  test("treats an arm of weight 0 the same way, and is silent while it is empty", () => {
    const withHoldout = [...planned, { variant: "off", share: 0 }];
    const quiet = results({
      counts: countsOf([arm("control", 50), arm("treatment", 50)]),
      planned: withHoldout,
      control: "control",
    });
    expect(quiet.signals).toEqual([]);
    expect(quiet.sampleRatio.chiSquare).toMatchObject({ statistic: 0, degreesOfFreedom: 1, pValue: 1 });
    const loud = results({
      counts: countsOf([arm("control", 50), arm("treatment", 50), arm("off", 1)]),
      planned: withHoldout,
      control: "control",
    });
    expect(loud.signals).toHaveLength(1);
  });

  test("survives JSON as it stands: no infinity, no NaN", () => {
    const answer = judge(
      countsOf([arm("control", 5), arm("treatment", 5), arm("surprise", 1)], {
        metrics: [metric("purchase", "binary", []), metric("spent", "continuous", [["control", "0.3", "0.09"]])],
        subjectLooks: { looks: 11, logBayesFactor: Infinity, pValue: 0 },
      }),
    );
    expect(JSON.parse(JSON.stringify(answer))).toEqual(answer);
  });
});

describe("epochs", () => {
  /** A ramp from 90/10 to 50/50 over a rising base rate; no effect in either epoch. */
  const ramp = countsOf(
    [arm("control", 18_000, 1), arm("treatment", 2_000, 1), arm("control", 10_000, 2), arm("treatment", 10_000, 2)],
    {
      metrics: [
        metric("purchase", "binary", [
          ["control", "360", "360", 1],
          ["treatment", "40", "40", 1],
          ["control", "600", "600", 2],
          ["treatment", "600", "600", 2],
        ]),
      ],
    },
  );
  const earlier = [
    {
      epoch: 1,
      arms: [
        { variant: "control", share: 0.9 },
        { variant: "treatment", share: 0.1 },
      ],
    },
  ];

  test("are tested apart, at levels that add up, and the latest one stands on top", () => {
    const { sampleRatio, signals } = results({ counts: ramp, planned, control: "control", epoch: 2, earlier });
    expect(signals).toEqual([]);
    expect(sampleRatio.epoch).toBe(2);
    expect(sampleRatio.planned).toEqual({ control: 0.5, treatment: 0.5 });
    expect(sampleRatio.byEpoch?.map((one) => [one.epoch, one.planned["treatment"], one.chiSquare.statistic])).toEqual([
      [1, 0.1, expect.closeTo(0, 12)],
      [2, 0.5, 0],
    ]);
    expect(sampleRatio.byEpoch?.map((one) => one.sequential.level)).toEqual([epochAlpha(1), epochAlpha(2)]);
  });

  test("without a known plan are counted and not tested against somebody else's", () => {
    const { sampleRatio, signals } = results({ counts: ramp, planned, control: "control" });
    const [first, second] = sampleRatio.byEpoch ?? [];
    expect(first?.chiSquare).toMatchObject({ pValue: null, reason: "the planned shares of epoch 1 are not known" });
    expect(first?.sequential).toMatchObject({ pValue: null, logBayesFactor: null, mismatch: false });
    expect(first?.subjects).toEqual({ control: 18_000, treatment: 2_000 });
    expect(second?.chiSquare.pValue).toBe(1);
    expect(signals).toEqual([]);
  });

  test("that nobody has entered yet still show their own plan", () => {
    const { sampleRatio } = results({
      counts: ramp,
      planned: [
        { variant: "control", share: 1 },
        { variant: "treatment", share: 3 },
      ],
      control: "control",
      epoch: 3,
    });
    expect(sampleRatio).toMatchObject({
      epoch: 3,
      planned: { control: 0.25, treatment: 0.75 },
      subjects: { control: 0, treatment: 0 },
    });
    expect(sampleRatio.byEpoch).toHaveLength(3);
  });

  test("fold their own checkpoints only, and looks at subjects describe a lone epoch only", () => {
    const counts = {
      ...ramp,
      checkpointLooks: [...earlier, { epoch: 2, arms: planned }].map((plan) =>
        looksAt(plan, [arm("control", 900, 1), arm("treatment", 100, 1)], ramp.arms),
      ),
      subjectLooks: { looks: 40_000, logBayesFactor: 99, pValue: 1e-40 },
    };
    const { sampleRatio } = results({ counts, planned, control: "control", epoch: 2, earlier });
    expect(sampleRatio.byEpoch?.map((one) => one.sequential.looks)).toEqual([2, 1]);
    expect(sampleRatio.byEpoch?.map((one) => one.sequential.lookAt)).toEqual(["checkpoint", "checkpoint"]);
    expect(sampleRatio.byEpoch?.map((one) => one.sequential.mismatch)).toEqual([false, false]);
  });

  test("name the one with a mismatch", () => {
    const swapped = [{ epoch: 1, arms: planned }];
    const counts = { ...ramp, checkpointLooks: swapped.map((plan) => looksAt(plan, ramp.arms)) };
    const { signals, trustworthy } = results({ counts, planned, control: "control", epoch: 2, earlier: swapped });
    expect(signals.map((signal) => signal.data["epoch"])).toEqual([1]);
    expect(trustworthy).toBe(false);
  });

  test("are compared within themselves: pooled totals would find an effect that is not there", () => {
    const [contrast] =
      results({ counts: ramp, planned, control: "control", epoch: 2, earlier }).outcomes["purchase"]?.contrasts ?? [];
    expect(contrast?.difference).toBeCloseTo(0, 12);
    expect(contrast?.epochs).toEqual([1, 2]);
    expect(contrast).not.toHaveProperty("leftOut");
    const [low, high] = contrast?.interval ?? [0, 0];
    expect((high - low) / (2 * 1.959963984540054)).toBeCloseTo(0.00235419247773461, 12);
  });

  test("that lack an arm are left out and named", () => {
    const counts = countsOf(
      [
        arm("control", 100, 1),
        arm("control", 50, 2),
        arm("treatment", 50, 2),
        arm("control", 40, 3),
        arm("treatment", 1, 3),
      ],
      {
        metrics: [
          metric("purchase", "binary", [
            ["control", "10", "10", 1],
            ["control", "5", "5", 2],
            ["treatment", "10", "10", 2],
            ["control", "4", "4", 3],
          ]),
          metric("spent", "continuous", [
            ["control", "10", "10", 2],
            ["treatment", "20.5", "30.25", 2],
          ]),
        ],
      },
    );
    const { outcomes } = results({ counts, planned, control: "control", epoch: 3 });
    const [binary] = outcomes["purchase"]?.contrasts ?? [];
    expect(binary?.epochs).toEqual([2, 3]);
    expect(binary?.leftOut).toEqual([{ epoch: 1, reason: "fewer than 1 subject in treatment" }]);
    const [mean] = outcomes["spent"]?.contrasts ?? [];
    expect(mean?.epochs).toEqual([2]);
    expect(mean?.difference).toBeCloseTo(20.5 / 50 - 10 / 50, 12);
    expect(mean?.leftOut?.map((one) => one.epoch)).toEqual([1, 3]);
    const alone = results({
      counts: countsOf([arm("control", 9, 1), arm("treatment", 9, 2)], { metrics: [metric("purchase", "binary", [])] }),
      planned,
      control: "control",
    });
    expect(alone.outcomes["purchase"]?.contrasts[0]).toMatchObject({
      difference: null,
      reason: "no epoch has both arms",
      epochs: [],
    });
  });
});

describe("outcomes", () => {
  test("count everyone exposed: a subject without a value is a 0", () => {
    const counts = countsOf([arm("control", 4), arm("treatment", 5)], {
      metrics: [metric("spent", "continuous", [["treatment", "1.50", "2.25"]])],
    });
    const spent = judge(counts).outcomes["spent"];
    expect(spent?.arms).toEqual({
      control: { subjects: 4, sum: 0, mean: 0, variance: 0 },
      treatment: { subjects: 5, sum: 1.5, mean: 0.3, variance: 0.45 },
    });
    expect(spent?.contrasts[0]).toMatchObject({ difference: 0.3, degreesOfFreedom: 4 });
  });

  test("have nulls and reasons where nothing can be said", () => {
    const metrics = [metric("purchase", "binary", []), metric("spent", "count", [])];
    const none = judge(countsOf([], { metrics })).outcomes;
    expect(none["purchase"]?.arms["control"]).toEqual({ subjects: 0, sum: 0, mean: null, variance: null });
    expect(none["purchase"]?.contrasts[0]).toMatchObject({
      difference: null,
      interval: null,
      reason: "no subjects yet",
    });
    const one = judge(countsOf([arm("control", 1)], { metrics })).outcomes;
    expect(one["purchase"]?.contrasts[0]?.reason).toBe("no subject in the variant");
    expect(one["spent"]?.contrasts[0]?.reason).toBe("no subject in the variant");
    const still = judge(countsOf([arm("control", 9), arm("treatment", 9)], { metrics })).outcomes;
    expect(still["purchase"]?.contrasts[0]).toMatchObject({
      difference: 0,
      pValue: null,
      reason: "no success in either arm",
    });
    expect(still["spent"]?.contrasts[0]).toMatchObject({
      difference: 0,
      pValue: null,
      reason: "no variation within the arms",
    });
  });

  test("say a sum exactly where a double cannot", () => {
    const counts = countsOf([arm("control", 2), arm("treatment", 2)], {
      metrics: [
        metric("bytes", "count", [
          ["control", "9007199254740993", "1e32"],
          ["treatment", "0.3", "0.05"],
        ]),
      ],
    });
    const bytes = judge(counts).outcomes["bytes"];
    expect(bytes?.arms["control"]).toMatchObject({ sum: 9_007_199_254_740_992, exactSum: "9007199254740993" });
    expect(bytes?.arms["treatment"]).not.toHaveProperty("exactSum");
  });

  test("compare every treatment with control, in the order of the configuration", () => {
    const three = ["b", "control", "a"].map((variant) => ({ variant, share: 1 }));
    const counts = countsOf([arm("a", 10), arm("b", 10), arm("control", 10)], {
      metrics: [metric("constructor", "binary", [["a", "3", "3"]])],
    });
    const answer = results({ counts, planned: three, control: "control" });
    expect(Object.keys(answer.outcomes)).toEqual(["constructor"]);
    expect(answer.outcomes["constructor"]?.contrasts.map(({ variant, control }) => [variant, control])).toEqual([
      ["b", "control"],
      ["a", "control"],
    ]);
    expect(Object.keys(answer.outcomes["constructor"]?.arms ?? {})).toEqual(["b", "control", "a"]);
  });

  test("pass on repeats and crossovers, and warn above one in a hundred", () => {
    const arms = [arm("control", 500), arm("treatment", 500)];
    const calm = judge(countsOf(arms, { repeats: 7, crossovers: 10 }));
    expect(calm).toMatchObject({ repeats: 7, crossovers: 10, signals: [] });
    const [signal] = judge(countsOf(arms, { crossovers: 11 })).signals;
    expect(signal).toMatchObject({
      signalType: "CrossoverRate",
      severity: "Warning",
      data: { crossovers: 11, subjects: 1_000 },
    });
  });
});

interface Row {
  readonly variant: string;
  readonly epoch: number;
  readonly values: readonly number[];
  /** Subjects without a value. */
  readonly extra: number;
}

const add = (terms: readonly Decimal[]) => decimalText(terms.reduce<Decimal>(addDecimals, 0));

const build = (list: readonly Row[]) => {
  const totals = (of: (value: number) => number) =>
    list.map(({ variant, epoch, values }): Totals => {
      const exact = values.map((value) => decimalOf(of(value)));
      return [variant, add(exact), add(exact.map(squareDecimal)), epoch];
    });
  return countsOf(
    list.map(({ variant, epoch, values, extra }) => arm(variant, values.length + extra, epoch)),
    {
      metrics: [
        metric(
          "purchase",
          "binary",
          totals((value) => (value > 0 ? 1 : 0)),
        ),
        metric(
          "spent",
          "continuous",
          totals((value) => value),
        ),
      ],
    },
  );
};

const numbersIn = (value: unknown): readonly number[] => {
  if (typeof value === "number") return [value];
  return typeof value === "object" && value !== null ? Object.values(value).flatMap(numbersIn) : [];
};

test("no counts whatever give NaN, and the order of the rows changes nothing", () => {
  const variants = ["control", "treatment", "toString"];
  const rows = fc.uniqueArray(
    fc.record({
      variant: fc.constantFrom(...variants),
      epoch: fc.integer({ min: 0, max: 3 }),
      values: fc.array(fc.double({ min: -1e6, max: 1e6, noNaN: true }), { maxLength: 5 }),
      extra: fc.nat(3),
    }),
    { selector: (row) => `${row.variant}/${row.epoch}`, maxLength: 12 },
  );
  fc.assert(
    fc.property(
      rows.chain((list) => fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length }))),
      ([list, shuffled]) => {
        const answer = results({ counts: build(list), planned, control: "control" });
        expect(numbersIn(answer).every(Number.isFinite)).toBe(true);
        expect(results({ counts: build(shuffled), planned, control: "control" })).toEqual(answer);
      },
    ),
  );
});

describe("a metric that was sent with two kinds", () => {
  const metrics = [
    metric("spent", "binary", [["control", "1", "1"]]),
    metric("spent", "count", [["control", "7", "49"]]),
  ];
  const keysOf = (kinds?: Record<string, "binary" | "count">) =>
    Object.entries(
      results({
        counts: countsOf([arm("control", 9), arm("treatment", 9)], { metrics }),
        planned,
        control: "control",
        epoch: 1,
        ...(kinds && { kinds }),
      }).outcomes,
    ).map(([name, { kind }]) => `${name}: ${kind}`);

  test("is shown as two; the declared kind has the plain name", () => {
    expect(keysOf({ spent: "count" })).toEqual(["spent (binary): binary", "spent: count"]);
  });

  test("without a declaration the first kind has it, whatever came first", () => {
    expect(keysOf()).toEqual(["spent: binary", "spent (count): count"]);
  });
});
