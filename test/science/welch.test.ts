import * as fc from "fast-check";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { addDecimals, decimalOf, momentsOf, squareDecimal, type Decimal } from "../../src/ledger/decimal.ts";
import { welchTest } from "../../src/science/welch.ts";
import { absent, announceSkip, byMethod, distance, offBy } from "./references.ts";

const add = (terms: readonly Decimal[]) => terms.reduce<Decimal>(addDecimals, 0);

const sample = (values: readonly number[]) => {
  const exact = values.map(decimalOf);
  return { subjects: values.length, ...momentsOf(values.length, add(exact), add(exact.map(squareDecimal))) };
};

const totals = (n: number, sum: number, sumOfSquares: number) => ({ subjects: n, ...momentsOf(n, sum, sumOfSquares) });

describe("Welch's t test", () => {
  test("gives the published values of Cookie Cats, sum_game_rounds", () => {
    const answer = welchTest(totals(45_489, 2_333_530, 605_052_202), totals(44_700, 2_344_795, 3_068_811_771));
    expect(distance(answer.difference, -1.1574884539532457)).toBeLessThan(1e-9);
    expect(distance(answer.statistic, -0.8854374331270646)).toBeLessThan(1e-9);
    expect(distance(answer.degreesOfFreedom, 58595.48142257401)).toBeLessThan(1e-9);
    expect(distance(answer.pValue, 0.37592438409326284)).toBeLessThan(1e-9);
    expect(distance(answer.interval?.[0], -3.719705116494642)).toBeLessThan(1e-9);
    expect(distance(answer.interval?.[1], 1.404728208588151)).toBeLessThan(1e-9);
  });

  test("gives R's values when one arm does not vary", () => {
    const answer = welchTest(sample([5, 5, 5, 5, 5]), sample([1, 2, 3, 4, 7]));
    expect(distance(answer.statistic, 1.5540573797716226)).toBeLessThan(1e-9);
    expect(answer.degreesOfFreedom).toBe(4);
    expect(distance(answer.pValue, 0.19513791758605362)).toBeLessThan(1e-9);
    expect(distance(answer.interval?.[0], -1.2585251909870234)).toBeLessThan(1e-9);
  });

  announceSkip("Welch references");
  test.skipIf(absent !== undefined)("gives every reference value of the file", () => {
    const Arm = v.union([v.array(v.number()), v.object({ n: v.number(), sum: v.number(), sumOfSquares: v.number() })]);
    const read = (arm: v.InferOutput<typeof Arm>) =>
      Array.isArray(arm) ? sample(arm) : totals(arm.n, arm.sum, arm.sumOfSquares);
    const cases = byMethod("welch-t");
    expect(cases.length).toBeGreaterThanOrEqual(3);
    const off = cases.flatMap((reference) => {
      const { variant, control } = v.parse(v.object({ variant: Arm, control: Arm }), reference.inputs);
      const { difference, statistic, pValue, interval, degreesOfFreedom } = welchTest(read(variant), read(control));
      const [low, high] = interval ?? [];
      return offBy(1e-9, reference, { difference, statistic, df: degreesOfFreedom, pValue, low, high });
    });
    expect(off).toEqual([]);
  });

  test.each([
    { variant: [], control: [1, 2], difference: null, reason: "no subject in the variant" },
    { variant: [1, 2], control: [], difference: null, reason: "no subject in control" },
    { variant: [3], control: [1, 2], difference: 1.5, reason: "fewer than two subjects in the variant" },
    { variant: [1, 2], control: [3], difference: -1.5, reason: "fewer than two subjects in control" },
    { variant: [2, 2, 2], control: [1, 1], difference: 1, reason: "no variation within the arms" },
  ])("has nulls and a reason, never NaN: $reason", ({ variant, control, difference, reason }) => {
    expect(welchTest(sample(variant), sample(control))).toEqual({
      difference,
      statistic: null,
      pValue: null,
      interval: null,
      reason,
    });
  });

  test("keeps degrees of freedom where squared variances leave the doubles", () => {
    for (const variance of [1e-300, 1, 1e300]) {
      const arm = { subjects: 11, mean: 0, variance };
      expect(welchTest(arm, arm).degreesOfFreedom).toBeCloseTo(20, 9);
    }
  });

  test("shifts with its data, and its interval excludes 0 exactly when p is below 0.05", () => {
    const values = fc.array(fc.integer({ min: -1_000, max: 1_000 }), { minLength: 2, maxLength: 30 });
    fc.assert(
      fc.property(values, values, (a, b) => {
        const answer = welchTest(sample(a), sample(b));
        fc.pre(answer.pValue !== null && answer.interval !== null && Math.abs(answer.pValue - 0.05) > 1e-9);
        const [low, high] = answer.interval ?? [0, 0];
        expect(low > 0 || high < 0).toBe((answer.pValue ?? 1) < 0.05);
        expect(answer.degreesOfFreedom).toBeGreaterThanOrEqual(Math.min(a.length, b.length) - 1 - 1e-9);
        expect(answer.degreesOfFreedom).toBeLessThanOrEqual(a.length + b.length - 2 + 1e-9);
        const shifted = welchTest(sample(a.map((value) => value + 7)), sample(b));
        expect(shifted.difference).toBeCloseTo((answer.difference ?? 0) + 7, 9);
      }),
    );
  });
});
