import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { compareProportions } from "../../src/science/proportions.ts";
import { stratifiedMeans, stratifiedProportions } from "../../src/science/stratified.ts";
import { welchTest } from "../../src/science/welch.ts";
import { absent, announceSkip, byMethod, distance } from "./references.ts";

const of = (successes: number, subjects: number) => ({ successes, subjects });
const moments = (subjects: number, mean: number, variance: number) => ({ subjects, mean, variance });

/** A ramp from 90/10 to 50/50 while the base rate rises from 2 % to 6 %: no effect in either epoch. */
const ramp = [
  { subjects: 20_000, control: of(360, 18_000), variant: of(40, 2_000) },
  { subjects: 20_000, control: of(600, 10_000), variant: of(600, 10_000) },
];

const standardError = (interval: readonly [number, number] | null): number =>
  interval === null ? Number.NaN : (interval[1] - interval[0]) / (2 * 1.959963984540054);

describe("contrasts over epochs", () => {
  test("find no effect where pooling finds a strong one", () => {
    const answer = stratifiedProportions(ramp);
    expect(answer.difference).toBeCloseTo(0, 12);
    expect(distance(standardError(answer.interval), 0.00235419247773461)).toBeLessThan(1e-9);
    expect(answer.pValue).toBeCloseTo(1, 12);
    expect(compareProportions(of(640, 12_000), of(960, 28_000)).statistic).toBeCloseTo(8.90870806374748, 9);
  });

  announceSkip("stratified references");
  test.skipIf(absent !== undefined)("give the reference value of the file", () => {
    const Pair = v.tuple([v.number(), v.number()]);
    const Inputs = v.object({ converted: v.array(Pair), subjects: v.array(Pair), columns: v.array(v.string()) });
    const cases = byMethod("stratified-difference");
    expect(cases).toHaveLength(1);
    for (const { inputs, expected } of cases) {
      const { converted, subjects, columns } = v.parse(Inputs, inputs);
      expect(columns).toEqual(["control", "treatment"]);
      const answer = stratifiedProportions(
        subjects.map(([controls, treated], epoch) => ({
          subjects: controls + treated,
          control: of(converted[epoch]?.[0] ?? Number.NaN, controls),
          variant: of(converted[epoch]?.[1] ?? Number.NaN, treated),
        })),
      );
      expect(Math.abs((answer.difference ?? 1) - (expected["difference"] ?? 0))).toBeLessThan(1e-12);
      expect(distance(standardError(answer.interval), expected["standardError"])).toBeLessThan(1e-9);
    }
  });

  test("of one epoch are the plain tests", () => {
    const [first] = ramp;
    if (first === undefined) throw new Error("no epoch");
    expect(stratifiedProportions([first])).toEqual(compareProportions(first.variant, first.control));
    const means = { subjects: 20, variant: moments(10, 5, 4), control: moments(10, 4, 1) };
    expect(stratifiedMeans([means])).toEqual(welchTest(means.variant, means.control));
  });

  test("weigh means by subjects and combine degrees of freedom", () => {
    // w = 0.25, 0.75; d = 0.25·2 + 0.75·(-1) = -0.25; V = 0.0625·(4/10+4/10) + 0.5625·(9/30+9/30) = 0.3875
    const answer = stratifiedMeans([
      { subjects: 20, variant: moments(10, 7, 4), control: moments(10, 5, 4) },
      { subjects: 60, variant: moments(30, 2, 9), control: moments(30, 3, 9) },
    ]);
    expect(answer.difference).toBeCloseTo(-0.25, 12);
    expect(answer.statistic).toBeCloseTo(-0.25 / Math.sqrt(0.3875), 12);
    const terms = [0.025, 0.025, 0.16875, 0.16875];
    const df = 0.3875 ** 2 / (2 * (0.025 ** 2 / 9) + 2 * (0.16875 ** 2 / 29));
    expect(terms.reduce((sum, term) => sum + term, 0)).toBeCloseTo(0.3875, 12);
    expect(answer.degreesOfFreedom).toBeCloseTo(df, 9);
  });

  test("two equal halves of one population give its difference", () => {
    const half = { subjects: 2_000, variant: of(120, 1_000), control: of(100, 1_000) };
    const answer = stratifiedProportions([half, half]);
    const whole = compareProportions(of(240, 2_000), of(200, 2_000));
    expect(answer.difference).toBeCloseTo(whole.difference ?? Number.NaN, 12);
    expect(standardError(answer.interval)).toBeCloseTo(standardError(whole.interval), 12);
  });

  test("have nulls and a reason where nothing can be said", () => {
    const nothing = {
      difference: null,
      statistic: null,
      pValue: null,
      interval: null,
      reason: "no epoch has both arms",
    };
    expect(stratifiedProportions([])).toEqual(nothing);
    expect(stratifiedMeans([])).toEqual(nothing);
    const constant = { subjects: 4, variant: of(0, 2), control: of(0, 2) };
    expect(stratifiedProportions([constant, constant])).toMatchObject({
      pValue: null,
      reason: "no variation within the arms",
    });
    const still = { subjects: 4, variant: moments(2, 1, 0), control: moments(2, 1, 0) };
    expect(stratifiedMeans([still, still])).toMatchObject({
      difference: 0,
      pValue: null,
      reason: "no variation within the arms",
    });
  });
});
