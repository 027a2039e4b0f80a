import * as fc from "fast-check";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { compareProportions } from "../../src/science/proportions.ts";
import { absent, announceSkip, byMethod, distance, offBy } from "./references.ts";

const of = (successes: number, subjects: number) => ({ successes, subjects });

const width = (interval: readonly [number, number] | null) => (interval === null ? 0 : interval[1] - interval[0]);

describe("two proportions", () => {
  test.each([
    {
      name: "Cookie Cats, retention after 1 day",
      variant: of(20_119, 45_489),
      control: of(20_034, 44_700),
      expected: [
        -0.005905169787341464, -1.784086224797474, 0.07440965529691887, -0.012392439449445224, 0.0005820998747622969,
      ],
    },
    {
      name: "Cookie Cats, retention after 7 days",
      variant: of(8_279, 45_489),
      control: of(8_502, 44_700),
      expected: [
        -0.008201298315205933, -3.164358912748199, 0.0015542499756142857, -0.013281552418885565, -0.0031210442115263003,
      ],
    },
    {
      name: "no success in control",
      variant: of(6, 500),
      control: of(0, 500),
      expected: [0.012, 2.456871446336364, 0.014015282939930065, 0.0024559614650663153, 0.021544038534933686],
    },
  ])("gives the published values: $name", ({ variant, control, expected }) => {
    const answer = compareProportions(variant, control);
    const values = [answer.difference, answer.statistic, answer.pValue, answer.interval?.[0], answer.interval?.[1]];
    values.forEach((value, index) => expect(distance(value, expected[index])).toBeLessThan(1e-9));
    expect(answer).not.toHaveProperty("reason");
  });

  announceSkip("two-proportion references");
  test.skipIf(absent !== undefined)("gives every reference value of the file", () => {
    const Arm = v.object({ x: v.number(), n: v.number() });
    const cases = byMethod("two-proportion-z");
    expect(cases.length).toBeGreaterThanOrEqual(4);
    const off = cases.flatMap((reference) => {
      const { variant, control } = v.parse(v.object({ variant: Arm, control: Arm }), reference.inputs);
      const answer = compareProportions(of(variant.x, variant.n), of(control.x, control.n));
      const { difference, statistic, pValue, interval } = answer;
      const [low, high] = interval ?? [];
      return offBy(1e-9, reference, { difference, statistic, pValue, low, high });
    });
    expect(off).toEqual([]);
  });

  test("keeps a p value far in the tail", () => {
    // z = 10 √2; erfc(10) from mpmath.
    const near = compareProportions(of(5_500, 10_000), of(4_500, 10_000));
    expect(near.statistic).toBeCloseTo(14.142135623730951, 10);
    expect(distance(near.pValue, 2.0884875837625446e-45)).toBeLessThan(1e-9);
  });

  test("widens the interval with the confidence, not the p value", () => {
    const at95 = compareProportions(of(25, 210), of(12, 200));
    const at99 = compareProportions(of(25, 210), of(12, 200), 0.01);
    expect(at99.pValue).toBe(at95.pValue);
    expect(width(at99.interval) / width(at95.interval)).toBeCloseTo(2.5758293035489004 / 1.959963984540054, 10);
  });

  test.each([
    { variant: of(0, 0), control: of(3, 10), difference: null, reason: "no subject in the variant" },
    { variant: of(3, 10), control: of(0, 0), difference: null, reason: "no subject in control" },
    { variant: of(0, 10), control: of(0, 12), difference: 0, reason: "no success in either arm" },
    { variant: of(10, 10), control: of(12, 12), difference: 0, reason: "nothing but successes in either arm" },
  ])("has nulls and a reason, never NaN: $reason", ({ variant, control, difference, reason }) => {
    expect(compareProportions(variant, control)).toEqual({
      difference,
      statistic: null,
      pValue: null,
      interval: null,
      reason,
    });
  });

  test("claims no certainty where neither arm varies within itself", () => {
    const answer = compareProportions(of(10, 10), of(0, 10));
    expect(answer).toMatchObject({ difference: 1, interval: null, reason: "no variation within either arm" });
    expect(answer.statistic).toBeCloseTo(Math.sqrt(20), 12);
  });

  test.each([of(11, 10), of(-1, 10), of(1.5, 10), of(1, Number.NaN), of(0, -1)])(
    "refuses $successes of $subjects",
    (arm) => {
      expect(() => compareProportions(arm, of(1, 2))).toThrow(RangeError);
      expect(() => compareProportions(of(1, 2), arm)).toThrow(RangeError);
    },
  );

  test("changes only its sign when the arms change places, and never answers NaN", () => {
    const arm = fc
      .nat(2_000)
      .chain((subjects) => fc.record({ successes: fc.nat(subjects), subjects: fc.constant(subjects) }));
    fc.assert(
      fc.property(arm, arm, (a, b) => {
        const there = compareProportions(a, b);
        const back = compareProportions(b, a);
        expect(JSON.stringify(there)).not.toContain("NaN");
        for (const value of [there.difference, there.statistic, there.pValue, ...(there.interval ?? [])]) {
          expect(value === null || Number.isFinite(value)).toBe(true);
        }
        expect(back.statistic).toBe(there.statistic === null ? null : 0 - there.statistic);
        expect(back.pValue).toBe(there.pValue);
      }),
    );
  });
});
