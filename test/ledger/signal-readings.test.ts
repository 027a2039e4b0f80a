/** Which signals hold for which counts. */
import { describe, expect, test } from "vitest";
import type { ConfigurationInput } from "../../src/experiment.ts";
import type { LedgerCounts } from "../../src/ledger/counts.ts";
import { signalsOf } from "../../src/ledger/signal-readings.ts";
import { person, scenario, type Scenario } from "../support/scenario.ts";
import { purchases } from "./purchases.ts";

const purchase = { name: "purchase", kind: "binary", goal: "increase", primary: true } as const;
const content: Partial<ConfigurationInput> = {
  metrics: [{ ...purchase, minimumDetectableEffect: 0.02 }],
  plan: { primary: "purchase", sample: 10_000 },
};

const started = (changes: Partial<ConfigurationInput> = content): Scenario =>
  scenario().writes(changes).moves("PendingApproval").moves("Approved").moves("Running");

const typesOf = (scene: Scenario, counts: LedgerCounts) =>
  signalsOf(scene.state(), counts).map(({ signalType }) => signalType);

const small = { control: [400, 40], treatment: [400, 41] } as const;
const large = { control: [5_000, 250], treatment: [5_000, 255] } as const;
const better = { control: [5_000, 250], treatment: [5_000, 500] } as const;
const mismatch = { checkpointLooks: [{ epoch: 0, looks: 3, logBayesFactor: 14, pValue: 1e-6 }] };
const hidden = { unnamed: { epochs: [], outcomes: true } };

describe("given a running experiment with a plan", () => {
  test.for([
    ["few subjects", purchases(small), []],
    ["the planned sample and the power that it gives", purchases(large), ["MinimumSampleReached", "PowerThresholdMet"]],
    ["an effect besides", purchases(better), ["SequentialCheckpoint", "MinimumSampleReached", "PowerThresholdMet"]],
    ["a mismatch: nothing of an effect", purchases(better, mismatch), ["SampleRatioMismatch", "MinimumSampleReached"]],
    ["outcomes that are off: nothing of an effect", purchases(better, hidden), ["MinimumSampleReached"]],
    ["many who crossed", purchases(small, { crossovers: 20 }), ["CrossoverRate"]],
  ] as const)("when there are %s", ([, counts, expected]) => {
    expect(typesOf(started(), counts)).toEqual(expected);
  });

  test("power is of the declared effect, at control's variance, whatever was observed", () => {
    const powerIn = (counts: LedgerCounts) =>
      signalsOf(started().state(), counts).find(({ signalType }) => signalType === "PowerThresholdMet")?.data["power"];
    expect(powerIn(purchases(large))).toBe(powerIn(purchases(better)));
    expect(typesOf(started({ metrics: [purchase] }), purchases(large))).toEqual([]);
    const byPlan = { metrics: [purchase], plan: { primary: "purchase", effect: 0.02 } };
    expect(typesOf(started(byPlan), purchases(large))).toEqual(["PowerThresholdMet"]);
  });

  test("a metric that was changed after the start raises nothing", () => {
    const scene = started();
    scene.writes({ ...content, metrics: [{ ...purchase, minimumDetectableEffect: 0.5 }] });
    scene.given({ type: "Publish", version: 2 }, { by: person("approver") });
    expect(typesOf(scene, purchases(better))).toEqual(["MinimumSampleReached"]);
  });

  test("what the host adds is told by its name", () => {
    const custom = { name: "NightlyAudit", severity: "Info", message: "look", holds: true } as const;
    expect(signalsOf(started().state(), purchases(small), [custom])).toMatchObject([{ signalType: "NightlyAudit" }]);
  });
});
