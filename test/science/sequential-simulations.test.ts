/**
 * What is looked at again and again must hold at all looks together. Each test here runs many experiments without an
 * effect and counts how many were alarmed at any look: with the product's rule, under the 99.9 % binomial bound of its
 * level; where it is cheap to show, also without the rule, to see that the simulation would have noticed.
 */
import { describe, expect, test, vi } from "vitest";
import { chiSquareSampleRatio } from "../../src/science/chi-square-srm.ts";
import {
  meanSequence,
  mixtureVariance,
  oneSidedLimits,
  proportionsDifference,
  proportionSequence,
  sequenceOf,
} from "../../src/science/confidence-sequence.ts";
import { compareProportions, type Proportion } from "../../src/science/proportions.ts";
import {
  logEvidenceAbove,
  rareEventLook,
  rareEventStart,
  rateLimits,
  rateRatioLimits,
} from "../../src/science/rare-events.ts";
import { sequentialLook, sequentialStart } from "../../src/science/sequential-srm.ts";
import { epochAlpha } from "../../src/science/srm-verdict.ts";
import { alarmsAllowed, type Random, runsOf, seeded } from "./random.ts";

// Ten times as many runs in proof; a guard against hanging, not a measurement.
vi.setConfig({ testTimeout: 600_000 });

/** Counts the experiments in which `isAlarmed` was true at some look. */
const alarms = (runs: number, random: Random, experiment: (random: Random) => boolean): number => {
  let count = 0;
  for (let run = 0; run < runs; run += 1) if (experiment(random)) count += 1;
  return count;
};

interface Design {
  readonly share: number;
  readonly rate: number;
  readonly batch: number;
  readonly looks: number;
}

/** Two arms with one rate, looked at after every batch, until somebody is alarmed. */
const anyLook = (
  random: Random,
  { share, rate, batch, looks }: Design,
  isAlarmed: (variant: Proportion, control: Proportion) => boolean,
): boolean => {
  let variant = { successes: 0, subjects: 0 };
  let control = { successes: 0, subjects: 0 };
  for (let look = 0; look < looks; look += 1) {
    const arrived = random.binomial(batch, share);
    variant = { successes: variant.successes + random.binomial(arrived, rate), subjects: variant.subjects + arrived };
    control = {
      successes: control.successes + random.binomial(batch - arrived, rate),
      subjects: control.subjects + batch - arrived,
    };
    if (isAlarmed(variant, control)) return true;
  }
  return false;
};

const excludesZero = (interval: readonly [number, number] | null): boolean =>
  interval !== null && (interval[0] > 0 || interval[1] < 0);

const designs: readonly (Design & { readonly name: string })[] = [
  { name: "50/50", share: 0.5, rate: 0.1, batch: 100, looks: 80 },
  { name: "95/5", share: 0.05, rate: 0.1, batch: 200, looks: 80 },
  { name: "95/5, rare", share: 0.05, rate: 0.01, batch: 500, looks: 80 },
];

describe("confidence sequences", () => {
  test.each(designs)("of proportions hold at all looks, $name", (design) => {
    const runs = runsOf(300);
    const count = alarms(runs, seeded(101), (random) =>
      anyLook(random, design, (variant, control) => excludesZero(proportionSequence(variant, control).interval)),
    );
    expect(count).toBeLessThanOrEqual(alarmsAllowed(runs, 0.05));
  });

  test("would lie at a first ramp step of 5 % without their conditions, and a plain interval anywhere", () => {
    const early = { share: 0.05, rate: 0.01, batch: 50, looks: 100 };
    const shown = (isAlarmed: (variant: Proportion, control: Proportion) => boolean) =>
      alarms(200, seeded(102), (random) => anyLook(random, early, isAlarmed)) / 200;
    const asymptotic = shown((variant, control) => {
      if (Math.min(variant.subjects, control.subjects) < 2) return false;
      return excludesZero(sequenceOf(proportionsDifference(variant, control)).interval);
    });
    // 53 to 83 % in statistics.md.
    expect(asymptotic).toBeGreaterThan(0.5);
    expect(shown((variant, control) => excludesZero(proportionSequence(variant, control).interval))).toBeLessThan(0.05);
    const plain = alarms(200, seeded(103), (random) =>
      anyLook(random, { share: 0.5, rate: 0.1, batch: 100, looks: 80 }, (variant, control) =>
        excludesZero(compareProportions(variant, control).interval),
      ),
    );
    expect(plain / 200).toBeGreaterThan(0.2);
  });

  test.each([
    { name: "50/50", share: 0.5, batch: 200, looks: 50, runs: 200 },
    { name: "95/5", share: 0.05, batch: 1_000, looks: 40, runs: 100 },
  ])("of heavy-tailed means with a cap hold at all looks, $name", ({ share, batch, looks, runs: usual }) => {
    const runs = runsOf(usual);
    const cap = 30;
    const count = alarms(runs, seeded(104), (random) => {
      const sums = [
        [0, 0, 0],
        [0, 0, 0],
      ];
      for (let look = 0; look < looks; look += 1) {
        for (let subject = 0; subject < batch; subject += 1) {
          // Lognormal with σ 1.5: its mean is three times its median, and the cap cuts one in a hundred.
          const value = Math.min(cap, Math.exp(1.5 * random.normal()));
          const arm = sums[random.next() < share ? 1 : 0];
          if (arm === undefined) throw new TypeError("two arms");
          arm[0] = (arm[0] ?? 0) + 1;
          arm[1] = (arm[1] ?? 0) + value;
          arm[2] = (arm[2] ?? 0) + value ** 2;
        }
        const [control, variant] = sums.map(([n = 0, sum = 0, squares = 0]) => ({
          subjects: n,
          mean: n === 0 ? null : sum / n,
          variance: n < 2 ? null : (squares - sum ** 2 / n) / (n - 1),
        }));
        if (control === undefined || variant === undefined) throw new TypeError("two arms");
        if (excludesZero(meanSequence(variant, control, { capped: true }).interval)) return true;
      }
      return false;
    });
    expect(count).toBeLessThanOrEqual(alarmsAllowed(runs, 0.05));
  });

  test.each(designs)("on one side hold at all looks too, $name", (design) => {
    const runs = runsOf(300);
    const rho = mixtureVariance();
    const count = alarms(runs, seeded(105), (random) =>
      anyLook(random, design, (variant, control) => {
        if (proportionSequence(variant, control).interval === null) return false;
        return oneSidedLimits(proportionsDifference(variant, control), rho, 0.05).lower > 0;
      }),
    );
    expect(count).toBeLessThanOrEqual(alarmsAllowed(runs, 0.05));
    // And they are limits, not a refusal to answer: three times the rate is seen.
    let found = 0;
    for (let run = 0; run < 20; run += 1) {
      const random = seeded(1_000 + run);
      const [n, m] = [Math.round(40_000 * design.share), Math.round(40_000 * (1 - design.share))];
      const estimate = proportionsDifference(
        { successes: random.binomial(n, 3 * design.rate), subjects: n },
        { successes: random.binomial(m, design.rate), subjects: m },
      );
      if (oneSidedLimits(estimate, rho, 0.05).lower > 0) found += 1;
    }
    expect(found).toBeGreaterThan(15);
  });
});

describe("rare events", () => {
  test.each([
    { name: "50/50", shares: [0.5, 0.5] },
    { name: "95/5", shares: [0.95, 0.05] },
    { name: "three arms", shares: [0.5, 0.3, 0.2] },
  ])("are tested exactly at every single event, $name", ({ shares }) => {
    const runs = runsOf(400);
    const count = alarms(runs, seeded(201), (random) => {
      let state = rareEventStart(shares);
      const converted = shares.map(() => 0);
      for (let event = 0; event < 400; event += 1) {
        const arm = random.pick(shares);
        converted[arm] = (converted[arm] ?? 0) + 1;
        state = rareEventLook(state, converted);
      }
      return state.pValue <= 0.05;
    });
    expect(count).toBeLessThanOrEqual(alarmsAllowed(runs, 0.05));
  });

  test.each([
    { rate: 0.002, trials: 4_000 },
    { rate: 0.05, trials: 2_000 },
    { rate: 0.6, trials: 1_000 },
  ])("on one side, a rate of $rate is never said to be above itself too often", ({ rate, trials }) => {
    const runs = runsOf(150);
    const alarmedAt = (truth: number) =>
      alarms(runs, seeded(202), (random) => {
        let events = 0;
        for (let trial = 1; trial <= trials; trial += 1) {
          if (random.next() < truth) events += 1;
          // The evidence can only have risen at an event; every hundredth trial besides, to be sure.
          else if (trial % 100 !== 0) continue;
          if (logEvidenceAbove(events, trial - events, rate) >= Math.log(20)) return true;
        }
        return false;
      });
    expect(alarmedAt(rate)).toBeLessThanOrEqual(alarmsAllowed(runs, 0.05));
    // The null is everything up to the rate; below it alarms only become rarer.
    expect(alarmedAt(rate / 2)).toBeLessThanOrEqual(alarmsAllowed(runs, 0.05));
    expect(alarmedAt(Math.min(1, rate * 3))).toBeGreaterThan(runs * 0.9);
  });

  test("limits of a rate and of a ratio cover the truth at all looks", () => {
    const runs = runsOf(80);
    const level = 0.05;
    const missed = { rate: 0, ratio: 0 };
    for (let run = 0; run < runs; run += 1) {
      const random = seeded(5_000 + run);
      let [missedRate, missedRatio] = [false, false];
      const counts = { variant: 0, control: 0, variantSubjects: 0 };
      for (let look = 0; look < 20; look += 1) {
        counts.variantSubjects += 100;
        counts.variant += random.binomial(100, 0.03);
        counts.control += random.binomial(300, 0.01);
        if (rateLimits(counts.variant, counts.variantSubjects, level).lower > 0.03) missedRate = true;
        // Equal planned shares would be wrong here: control is planned three times as large.
        const ratio = rateRatioLimits(
          { converted: counts.variant, share: 1 },
          { converted: counts.control, share: 3 },
          level,
        );
        if (ratio.lower > 3) missedRatio = true;
      }
      missed.rate += missedRate ? 1 : 0;
      missed.ratio += missedRatio ? 1 : 0;
    }
    expect(missed.rate).toBeLessThanOrEqual(alarmsAllowed(runs, level));
    expect(missed.ratio).toBeLessThanOrEqual(alarmsAllowed(runs, level));
  });
});

describe("sample ratio", () => {
  test("looked at each hour for 14 days: the chi-square test raises false alarms, the sequential one does not", () => {
    const runs = runsOf(400);
    const count = { chiSquare: 0, sequential: 0 };
    const random = seeded(301);
    for (let run = 0; run < runs; run += 1) {
      let state = sequentialStart([1, 1]);
      const counts = [0, 0];
      let fixed = false;
      for (let hour = 0; hour < 14 * 24; hour += 1) {
        const variant = random.binomial(20, 0.5);
        counts[0] = (counts[0] ?? 0) + 20 - variant;
        counts[1] = (counts[1] ?? 0) + variant;
        fixed ||= (chiSquareSampleRatio(counts, [1, 1]).pValue ?? 1) < 0.01;
        state = sequentialLook(state, counts);
      }
      count.chiSquare += fixed ? 1 : 0;
      count.sequential += state.pValue <= 0.01 ? 1 : 0;
    }
    // 16 % in statistics.md.
    expect(count.chiSquare / runs).toBeGreaterThan(0.1);
    expect(count.sequential).toBeLessThanOrEqual(alarmsAllowed(runs, 0.01));
  });

  test("over epochs that never end: all of them together stay under the level", () => {
    // Levels of the first 200 epochs, at alpha 0.05 so that the simulation has something to count.
    const levels = Array.from({ length: 200 }, (_, index) => epochAlpha(index + 1, 0.05));
    expect(levels.reduce((sum, level) => sum + level, 0)).toBeLessThan(0.05);
    const runs = runsOf(200);
    const count = alarms(runs, seeded(302), (random) =>
      levels.slice(0, 20).some((level) => {
        let state = sequentialStart([0.9, 0.1]);
        const counts = [0, 0];
        for (let look = 0; look < 40; look += 1) {
          const variant = random.binomial(25, 0.1);
          counts[0] = (counts[0] ?? 0) + 25 - variant;
          counts[1] = (counts[1] ?? 0) + variant;
          state = sequentialLook(state, counts);
          if (state.pValue <= level) return true;
        }
        return false;
      }),
    );
    expect(count).toBeLessThanOrEqual(alarmsAllowed(runs, 0.05));
  });

  test("an arm that flushes a minute late alarms without the watermark, and not with it", () => {
    const late = { variant: 1, control: 0 };
    const alarmed = (watermark: number): boolean => {
      const random = seeded(303);
      let state = sequentialStart([1, 1]);
      const arrivals = { variant: [0], control: [0] };
      for (let minute = 1; minute <= 60; minute += 1) {
        for (const arm of ["variant", "control"] as const)
          arrivals[arm].push((arrivals[arm].at(-1) ?? 0) + random.binomial(4_000, 0.5));
        // Counts of first exposures that are older than the watermark, of those that have arrived.
        const seen = (arm: "variant" | "control"): number =>
          arrivals[arm][Math.max(0, minute - Math.max(watermark, late[arm]))] ?? 0;
        state = sequentialLook(state, [seen("control"), seen("variant")]);
      }
      return state.pValue <= 0.001;
    };
    expect(alarmed(0)).toBe(true);
    expect(alarmed(5)).toBe(false);
  });
});
