import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { ConfigurationSchema, type ConfigurationInput } from "../../src/experiment.ts";
import { autoStopName, autoStopReadings } from "../../src/ledger/auto-stop.ts";
import type { LedgerCounts } from "../../src/ledger/counts.ts";
import { groundOf } from "../../src/ledger/ground.ts";
import { livePlan } from "../../src/ledger/plan.ts";
import { sampleRatioOf } from "../../src/ledger/sample-ratio.ts";
import { publishingWarning, shippingWarning } from "../../src/ledger/peeking.ts";
import { scenario, startOfTime } from "../support/scenario.ts";
import { purchases } from "./purchases.ts";

const metrics: NonNullable<ConfigurationInput["metrics"]> = [
  { name: "purchase", kind: "binary", goal: "increase", primary: true },
];

const running = (autoStop: ConfigurationInput["autoStop"]) =>
  scenario()
    .writes({ metrics, ...(autoStop === undefined ? {} : { autoStop }) })
    .moves("PendingApproval")
    .moves("Approved")
    .moves("Running")
    .state();

/** What the sequential test of the ratio has come to with that. */
const counted = (arms: Parameters<typeof purchases>[0], pValue = 1): LedgerCounts =>
  purchases(arms, { checkpointLooks: [{ epoch: 0, looks: 3, logBayesFactor: -Math.log(pValue), pValue }] });

const readingsOf = (autoStop: ConfigurationInput["autoStop"], counts: LedgerCounts) => {
  const state = running(autoStop);
  const { epoch, arms } = livePlan(state);
  return autoStopReadings(state, counts, sampleRatioOf(groundOf(counts, arms, epoch), epoch));
};

const even = { control: [5_000, 250], treatment: [5_000, 260] } as const;
const better = { control: [5_000, 250], treatment: [5_000, 500] } as const;
const worse = { control: [5_000, 500], treatment: [5_000, 250] } as const;

describe("stopping by itself", () => {
  test.each([
    ["a ratio that is as planned", [{ signal: "SampleRatioMismatch" }], counted(even), ["none"]],
    ["a mismatch", [{ signal: "SampleRatioMismatch" }], counted(even, 1e-6), ["pause"]],
    [
      "a mismatch, to be told of",
      [{ signal: "SampleRatioMismatch", action: "notify" }],
      counted(even, 1e-6),
      ["notify"],
    ],
    ["nothing conclusive", [{ signal: "SequentialCheckpoint", metric: "purchase" }], counted(even), ["none"]],
    ["an effect", [{ signal: "SequentialCheckpoint", metric: "purchase" }], counted(better), ["pause"]],
    [
      "an effect that was hoped for",
      [{ signal: "SequentialCheckpoint", metric: "purchase", when: "better" }],
      counted(better),
      ["pause"],
    ],
    [
      "the other way",
      [{ signal: "SequentialCheckpoint", metric: "purchase", when: "better" }],
      counted(worse),
      ["none"],
    ],
    [
      "harm",
      [{ signal: "SequentialCheckpoint", metric: "purchase", when: "worse", action: "rollBack" }],
      counted(worse),
      ["rollBack"],
    ],
    [
      "too little to say",
      [{ signal: "SequentialCheckpoint", metric: "purchase" }],
      counted({ control: [50, 0], treatment: [50, 50] }),
      ["none"],
    ],
    [
      "what is not trusted concludes nothing",
      [{ signal: "SequentialCheckpoint", metric: "purchase" }],
      counted(better, 1e-6),
      [],
    ],
    ["no rule", undefined, counted(better, 1e-6), []],
  ] as const)("%s", (_what, autoStop, counts, actions) => {
    const rules = autoStop === undefined ? undefined : autoStop.map((rule) => ({ ...rule }));
    expect(readingsOf(rules, counts).map(({ action }) => action)).toEqual(actions);
  });

  test("says which arm, and with which figures", () => {
    const [reading] = readingsOf(
      [{ signal: "SequentialCheckpoint", metric: "purchase", when: "worse" }],
      counted(worse),
    );
    expect(reading).toMatchObject({
      guardrail: "autoStop SequentialCheckpoint purchase worse",
      metric: "purchase",
      variant: "treatment",
      verdict: "violated",
    });
    expect(reading?.figures["high"]).toBeLessThan(0);
  });

  test("rules are called by what they watch", () => {
    expect(autoStopName({ signal: "SampleRatioMismatch" })).toBe("autoStop SampleRatioMismatch");
    expect(autoStopName({ signal: "SequentialCheckpoint", metric: "basket" })).toBe(
      "autoStop SequentialCheckpoint basket",
    );
  });
});

test.each([
  [{ signal: "PeekingWarning" }],
  [{ signal: "chiSquare" }],
  [{ signal: "PowerThresholdMet" }],
  [{ signal: "SequentialCheckpoint" }],
  [{ signal: "SequentialCheckpoint", metric: "unknown" }],
  [{ signal: "SequentialCheckpoint", metric: "basket" }],
  [{ signal: "SampleRatioMismatch", metric: "purchase" }],
  [{ signal: "SampleRatioMismatch", when: "better" }],
])("a configuration cannot stop on %o", (rule) => {
  const parsed = v.safeParse(ConfigurationSchema, {
    name: "checkout",
    variants: [{ key: "control", control: true }, { key: "treatment" }],
    metrics: [...metrics, { name: "basket", kind: "count" }],
    autoStop: [rule],
  });
  expect(parsed.success).toBe(false);
});

describe("shipping on a p value", () => {
  const early = { control: [5_000, 250], treatment: [5_000, 300] } as const;
  test.each([
    ["that was read too early", early, "PeekingWarning"],
    ["that claims nothing", even, undefined],
    ["that what may be looked at at any time confirms", better, undefined],
  ] as const)("%s", (_what, arms, signalType) => {
    expect(shippingWarning(running(undefined), counted(arms), "treatment", startOfTime)?.signalType).toBe(signalType);
  });

  test.each([
    [{ sample: 20_000 }, 0, 0.5],
    [{ sample: 10_000 }, 0, null],
    [{ end: "2026-11-21" }, 6 * 3_600_000, 0.5],
    [{ end: "2026-11-21" }, 12 * 3_600_000, null],
  ] as const)("by the plan %o, %d ms after the start: %s", (plan, ms, fraction) => {
    const state = scenario()
      .writes({ metrics, plan })
      .moves("PendingApproval")
      .moves("Approved")
      .moves("Running")
      .state();
    const warning = shippingWarning(state, counted(early), "treatment", startOfTime + ms);
    expect(warning === null ? null : warning.data["fraction"]).toBe(fraction);
  });

  test("at the planned end is no peeking", () => {
    const end = new Date(startOfTime + 3_600_000).toISOString();
    const state = scenario()
      .writes({ metrics, schedule: { end } })
      .moves("PendingApproval")
      .moves("Approved")
      .moves("Running")
      .state();
    const warningAt = (ms: number) => shippingWarning(state, counted(early), "treatment", startOfTime + ms);
    expect(warningAt(1_800_000)?.data).toMatchObject({ claim: "ship treatment", fraction: 0.5 });
    expect(warningAt(3_600_000)).toBeNull();
  });
});

describe("publishing on a p value", () => {
  const early = { control: [5_000, 250], treatment: [5_000, 300] } as const;
  const drafted = (weight: number) =>
    scenario()
      .writes({ metrics })
      .moves("PendingApproval")
      .moves("Approved")
      .moves("Running")
      .writes({
        metrics,
        variants: [
          { key: "control", control: true },
          { key: "treatment", weight },
        ],
      })
      .state();

  test.for([
    ["more for an arm whose effect was read too early", 3, early, "PeekingWarning"],
    ["less for it", 0.5, early, undefined],
    ["the same shares", 1, early, undefined],
    ["more for an arm that claims nothing", 3, even, undefined],
    ["more for an arm that any look confirms", 3, better, undefined],
  ] as const)("%s", ([, weight, arms, expected]) => {
    const warning = publishingWarning(drafted(weight), counted(arms), startOfTime);
    const found = warning === null ? undefined : [warning.signalType, warning.data["claim"]];
    expect(found).toEqual(expected === undefined ? undefined : [expected, "publish version 2"]);
  });
});
