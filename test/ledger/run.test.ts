/** A reopened experiment has a plan that was made after its first run: what that run counted says nothing for or against it. */
import { expect, test } from "vitest";
import { memoryStore } from "../../adapters/store/memory.ts";
import { createGovernance } from "../../src/governance/governance.ts";
import { emptyCounts, emptySlice, type ArmTotal, type LedgerCounts } from "../../src/ledger/counts.ts";
import { earlierPlansOf, livePlan } from "../../src/ledger/plan.ts";
import { results } from "../../src/ledger/results.ts";
import { countsOfRun } from "../../src/ledger/run.ts";
import { signalsOf } from "../../src/ledger/signal-readings.ts";
import { createApi } from "../support/api.ts";
import { scenario, type Scenario } from "../support/scenario.ts";

const plan = { hypothesis: "One page sells more", primary: "purchase", alpha: 0.05, sample: 4_000 };
const metrics = [{ name: "purchase", kind: "binary", primary: true } as const];

const starts = (scene: Scenario): Scenario => scene.moves("PendingApproval").moves("Approved").moves("Running");

const reopened = (): Scenario =>
  starts(scenario().writes({ plan, metrics }))
    .given({ type: "Transition", to: "Archived", outcome: "inconclusive" })
    .writes({ plan: { ...plan, hypothesis: "As the first run has shown" }, metrics });

const arms = [
  { variant: "control", epoch: 0, subjects: 3_000 },
  { variant: "treatment", epoch: 0, subjects: 3_000 },
  { variant: "control", epoch: 1, subjects: 10 },
  { variant: "treatment", epoch: 1, subjects: 10 },
] as const;
const total = (bought: number, at: number): readonly ArmTotal[] =>
  arms.slice(at, at + 1).map(({ variant, epoch, subjects }) => ({
    variant,
    epoch,
    observed: subjects,
    sum: String(bought),
    sumOfSquares: String(bought),
  }));
const slice = {
  arms,
  metrics: [
    {
      metric: "purchase",
      kind: "binary",
      arms: [...total(300, 0), ...total(900, 1), ...total(5, 2), ...total(5, 3)],
      unexposed: 0,
    },
  ],
  products: [],
} as const;
const counts: LedgerCounts = {
  ...emptyCounts,
  ...slice,
  checkpointLooks: [
    { epoch: 0, looks: 3, logBayesFactor: -2, pValue: 1 },
    { epoch: 1, looks: 1, logBayesFactor: -1, pValue: 1 },
  ],
  parts: { days: [{ day: "2026-11-25", ...slice }], dimensions: [], crossovers: emptySlice, matured: [] },
};

const judged = (scene: Scenario) => {
  const state = scene.state();
  const { epoch, arms: planned } = livePlan(state);
  return results({
    counts: countsOfRun(counts, state),
    planned,
    control: "control",
    epoch,
    earlier: earlierPlansOf(state),
    metrics,
    plan,
  });
};

test("once it has started again, results and signals rest on the new run alone", () => {
  const scene = starts(reopened());
  expect(scene.state().frozen).toMatchObject({ epoch: 1, plan: { hypothesis: "As the first run has shown" } });
  const { subjects, fixedHorizon, outcomes, days } = judged(scene);
  expect(subjects).toEqual({ control: 10, treatment: 10 });
  expect(fixedHorizon).toMatchObject({ status: "early", fraction: 20 / plan.sample });
  expect(outcomes["purchase"]?.contrasts.map(({ difference }) => difference)).toEqual([0]);
  expect(days?.map((day) => day.subjects)).toEqual([{ control: 10, treatment: 10 }]);
  expect(signalsOf(scene.state(), counts).map(({ signalType }) => signalType)).not.toContain("MinimumSampleReached");
});

test("before it starts again, and in a first run of several epochs, everybody is counted", () => {
  expect(countsOfRun(counts, reopened().state())).toBe(counts);
  const scene = starts(scenario().writes({ plan, metrics })).given({ type: "Kill", variant: "treatment" });
  expect(scene.state()).toMatchObject({ epoch: 1, frozen: { epoch: 0 } });
  expect(countsOfRun(counts, scene.state())).toBe(counts);
  expect(signalsOf(scene.state(), counts).map(({ signalType }) => signalType)).toContain("MinimumSampleReached");
});

test("GET /{name}/results tells of the new run", async () => {
  const store = memoryStore();
  const governance = createGovernance({ store });
  const by = { actor: { id: "ada", kind: "human", roles: ["admin"] } } as const;
  const variants = [{ key: "control", control: true }, { key: "treatment" }];
  for (const write of [governance.define, governance.revise]) {
    await write("checkout", { variants, plan, metrics: [...metrics] }, by);
    for (const to of ["PendingApproval", "Approved", "Running"] as const)
      await governance.transition("checkout", to, {}, by);
    if (write === governance.define) await governance.transition("checkout", "Archived", {}, by);
  }
  const ledger = () => ({
    counts: () => Promise.resolve(counts),
    crossovers: () => Promise.resolve({ events: [], next: null }),
  });
  const { body } = await createApi({}, { store, ledger }).as("ada", "viewer").get("/api/governance/checkout/results");
  expect(body).toMatchObject({
    state: "Running",
    epoch: 1,
    subjects: { control: 10, treatment: 10 },
    fixedHorizon: { status: "early", fraction: 20 / plan.sample },
    sampleRatioSeries: [{ epoch: 1 }],
  });
});
