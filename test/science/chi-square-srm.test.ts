import * as fc from "fast-check";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { chiSquareSampleRatio } from "../../src/science/chi-square-srm.ts";
import { absent, announceSkip, byMethod, distance, offBy } from "./references.ts";

const InputsSchema = v.object({ counts: v.array(v.number()), weights: v.array(v.number()) });

describe("chi-square sample ratio", () => {
  test.each([
    {
      name: "Cookie Cats",
      counts: [44_700, 45_489],
      planned: [1, 1],
      statistic: 6.9024049496058275,
      p: 0.008607987810836241,
    },
    {
      name: "821,588 : 815,482",
      counts: [821_588, 815_482],
      planned: [1, 1],
      statistic: 22.77436884189436,
      p: 1.8217928726191873e-6,
    },
    {
      name: "three arms 1:5:4",
      counts: [1_080, 4_890, 4_030],
      planned: [1, 5, 4],
      statistic: 9.045,
      p: 0.010861835109242907,
    },
    {
      name: "buckets",
      counts: [33_612, 33_190, 33_198],
      planned: [3_334, 3_333, 3_333],
      statistic: 3.3299072678713584,
      p: 0.18919943021156424,
    },
  ])("gives the published values: $name", ({ counts, planned, statistic, p }) => {
    const answer = chiSquareSampleRatio(counts, planned);
    expect(distance(answer.statistic, statistic)).toBeLessThan(1e-9);
    expect(distance(answer.pValue, p)).toBeLessThan(1e-9);
    expect(answer.degreesOfFreedom).toBe(counts.length - 1);
    expect(answer).not.toHaveProperty("reason");
  });

  announceSkip("chi-square sample ratio references");
  test.skipIf(absent !== undefined)("gives every reference value of the file", () => {
    const cases = byMethod("srm-chi-square");
    expect(cases.length).toBeGreaterThanOrEqual(5);
    const off = cases.flatMap((reference) => {
      const { counts, weights } = v.parse(InputsSchema, reference.inputs);
      const { statistic, pValue } = chiSquareSampleRatio(counts, weights);
      return offBy(1e-9, reference, { statistic, pValue });
    });
    expect(off).toEqual([]);
  });

  test("stays accurate far in the tail", () => {
    // df 2 has the closed form exp(-x/2); df 1 at 1,000 is 1.7958327848006388e-219 (mpmath).
    const three = chiSquareSampleRatio([2_000, 1_000, 1_000], [1, 1, 1]);
    expect(distance(three.pValue, Math.exp(-(three.statistic ?? 0) / 2))).toBeLessThan(1e-12);
    const two = chiSquareSampleRatio([5_500, 4_500], [1, 1]);
    expect(two.statistic).toBe(100);
    expect(distance(two.pValue, 1.5239706048321051e-23)).toBeLessThan(1e-12);
    const far = chiSquareSampleRatio([515_811, 484_189], [1, 1]);
    expect(far.pValue).toBeGreaterThan(0);
    expect(far.pValue).toBeLessThan(1e-200);
  });

  test("is null with a reason where an expected count is below 5, and not at 5", () => {
    expect(chiSquareSampleRatio([9, 0], [1, 1])).toEqual({
      statistic: null,
      degreesOfFreedom: null,
      pValue: null,
      reason: "an arm expects fewer than 5 subjects: too few for this test",
    });
    expect(chiSquareSampleRatio([10, 0], [1, 1]).statistic).toBe(10);
    expect(chiSquareSampleRatio([0, 0], [1, 1]).pValue).toBeNull();
    expect(chiSquareSampleRatio([490, 4], [99, 1]).pValue).toBeNull();
    expect(chiSquareSampleRatio([495, 5], [99, 1]).pValue).toBe(1);
  });

  test("takes one subject in an arm planned at 0 for a mismatch at once, and leaves an empty one out", () => {
    const mismatch = chiSquareSampleRatio([3, 0, 1], [1, 1, 0]);
    expect(mismatch).toMatchObject({ pValue: 0, statistic: null });
    expect(mismatch.reason).toMatch(/planned share is 0/);
    expect(chiSquareSampleRatio([480, 520, 0], [1, 1, 0])).toEqual(chiSquareSampleRatio([480, 520], [1, 1]));
  });

  test("has nothing to test with a single planned arm", () => {
    const answer = chiSquareSampleRatio([100, 0], [1, 0]);
    expect(answer.pValue).toBeNull();
    expect(answer.reason).toMatch(/fewer than two arms/);
  });

  test.each([
    { counts: [1, 2], planned: [1, -1] },
    { counts: [1, 2], planned: [0, 0] },
    { counts: [1, 2], planned: [1, Number.NaN] },
    { counts: [1, 2], planned: [Number.MAX_VALUE, Number.MAX_VALUE] },
    { counts: [], planned: [] },
    { counts: [1], planned: [1, 1] },
    { counts: [1, 2, 3], planned: [1, 1] },
    { counts: [1, 2.5], planned: [1, 1] },
    { counts: [1, -2], planned: [1, 1] },
    { counts: [1, Number.NaN], planned: [1, 1] },
  ])("refuses counts $counts for shares $planned", ({ counts, planned }) => {
    expect(() => chiSquareSampleRatio(counts, planned)).toThrow(RangeError);
  });

  test("never answers NaN, and does not depend on the scale of the shares", () => {
    const arms = fc.array(fc.tuple(fc.nat(1_000_000), fc.integer({ min: 0, max: 5_000 })), {
      minLength: 1,
      maxLength: 8,
    });
    fc.assert(
      fc.property(arms, (pairs) => {
        fc.pre(pairs.some(([, weight]) => weight > 0));
        const counts = pairs.map(([count]) => count);
        const weights = pairs.map(([, weight]) => weight);
        const answer = chiSquareSampleRatio(counts, weights);
        const scaled = chiSquareSampleRatio(
          counts,
          weights.map((weight) => weight * 1_024),
        );
        expect(scaled).toEqual(answer);
        const pValue = answer.pValue ?? 0.5;
        expect(pValue >= 0 && pValue <= 1).toBe(true);
        expect(answer.pValue === null || answer.statistic === null).toBe(answer.reason !== undefined);
      }),
    );
  });
});
