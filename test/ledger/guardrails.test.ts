import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { ConfigurationSchema, type Guardrail } from "../../src/experiment.ts";
import {
  type GuardrailsInput,
  guardrailVerdicts,
  needsSampleRatio,
  watchedMetrics,
} from "../../src/ledger/guardrails.ts";
import type { WatchCounts } from "../../src/ledger/watch.ts";
import { alarmsAllowed, runsOf, seeded } from "../science/random.ts";

type Written = NonNullable<v.InferInput<typeof ConfigurationSchema>["guardrails"]>[number];

const parse = (written: readonly Written[]): readonly Guardrail[] =>
  v.parse(ConfigurationSchema, {
    name: "checkout",
    variants: [{ key: "control", control: true }, { key: "treatment" }],
    guardrails: written,
  }).guardrails ?? [];

/** Subjects and events of each arm; an event is 1. */
type Arms = Readonly<Record<string, readonly [subjects: number, events: number]>>;

const binaryCounts = (arms: Arms): WatchCounts => ({
  arms: Object.entries(arms).map(([variant, [subjects, events]]) => ({
    variant,
    subjects,
    totals: [{ observed: events, sum: String(events), sumOfSquares: String(events), cut: 0 }],
  })),
});

const half = [
  { variant: "control", share: 5_000 },
  { variant: "treatment", share: 5_000 },
];

const judge = (written: Written, arms: Arms, more: Partial<GuardrailsInput> = {}) => {
  const [verdict] = guardrailVerdicts({
    guardrails: parse([written]),
    counts: binaryCounts(arms),
    planned: half,
    control: "control",
    ...more,
  });
  if (verdict === undefined) throw new Error("no verdict");
  return verdict;
};

describe("maximumIncrease of a rate", () => {
  const guardrail: Written = { metric: "error", maximumIncrease: 0.01 };
  test.each([
    { arms: { control: [99, 0], treatment: [5_000, 2_500] }, verdict: "inconclusive", why: "fewer than minimumSample" },
    { arms: { control: [5_000, 100], treatment: [5_000, 110] }, verdict: "inconclusive", why: "too near to say" },
    { arms: { control: [5_000, 100], treatment: [5_000, 400] }, verdict: "violated", why: "six points above" },
    { arms: { control: [50_000, 1_000], treatment: [50_000, 1_000] }, verdict: "safe", why: "no difference, large" },
    { arms: { control: [50_000, 1_000], treatment: [50_000, 1_450] }, verdict: "inconclusive", why: "at the bound" },
    { arms: { control: [50_000, 4_000], treatment: [50_000, 1_000] }, verdict: "safe", why: "better than control" },
    { arms: { control: [1_000, 0], treatment: [1_000, 60] }, verdict: "violated", why: "control without an event" },
    { arms: { treatment: [1_000, 60] }, verdict: "inconclusive", why: "nobody in control" },
  ] as const)("$why: $verdict", ({ arms, verdict }) => {
    expect(judge(guardrail, arms).verdict).toBe(verdict);
  });

  test("is exact while events are rare, and a sequence afterwards", () => {
    expect(judge(guardrail, { control: [1_000, 3], treatment: [1_000, 4] }).decisive?.method).toBe("exact");
    expect(judge(guardrail, { control: [5_000, 100], treatment: [5_000, 100] }).decisive?.method).toBe("sequence");
  });

  test("of a small first step catches what is plainly broken", () => {
    const planned = [
      { variant: "control", share: 9_500 },
      { variant: "treatment", share: 500 },
    ];
    const { verdict, decisive } = judge(guardrail, { control: [9_500, 10], treatment: [500, 100] }, { planned });
    expect([verdict, decisive?.method]).toEqual(["violated", "exact"]);
  });

  test("an arm that nobody is to be in is not looked at, and the worst of several decides", () => {
    const planned = [...half, { variant: "second", share: 5_000 }, { variant: "off", share: 0 }];
    const arms: Arms = {
      control: [5_000, 100],
      treatment: [5_000, 400],
      second: [5_000, 700],
      off: [5_000, 5_000],
    };
    const { decisive, arms: judged } = judge(guardrail, arms, { planned });
    expect(decisive?.variant).toBe("second");
    expect(judged.map(({ variant }) => variant)).toEqual(["treatment", "second"]);
    expect(judge(guardrail, { ...arms, second: [50, 0] }, { planned }).decisive?.variant).toBe("treatment");
  });
});

describe("maximumIncrease as a share of control", () => {
  const guardrail: Written = { metric: "error", maximumIncrease: 0.5, relative: true };
  test.each([
    { arms: { control: [5_000, 100], treatment: [5_000, 300] }, verdict: "violated", method: "sequence" },
    { arms: { control: [50_000, 2_000], treatment: [50_000, 2_100] }, verdict: "safe", method: "sequence" },
    { arms: { control: [5_000, 100], treatment: [5_000, 140] }, verdict: "inconclusive", method: "sequence" },
    { arms: { control: [100_000, 2], treatment: [100_000, 40] }, verdict: "violated", method: "exact" },
    { arms: { control: [100_000, 0], treatment: [100_000, 40] }, verdict: "violated", method: "exact" },
    { arms: { control: [100_000, 20], treatment: [100_000, 21] }, verdict: "inconclusive", method: "exact" },
    { arms: { control: [5_000, 0], treatment: [5_000, 0] }, verdict: "inconclusive", method: "exact" },
  ] as const)("$arms: $verdict, $method", ({ arms, verdict, method }) => {
    const { verdict: found, decisive } = judge(guardrail, arms);
    expect([found, decisive?.method]).toEqual([verdict, method]);
  });

  test("rests on the sample ratio while events are rare, and says so", () => {
    const { verdict, decisive } = judge(
      guardrail,
      { control: [100_000, 2], treatment: [100_000, 40] },
      { sampleRatioHolds: false },
    );
    expect([verdict, decisive?.reason]).toEqual(["inconclusive", expect.stringContaining("sample ratio")]);
    expect(needsSampleRatio(parse([guardrail]))).toBe(true);
    expect(needsSampleRatio(parse([{ metric: "error", maximumIncrease: 0.5 }]))).toBe(false);
  });

  test("of unequal arms is judged by their planned shares", () => {
    const planned = [
      { variant: "control", share: 9_000 },
      { variant: "treatment", share: 1_000 },
    ];
    // Nine times the subjects and nine times the events: no increase at all.
    const even = judge(guardrail, { control: [90_000, 90], treatment: [10_000, 10] }, { planned });
    expect(even.decisive?.estimate).toBeCloseTo(0, 10);
    expect(even.verdict).toBe("inconclusive");
  });
});

describe("maximum", () => {
  const guardrail: Written = { metric: "error", maximum: 0.05 };
  test.each([
    { arms: { control: [0, 0], treatment: [99, 99] }, verdict: "inconclusive", breaks: false },
    { arms: { control: [1_000, 10], treatment: [1_000, 150] }, verdict: "violated", breaks: false },
    { arms: { control: [1_000, 140], treatment: [1_000, 150] }, verdict: "violated", breaks: true },
    { arms: { control: [1_000, 900], treatment: [10_000, 100] }, verdict: "safe", breaks: true },
    { arms: { control: [1_000, 0], treatment: [1_000, 50] }, verdict: "inconclusive", breaks: false },
    { arms: { control: [50, 50], treatment: [1_000, 150] }, verdict: "violated", breaks: false },
  ] as const)("$arms: $verdict, control breaks it: $breaks", ({ arms, verdict, breaks }) => {
    const { verdict: found, controlBreaks } = judge(guardrail, arms);
    expect([found, controlBreaks]).toEqual([verdict, breaks]);
  });

  test("needs nothing of control", () => {
    expect(judge(guardrail, { treatment: [1_000, 150] }).verdict).toBe("violated");
  });
});

describe("means", () => {
  const means = (arms: Readonly<Record<string, readonly [subjects: number, mean: number]>>): WatchCounts => ({
    arms: Object.entries(arms).map(([variant, [subjects, mean]]) => ({
      variant,
      subjects,
      // Standard deviation 1 whatever the mean.
      totals: [
        {
          observed: subjects,
          sum: String(subjects * mean),
          sumOfSquares: String(subjects * (mean ** 2 + 1)),
          cut: 0,
        },
      ],
    })),
  });
  const latency: Written = { metric: "latency", kind: "continuous", cap: 60, maximumIncrease: 0.5 };
  const of = (written: Written, arms: Parameters<typeof means>[0]) => judge(written, {}, { counts: means(arms) });

  test.each([
    { arms: { control: [999, 2], treatment: [5_000, 9] }, verdict: "inconclusive" },
    { arms: { control: [2_000, 2], treatment: [2_000, 4] }, verdict: "violated" },
    { arms: { control: [2_000, 2], treatment: [2_000, 2] }, verdict: "safe" },
    { arms: { control: [2_000, 2], treatment: [2_000, 2.5] }, verdict: "inconclusive" },
  ] as const)("$arms: $verdict", ({ arms, verdict }) => {
    expect(of(latency, arms).verdict).toBe(verdict);
  });

  test("relative ones are a share of control, which must be above 0", () => {
    const relative: Written = { ...latency, relative: true };
    expect(of(relative, { control: [2_000, 2], treatment: [2_000, 4] }).verdict).toBe("violated");
    expect(of(relative, { control: [2_000, 8], treatment: [2_000, 10] }).verdict).toBe("safe");
    expect(of(relative, { control: [2_000, 0], treatment: [2_000, 4] }).decisive?.reason).toContain("not above 0");
  });

  test("a maximum is of the arm's own mean", () => {
    const maximum: Written = { metric: "latency", kind: "continuous", cap: 60, maximum: 3 };
    expect(of(maximum, { treatment: [2_000, 4] }).verdict).toBe("violated");
    expect(of(maximum, { treatment: [2_000, 2] }).verdict).toBe("safe");
    expect(of(maximum, { control: [2_000, 4], treatment: [2_000, 4] }).controlBreaks).toBe(true);
  });

  test("of a metric that leaves out who has no value are over those who have one", () => {
    const maximum: Written = { metric: "latency", kind: "continuous", cap: 60, maximum: 3 };
    // 2,000 of 8,000 subjects were measured, at a mean of 4: over all of them it would be 1.
    const measured = means({ treatment: [2_000, 4] });
    const counts = { arms: measured.arms.map((arm) => ({ ...arm, subjects: 8_000 })) };
    expect(judge(maximum, {}, { counts }).verdict).toBe("safe");
    const { verdict, decisive } = judge(maximum, {}, { counts, excluding: new Set(["latency"]) });
    expect([verdict, decisive?.estimate, decisive?.subjects]).toEqual(["violated", 4, 8_000]);
    // Too few of them are measured for a sequence, however many are exposed.
    const few = { arms: means({ treatment: [900, 4] }).arms.map((arm) => ({ ...arm, subjects: 8_000 })) };
    const unsure = judge(maximum, {}, { counts: few, excluding: new Set(["latency"]) });
    expect([unsure.verdict, unsure.decisive?.reason]).toEqual(["inconclusive", expect.stringContaining("1000")]);
  });

  test("say how many values were cut at the cap", () => {
    const [arm] = means({ treatment: [2_000, 4] }).arms;
    const counts = {
      arms: arm === undefined ? [] : [{ ...arm, totals: arm.totals.map((total) => ({ ...total, cut: 7 })) }],
    };
    expect(judge({ metric: "latency", kind: "continuous", cap: 60, maximum: 3 }, {}, { counts }).decisive?.cut).toBe(7);
  });

  test.each([
    { metric: "latency", kind: "continuous", cap: 3, maximum: 3 },
    { metric: "latency", kind: "duration", cap: 100, maximumIncrease: 200 },
  ] as const)("that could never be beyond their bound are refused: $cap under it", (written) => {
    expect(() => parse([written])).toThrow("a cap above the bound");
    expect(parse([{ ...written, cap: 201 }])).toHaveLength(1);
  });
});

test("what is watched is named once for all guardrails that look at it", () => {
  const guardrails = parse([
    { metric: "error", maximum: 0.05 },
    { metric: "error", maximumIncrease: 0.01 },
    { metric: "latency", kind: "continuous", cap: 60, maximum: 3 },
    { metric: "latency", kind: "continuous", cap: 30, maximum: 3 },
  ]);
  expect(watchedMetrics(guardrails)).toEqual([
    { metric: "error", kind: "binary" },
    { metric: "latency", kind: "continuous", cap: 60 },
    { metric: "latency", kind: "continuous", cap: 30 },
  ]);
});

describe("false alarms, looked at every minute", () => {
  const plans = [
    { name: "50/50", share: 0.5, rate: 0.05, batch: 200, looks: 50 },
    { name: "95/5", share: 0.05, rate: 0.05, batch: 400, looks: 50 },
    { name: "95/5 and rare", share: 0.05, rate: 0.005, batch: 1_000, looks: 50 },
    { name: "50/50 and rare, so that the test changes on the way", share: 0.5, rate: 0.01, batch: 200, looks: 50 },
  ];
  /** Experiments, of so many, in which `isAlarmed` was true at some look. */
  const count = (
    runs: number,
    { share, rate, batch, looks }: (typeof plans)[number],
    isAlarmed: (arms: Arms, planned: typeof half) => boolean,
    effect: (rate: number) => number,
    mightAlarm: (controlRate: number) => number = () => 0,
  ): number => {
    const random = seeded(901);
    const planned = [
      { variant: "control", share: 1 - share },
      { variant: "treatment", share },
    ];
    let alarmed = 0;
    for (let run = 0; run < runs; run += 1) {
      let arms = { control: [0, 0] as const, treatment: [0, 0] as const } as {
        control: readonly [number, number];
        treatment: readonly [number, number];
      };
      for (let look = 0; look < looks; look += 1) {
        const arrived = random.binomial(batch, share);
        arms = {
          control: [arms.control[0] + batch - arrived, arms.control[1] + random.binomial(batch - arrived, rate)],
          treatment: [arms.treatment[0] + arrived, arms.treatment[1] + random.binomial(arrived, effect(rate))],
        };
        // Nothing that is below its bound to look at is beyond it at any look.
        const [controlRate, treatmentRate] = [arms.control, arms.treatment].map(
          ([subjects, events]) => events / subjects,
        );
        if ((treatmentRate ?? 0) > mightAlarm(controlRate ?? 0) && isAlarmed(arms, planned)) {
          alarmed += 1;
          break;
        }
      }
    }
    return alarmed;
  };

  // At the bound itself, where a false alarm is likeliest: an effect of exactly what is allowed.
  const bounds: readonly {
    readonly name: string;
    readonly written: Written;
    readonly effect: (rate: number) => number;
  }[] = [
    { name: "an increase of nothing", written: { metric: "error", maximumIncrease: 0 }, effect: (rate) => rate },
    {
      name: "an increase by half, relative",
      written: { metric: "error", maximumIncrease: 0.5, relative: true },
      effect: (rate) => 1.5 * rate,
    },
  ];
  test.each(plans.flatMap((plan) => bounds.map((bound) => ({ plan, bound, title: `${bound.name}, ${plan.name}` }))))(
    "$title: under the binomial bound of 5 %",
    ({ plan, bound: { written, effect } }) => {
      const runs = runsOf(60);
      const alarms = count(
        runs,
        plan,
        (arms, planned) => judge(written, arms, { planned }).verdict === "violated",
        effect,
        effect,
      );
      expect(alarms).toBeLessThanOrEqual(alarmsAllowed(runs, 0.05));
    },
    600_000,
  );

  test("point estimates roll back one experiment in four, and the limits see what is broken", () => {
    const plan = { name: "A/A", share: 0.5, rate: 0.02, batch: 100, looks: 150 };
    const point = (arms: Arms): boolean => {
      const [[controls = 0, controlEvents = 0], [treated = 0, treatedEvents = 0]] = [
        arms["control"] ?? [],
        arms["treatment"] ?? [],
      ];
      return Math.min(controls, treated) >= 100 && treatedEvents / treated - controlEvents / controls > 0.01;
    };
    // 26.5 % in statistics.md.
    expect(count(200, plan, point, (rate) => rate) / 200).toBeGreaterThan(0.2);
    const limits = (arms: Arms, planned: typeof half): boolean =>
      judge({ metric: "error", maximumIncrease: 0.01 }, arms, { planned }).verdict === "violated";
    expect(
      count(
        60,
        plan,
        limits,
        (rate) => rate,
        (control) => control + 0.01,
      ),
    ).toBe(0);
    expect(count(30, plan, limits, (rate) => rate + 0.05)).toBe(30);
  });

  test("a maximum, at the bound itself", () => {
    const runs = runsOf(60);
    const plan = { name: "50/50", share: 0.5, rate: 0.05, batch: 50, looks: 80 };
    const alarms = count(
      runs,
      plan,
      (arms, planned) => judge({ metric: "error", maximum: 0.05 }, arms, { planned }).verdict === "violated",
      (rate) => rate,
      () => 0.05,
    );
    expect(alarms).toBeLessThanOrEqual(alarmsAllowed(runs, 0.05));
  }, 600_000);
});
