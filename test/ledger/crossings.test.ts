import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type ContrastReading,
  crossings,
  fixedHorizonOf,
  peekingWarning,
  type Signal,
  type SignalReadings,
  signalsHolding,
} from "../../src/ledger/crossings.ts";
import type { SampleRatioReading } from "../../src/ledger/sample-ratio.ts";

const quiet: SignalReadings = { sampleRatios: [], contrasts: [], subjects: 1_000, crossovers: 0 };
const typesOf = (signals: readonly Signal[]): readonly string[] => signals.map(({ signalType }) => signalType);

const sequential = (low: number, high: number) => ({
  difference: (low + high) / 2,
  interval: [low, high] as const,
  pValue: 0.01,
});
const contrast = (changes: Partial<ContrastReading> = {}): ContrastReading => ({
  metric: "purchase",
  variant: "treatment",
  epoch: 1,
  primary: true,
  goal: "increase",
  sequential: sequential(-0.01, 0.02),
  power: 0.4,
  ...changes,
});
const sampleRatio = (mismatch: boolean, epoch = 1): SampleRatioReading => ({
  epoch,
  planned: { control: 0.5, treatment: 0.5 },
  subjects: { control: 600, treatment: 400 },
  chiSquare: { statistic: 40, degreesOfFreedom: 1, pValue: 1e-10 },
  sequential: { logBayesFactor: 12, pValue: 1e-5, looks: 4, level: 0.0006, lookAt: "checkpoint", mismatch },
});

describe("what holds", () => {
  test.each([
    ["nothing", {}, []],
    [
      "a mismatch, by the sequential test alone",
      { sampleRatios: [sampleRatio(true), sampleRatio(false, 2)] },
      ["SampleRatioMismatch"],
    ],
    ["a chi-square p value below any level raises nothing", { sampleRatios: [sampleRatio(false)] }, []],
    [
      "a sequence that excludes 0",
      { contrasts: [contrast({ sequential: sequential(0.01, 0.03) })] },
      ["SequentialCheckpoint"],
    ],
    [
      "one that may not be shown",
      { contrasts: [contrast({ sequential: { difference: 1, interval: null, pValue: null } })] },
      [],
    ],
    ["power of the declared effect", { contrasts: [contrast({ power: 0.8 })] }, ["PowerThresholdMet"]],
    ["power of a secondary metric", { contrasts: [contrast({ power: 0.9, primary: false })] }, []],
    ["the planned sample", { plannedSample: 1_000 }, ["MinimumSampleReached"]],
    ["not quite", { plannedSample: 1_001 }, []],
    ["crossovers at one in a hundred", { crossovers: 10 }, []],
    ["crossovers above", { crossovers: 11 }, ["CrossoverRate"]],
    [
      "the host's own",
      {
        custom: [
          { name: "StockOut", severity: "Warning" as const, message: "no stock", holds: true },
          { name: "Other", severity: "Info" as const, message: "", holds: false },
        ],
      },
      ["StockOut"],
    ],
  ])("%s", (_what, readings: Partial<SignalReadings>, types) => {
    expect(typesOf(signalsHolding({ ...quiet, ...readings }))).toEqual(types);
  });

  test("a checkpoint says which way, and whether that was hoped for", () => {
    const data = (changes: Partial<ContrastReading>) => signalsHolding({ ...quiet, contrasts: [contrast(changes)] })[0];
    expect(data({ sequential: sequential(0.01, 0.03) })).toMatchObject({
      severity: "Info",
      data: { direction: "above", better: true },
    });
    expect(data({ sequential: sequential(-0.03, -0.01) })).toMatchObject({
      severity: "Warning",
      data: { direction: "below", better: false },
    });
    expect(data({ sequential: sequential(-0.03, -0.01), goal: "decrease" })).toMatchObject({ data: { better: true } });
    const { goal: _goal, ...aimless } = contrast({ sequential: sequential(-0.03, -0.01) });
    expect(signalsHolding({ ...quiet, contrasts: [aimless] })[0]).toMatchObject({
      severity: "Info",
      data: { better: null },
    });
  });
});

describe("once per crossing", () => {
  test("looked at again, nothing is raised; fallen back and crossed again, it is", () => {
    const above = signalsHolding({ ...quiet, crossovers: 20 });
    const first = crossings([], above);
    expect(typesOf(first.raised)).toEqual(["CrossoverRate"]);
    const second = crossings(first.holding, above);
    expect(second.raised).toEqual([]);
    const below = crossings(second.holding, signalsHolding(quiet));
    expect(below).toEqual({ raised: [], holding: [] });
    expect(typesOf(crossings(below.holding, above).raised)).toEqual(["CrossoverRate"]);
  });

  test("arms, epochs, metrics and directions cross apart from each other", () => {
    const up = contrast({ sequential: sequential(0.01, 0.03) });
    const all = [
      up,
      { ...up, variant: "second" },
      { ...up, metric: "basket" },
      { ...up, epoch: 2 },
      { ...up, sequential: sequential(-0.03, -0.01) },
    ];
    const { raised, holding } = crossings([], signalsHolding({ ...quiet, contrasts: [...all, up] }));
    expect([raised.length, holding.length]).toEqual([5, 5]);
  });

  test("over any sequence of looks, each stretch of holding raises one", () => {
    fc.assert(
      fc.property(fc.array(fc.subarray(["a", "b", "c"]), { maxLength: 20 }), (looks) => {
        let before: readonly string[] = [];
        const raised: string[] = [];
        for (const names of looks) {
          const now = names.map((name) => ({ name, severity: "Info" as const, message: "", holds: true }));
          const next = crossings(before, signalsHolding({ ...quiet, custom: now }));
          raised.push(...typesOf(next.raised));
          before = next.holding;
        }
        for (const name of ["a", "b", "c"]) {
          const starts = looks.filter(
            (names, index) => names.includes(name) && !(looks[index - 1] ?? []).includes(name),
          );
          expect(raised.filter((one) => one === name)).toHaveLength(starts.length);
        }
      }),
    );
  });
});

describe("a p value read too early", () => {
  test.each([
    [
      { subjects: 400, plannedSample: 1_000, now: 0 },
      { status: "early", fraction: 0.4 },
    ],
    [
      { subjects: 1_000, plannedSample: 1_000, now: 0 },
      { status: "final", fraction: 1 },
    ],
    [
      { subjects: 5, start: 100, end: 300, now: 150 },
      { status: "early", fraction: 0.25 },
    ],
    [
      { subjects: 5, start: 100, end: 300, now: 300 },
      { status: "final", fraction: 1 },
    ],
    [
      { subjects: 5, now: 1 },
      { status: "early", fraction: null },
    ],
    [
      { subjects: 5, start: 300, end: 300, now: 200 },
      { status: "early", fraction: 1 },
    ],
  ] as const)("%o is %o", (input, expected) => {
    expect(fixedHorizonOf(input)).toEqual(expected);
  });

  const early = { status: "early", fraction: 0.4 } as const;
  const reading = { metric: "purchase", variant: "treatment", fixedPValue: 0.01, sequential: sequential(-0.01, 0.04) };

  test("warns when something rests on it, and says what", () => {
    const warning = peekingWarning("ship treatment", early, [reading]);
    expect(warning).toMatchObject({
      signalType: "PeekingWarning",
      severity: "Warning",
      data: { claim: "ship treatment", fraction: 0.4, readings: [{ metric: "purchase", fixedPValue: 0.01 }] },
    });
    expect(warning?.message).toContain("40 % of the plan");
    expect(peekingWarning("ship treatment", { status: "early", fraction: null }, [reading])?.message).toContain(
      "without a plan",
    );
  });

  test.each([
    ["when the plan is fulfilled", { status: "final", fraction: 1 } as const, [reading]],
    [
      "when the p value claims nothing",
      early,
      [
        { ...reading, fixedPValue: 0.2 },
        { ...reading, fixedPValue: null },
      ],
    ],
    ["when what may be looked at at any time agrees", early, [{ ...reading, sequential: sequential(0.01, 0.04) }]],
    ["of nothing", early, []],
  ])("does not %s", (_when, horizon, readings) => {
    expect(peekingWarning("ship treatment", horizon, readings)).toBeNull();
  });
});
