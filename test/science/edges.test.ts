/** The tests of one reading where there is nothing to test, on hand-made values, and on input that cannot be. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  meanSequence,
  mixtureVariance,
  oneSidedLimits,
  proportionSequence,
  sequencePrice,
} from "../../src/science/confidence-sequence.ts";
import { chiSquareIndependence, oddsRatio, relativeRisk } from "../../src/science/contingency.ts";
import { cuped } from "../../src/science/cuped.ts";
import { cohensD } from "../../src/science/effect-size.ts";
import { mannWhitney } from "../../src/science/mann-whitney.ts";
import { mixtureTest } from "../../src/science/msprt.ts";
import { benjaminiHochberg, bonferroni, holm } from "../../src/science/multiple-comparisons.ts";
import { noncentralTUpperTail } from "../../src/science/noncentral-t.ts";
import { powerOfMeans, sampleSizeOfMeans, sampleSizeOfProportions } from "../../src/science/power.ts";
import { logEvidenceAbove, rateLimits, rateRatioLimits } from "../../src/science/rare-events.ts";
import { compareRatios, ratioMoments, ratioOfMeans, relativeDifference } from "../../src/science/ratio-metrics.ts";
import { logBayesFactor } from "../../src/science/sequential-srm.ts";
import { momentsOfValues, oneWayAnova, pairedTTest } from "../../src/science/t-tests.ts";

const of = (successes: number, subjects: number) => ({ successes, subjects });

describe("confidence sequences", () => {
  test.each([
    [of(0, 0), of(0, 0), null],
    [of(0, 0), of(5, 10), null],
    [of(24, 1_000), of(24, 1_000), 0],
    [of(976, 1_000), of(976, 1_000), 0],
    [of(60, 200), of(2_000, 40_000), 0.25],
  ])("of proportions stay silent below 25 expected events and non-events: %o, %o", (variant, control, difference) => {
    const answer = proportionSequence(variant, control);
    expect([answer.interval, answer.pValue, answer.difference]).toEqual([null, null, difference]);
    expect(answer.reason).toContain("fewer than 25");
  });

  test("of proportions speak at 25", () => {
    expect(proportionSequence(of(25, 1_000), of(25, 1_000)).interval).not.toBeNull();
  });

  test("of means stay silent below 1,000 subjects an arm, without a cap, and without variation", () => {
    const arm = (subjects: number, variance = 4) => ({ subjects, mean: 1, variance });
    expect(meanSequence(arm(999), arm(5_000), { capped: true }).reason).toContain("fewer than 1000");
    expect(meanSequence(arm(5_000), arm(5_000), { capped: false }).reason).toContain("cap");
    expect(meanSequence(arm(5_000, 0), arm(5_000, 0), { capped: true }).reason).toContain("no variation");
    expect(meanSequence(arm(1_000), arm(1_000), { capped: true }).interval).not.toBeNull();
  });

  // By mpmath 1.3.0 at 40 digits, and the first again by bc: ρ² is of the plan's α too, not of 0.05 whatever that is.
  test.each([
    [0.01, 5_000, [-0.01811322138161587, 0.001710624751204006], 0.09922911097039434],
    [0.1, 20_000, [-0.01565579757190519, -0.0007467990585066733], 0.0431436070169041],
  ] as const)("take their mixture from the plan's alpha %d and sample %d", (alpha, plannedSubjects, interval, p) => {
    const retention = [of(8_279, 45_489), of(8_502, 44_700)] as const;
    const answer = proportionSequence(...retention, { alpha, plannedSubjects });
    expect(answer.interval?.[0]).toBeCloseTo(interval[0], 14);
    expect(answer.interval?.[1]).toBeCloseTo(interval[1], 14);
    expect(answer.pValue).toBeCloseTo(p, 13);
  });

  test("cost something over a single look, least at the planned size", () => {
    const at = (subjects: number) => sequencePrice(subjects, { plannedSubjects: 5_000 });
    expect(at(5_000)).toBeGreaterThan(1.3);
    expect(at(5_000)).toBeLessThan(1.6);
    expect(at(100)).toBeGreaterThan(at(5_000));
    expect(at(10_000_000)).toBeGreaterThan(at(5_000));
  });

  test("one side is nearer than two at the same level, and both are mirror images", () => {
    const estimate = { value: 0.1, variance: 0.0004, subjects: 2_000 };
    const { lower, upper } = oneSidedLimits(estimate, mixtureVariance(), 0.05);
    const mirrored = oneSidedLimits({ ...estimate, value: -0.1 }, mixtureVariance(), 0.05);
    expect(lower).toBeCloseTo(-mirrored.upper, 12);
    expect(upper).toBeCloseTo(-mirrored.lower, 12);
  });

  test.each([0, -1, NaN, Infinity])("planned subjects %d are refused", (planned) => {
    expect(() => mixtureVariance(planned)).toThrow(RangeError);
  });
  test.each([0, 1, NaN])("alpha %d is refused", (alpha) => {
    expect(() => mixtureVariance(5_000, alpha)).toThrow(RangeError);
  });
});

describe("rare events", () => {
  test("evidence is the Bayes factor of the sample ratio test, over the half above the null", () => {
    // Half of the prior lies above a null of one half, and after 40 of 60 nearly all of the posterior.
    const evidence = logEvidenceAbove(40, 20, 0.5);
    const twoSided = logBayesFactor([40, 20], [0.5, 0.5], 10);
    expect(evidence).toBeGreaterThan(twoSided);
    expect(evidence).toBeLessThan(twoSided + Math.log(2));
    expect(logEvidenceAbove(20, 40, 0.5)).toBeLessThan(0);
    expect([logEvidenceAbove(1, 9, 0), logEvidenceAbove(0, 9, 0), logEvidenceAbove(9, 0, 1)]).toEqual([Infinity, 0, 0]);
    expect(() => logEvidenceAbove(1, 1, 1.1)).toThrow(RangeError);
  });

  test("limits hold between them what was seen, and every null below the lower one is rejected", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 20_000 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (subjects, share) => {
          const successes = Math.round(subjects * share);
          const { lower, upper } = rateLimits(successes, subjects, 0.05);
          expect(lower).toBeGreaterThanOrEqual(0);
          expect(lower).toBeLessThanOrEqual(successes / subjects);
          expect(upper).toBeGreaterThanOrEqual(successes / subjects);
          expect(upper).toBeLessThanOrEqual(1);
          const below = lower === 0 ? [] : [0.999, 0.7, 0.3, 0.01].map((part) => lower * part);
          for (const rate of below)
            expect(logEvidenceAbove(successes, subjects - successes, rate)).toBeGreaterThanOrEqual(Math.log(20) - 1e-6);
        },
      ),
      { numRuns: 100 },
    );
  });

  test.each([
    [0, 0],
    [0, 1_000],
    [1, 1_000],
  ])("%d of %d give no lower limit", (successes, subjects) => {
    expect(rateLimits(successes, subjects, 0.05).lower).toBe(0);
  });

  test("a ratio has no upper limit while control may be at 0", () => {
    const ratio = rateRatioLimits({ converted: 40, share: 1 }, { converted: 0, share: 1 }, 0.05);
    expect(ratio.lower).toBeGreaterThan(1);
    expect(ratio.upper).toBe(Infinity);
    expect(() => rateLimits(3, 2, 0.05)).toThrow(RangeError);
  });
});

describe("nulls with a reason, never NaN", () => {
  const constant = momentsOfValues([2, 2]);
  test.each([
    ["pairs", pairedTTest([], []), "no pair"],
    ["one pair", pairedTTest([1], [2]), "fewer than two"],
    ["pairs that all moved alike", pairedTTest([1, 2], [2, 3]), "no variation"],
    ["groups", oneWayAnova([momentsOfValues([1, 2])]), "fewer than two groups"],
    ["an empty group", oneWayAnova([momentsOfValues([1]), momentsOfValues([])]), "no subject"],
    ["single subjects", oneWayAnova([momentsOfValues([1]), momentsOfValues([2])]), "two subjects"],
    ["constant groups", oneWayAnova([constant, constant]), "no variation"],
    ["ranks of nothing", mannWhitney([], [1]), "no value"],
    ["ranks of one value", mannWhitney([3, 3], [3]), "the same"],
    [
      "an empty row",
      chiSquareIndependence([
        [0, 0],
        [1, 2],
      ]),
      "empty",
    ],
    ["one row", chiSquareIndependence([[1, 2]]), "fewer than two rows"],
    ["odds of nobody", oddsRatio(of(0, 0), of(1, 2)), "no subject"],
    ["risk of nobody", relativeRisk(of(1, 2), of(0, 0)), "no subject"],
    ["effect of one subject", cohensD(momentsOfValues([1]), constant), "fewer than two"],
    ["effect without variation", cohensD(constant, constant), "no variation"],
    ["a ratio to 0", ratioOfMeans(ratioMoments([1, 2], [1, -1])), "denominator is 0"],
    ["a ratio of one", ratioOfMeans(ratioMoments([1], [1])), "fewer than two"],
    ["a contrast of ratios", compareRatios(ratioMoments([1], [1]), ratioMoments([1, 2], [1, 2])), "in the variant"],
    [
      "a ratio that does not vary",
      compareRatios(ratioMoments([1, 2], [2, 4]), ratioMoments([1, 2], [1, 2])),
      "no variation",
    ],
    ["a share of 0", relativeDifference({ mean: 1, variance: 1 }, { mean: 0, variance: 1 }), "control is 0"],
  ])("%s", (_name, answer, reason) => {
    expect(answer.reason).toContain(reason);
    expect(JSON.stringify(answer)).not.toContain("NaN");
    const values = Object.values<unknown>({ ...answer });
    expect(values.some((value) => value === null)).toBe(true);
    expect(values.some((value) => typeof value === "number" && !Number.isFinite(value))).toBe(false);
  });

  test("CUPED of a covariate that says nothing is the unadjusted estimate's difference and a reason", () => {
    const rows = [1, 2, 3].map((outcome) => ({ outcome, covariate: 5 }));
    const { theta, adjusted, unadjusted } = cuped(rows, rows);
    expect([theta, adjusted.difference]).toEqual([null, unadjusted.difference]);
    expect(adjusted.reason).toContain("covariate");
  });
});

describe("by hand", () => {
  test("Haldane's correction only with an empty cell", () => {
    expect(oddsRatio(of(1, 3), of(1, 2))).toMatchObject({ value: 0.5, corrected: false });
    expect(oddsRatio(of(0, 3), of(1, 2))).toMatchObject({ value: (0.5 / 3.5) * 1, corrected: true });
    expect(relativeRisk(of(2, 4), of(1, 4))).toMatchObject({ value: 2, corrected: false });
  });

  test("adjusted p values stay in order, in place and at most 1", () => {
    expect(bonferroni([0.01, 0.5])).toEqual([0.02, 1]);
    expect(holm([0.03, 0.01, 0.04])).toEqual([0.06, 0.03, 0.06]);
    expect(benjaminiHochberg([0.04, 0.01, 0.03])).toEqual([0.04, 0.03, 0.04]);
    for (const adjust of [bonferroni, holm, benjaminiHochberg]) {
      expect(adjust([])).toEqual([]);
      expect(() => adjust([1.01])).toThrow(RangeError);
      expect(() => adjust([NaN])).toThrow(RangeError);
    }
    const pValues = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 20 });
    fc.assert(
      fc.property(pValues, (values) => {
        const [b, h, bh] = [bonferroni(values), holm(values), benjaminiHochberg(values)];
        for (const [index, p] of values.entries()) {
          expect(h[index]).toBeLessThanOrEqual((b[index] ?? 0) + 1e-12);
          expect(bh[index]).toBeLessThanOrEqual((h[index] ?? 0) + 1e-12);
          expect(bh[index]).toBeGreaterThanOrEqual(p - 1e-12);
        }
      }),
    );
  });

  test("the noncentral t is the central one without noncentrality, and the normal with many degrees of freedom", () => {
    expect(noncentralTUpperTail(2.2281388519649385, 10, 0)).toBeCloseTo(0.025, 11);
    expect(noncentralTUpperTail(1.959963984540054, 1e9, 2.8)).toBeCloseTo(0.7995, 3);
    expect(noncentralTUpperTail(2, 50, 60)).toBeCloseTo(1, 12);
    expect(() => noncentralTUpperTail(-1, 10, 0)).toThrow(RangeError);
  });

  test("a sample size has the power that was asked for, and an effect of nothing has none", () => {
    fc.assert(
      fc.property(fc.double({ min: 0.02, max: 2, noNaN: true }), fc.constantFrom(0.5, 0.8, 0.95), (delta, power) => {
        const n = sampleSizeOfMeans({ delta, sd: 1, power });
        expect(powerOfMeans({ n, delta, sd: 1 })).toBeCloseTo(
          n === 2 ? powerOfMeans({ n: 2, delta, sd: 1 }) : power,
          6,
        );
      }),
      { numRuns: 30 },
    );
    expect(sampleSizeOfMeans({ delta: 0, sd: 1 })).toBe(Infinity);
    expect(sampleSizeOfProportions({ p1: 0.1, p2: 0.1 })).toBe(Infinity);
    expect(() => sampleSizeOfProportions({ p1: 0.1, p2: 1.2 })).toThrow(RangeError);
  });

  test("input that cannot be is refused", () => {
    expect(() => pairedTTest([1], [])).toThrow(RangeError);
    expect(() => ratioMoments([1], [])).toThrow(RangeError);
    expect(() => mannWhitney([NaN], [1])).toThrow(RangeError);
    expect(() => chiSquareIndependence([[1, 2], [3]])).toThrow(RangeError);
    expect(() =>
      chiSquareIndependence([
        [1, 2.5],
        [3, 4],
      ]),
    ).toThrow(RangeError);
    expect(() =>
      chiSquareIndependence(
        [
          [1, 2],
          [3, 4],
          [5, 6],
        ],
        { yates: true },
      ),
    ).toThrow(RangeError);
    expect(() => mixtureTest({ difference: 1, variance: 0, mixture: 1 })).toThrow(RangeError);
  });
});
