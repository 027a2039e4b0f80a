import { describe, expect, test } from "vitest";
import { looksAtCheckpoints } from "../../src/ledger/checkpoint-looks.ts";
import { type ArmCount, emptyCounts, type LedgerCounts, type MetricTotals } from "../../src/ledger/counts.ts";
import { ledgerFigures } from "../../src/ledger/figures.ts";
import type { EpochPlan } from "../../src/ledger/ground.ts";

const arm = (variant: string, subjects: number, epoch = 1): ArmCount => ({ variant, epoch, subjects });
const planned = [
  { variant: "control", share: 0.5 },
  { variant: "treatment", share: 0.5 },
];

const errors = (...rows: readonly (readonly [variant: string, failed: number, epoch?: number])[]): MetricTotals => ({
  metric: "error",
  kind: "binary",
  unexposed: 0,
  arms: rows.map(([variant, failed, epoch = 1]) => ({
    variant,
    epoch,
    observed: failed,
    sum: String(failed),
    sumOfSquares: String(failed),
  })),
});

const looked = (plan: EpochPlan, arms: readonly ArmCount[]) => {
  const fold = looksAtCheckpoints(plan);
  fold.observe(arms);
  return fold.result();
};

const figures = (arms: readonly ArmCount[], more: Partial<LedgerCounts> = {}, epoch = 1) =>
  ledgerFigures({ counts: { ...emptyCounts, arms, ...more }, epoch, planned });

describe("figures of the live epoch", () => {
  test("an empty ledger has served nobody, in any arm", () => {
    expect(ledgerFigures({ counts: emptyCounts, epoch: 0, planned })).toEqual({
      exposed: 0,
      worstErrorRate: 0,
      worstVariant: null,
      subjects: { control: 0, treatment: 0 },
      sampleRatio: null,
    });
  });

  test("the worst arm's share of subjects with an error", () => {
    expect(
      figures([arm("control", 100), arm("treatment", 50)], { metrics: [errors(["control", 3], ["treatment", 2])] }),
    ).toMatchObject({ exposed: 150, worstErrorRate: 0.04, worstVariant: "treatment" });
  });

  test("metrics of the same name and another kind are other metrics", () => {
    const { worstErrorRate } = figures([arm("control", 10)], {
      metrics: [
        { ...errors(["control", 9]), kind: "count" },
        { ...errors(["control", 8]), metric: "errors" },
      ],
    });
    expect(worstErrorRate).toBe(0);
  });

  test("epochs that are over do not count, and an arm with errors and no subjects has no rate", () => {
    expect(
      figures([arm("control", 1_000, 0), arm("control", 10), arm("treatment", 0)], {
        metrics: [errors(["control", 900, 0], ["control", 1], ["treatment", 5])],
      }),
    ).toMatchObject({
      exposed: 10,
      worstErrorRate: 0.1,
      worstVariant: "control",
      subjects: { control: 10, treatment: 0 },
    });
  });

  test("an arm that is not planned shows, whatever it is called", () => {
    const { subjects } = figures([arm("__proto__", 3), arm("constructor", 2)]);
    expect(Object.entries(subjects)).toEqual([
      ["control", 0],
      ["treatment", 0],
      ["__proto__", 3],
      ["constructor", 2],
    ]);
  });
});

describe("the sample ratio", () => {
  const balanced = [arm("control", 5_000), arm("treatment", 5_050)];
  const tilted = [arm("control", 6_000), arm("treatment", 5_000)];
  const at = (arms: readonly ArmCount[], plan: EpochPlan = { epoch: 1, arms: planned }) =>
    figures(arms, { checkpointLooks: [looked(plan, arms)] }).sampleRatio;

  test("is that of the latest checkpoint", () => {
    expect(at(balanced)).toEqual({ mismatch: false, pValue: 1 });
    expect(at(tilted)?.mismatch).toBe(true);
    expect(at(tilted)?.pValue).toBeLessThan(1e-9);
  });

  test("is not known before a checkpoint, or for another epoch", () => {
    expect(figures(tilted).sampleRatio).toBeNull();
    expect(at(tilted, { epoch: 0, arms: planned })).toBeNull();
  });

  test("is a mismatch at once when somebody is in an arm that nobody is to be in", () => {
    expect(figures([...balanced, arm("stray", 1)]).sampleRatio).toEqual({ mismatch: true, pValue: 0 });
  });

  test("a later epoch has a smaller level, as in the results", () => {
    // p = 0.0004: below the level of a first epoch, above that of a tenth.
    const checkpointLooks = [{ epoch: 9, looks: 3, logBayesFactor: 7.8, pValue: 0.0004 }];
    const arms = balanced.map((row) => ({ ...row, epoch: 9 }));
    const input = { counts: { ...emptyCounts, arms, checkpointLooks }, epoch: 9, planned };
    const earlier = Array.from({ length: 9 }, (_, epoch) => ({ epoch, arms: planned }));
    expect(ledgerFigures(input).sampleRatio).toEqual({ mismatch: true, pValue: 0.0004 });
    expect(ledgerFigures({ ...input, earlier }).sampleRatio).toEqual({ mismatch: false, pValue: 0.0004 });
  });
});
