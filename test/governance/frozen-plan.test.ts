/** What is fixed when an experiment starts, and what is said of everything declared afterwards. */
import { describe, expect, test } from "vitest";
import { digestOf } from "../../src/canonical.ts";
import type { Configuration, ConfigurationInput } from "../../src/experiment.ts";
import { afterStart, planInForce } from "../../src/governance/frozen-plan.ts";
import { person, scenario, startOfTime, type Scenario, checkout } from "../support/scenario.ts";

const day = 86_400_000;
const plan = { hypothesis: "One page sells more", primary: "basket", alpha: 0.05, sample: 40_000 };
const basket = { name: "basket", kind: "continuous", cap: 100 } as const;
const orders = { name: "orders", kind: "binary" } as const;
const country = { attribute: "country", values: ["US"] };
const slow = { metric: "slow", maximum: 0.01 };
const content: Partial<ConfigurationInput> = {
  plan,
  metrics: [basket, orders],
  dimensions: [country],
  guardrails: [slow],
};

const started = (changes: Partial<ConfigurationInput> = content): Scenario =>
  scenario().writes(changes).moves("PendingApproval").moves("Approved").moves("Running", { at: day });

/** Writes it, has it approved and makes it live. */
const publishes = (scene: Scenario, changes: Partial<ConfigurationInput>): Scenario => {
  scene.writes(changes);
  return scene.given({ type: "Publish", version: scene.state().latest.version }, { by: person("approver") });
};

const write = (scene: Scenario, configuration: Configuration) =>
  scene.when({ type: "WriteVersion", configuration, createOnly: false });

describe("the analysis plan", () => {
  test("given a plan, when the experiment starts, then its digest stands in the event and in the state", () => {
    const scene = started();
    const digest = digestOf(plan);
    const events = scene.events().filter(({ type }) => type === "Transitioned");
    expect(events.map(({ data }) => ("planDigest" in data ? data.planDigest : "none"))).toEqual([
      "none",
      "none",
      digest,
    ]);
    expect(scene.state().frozen).toEqual({
      at: new Date(startOfTime + day).toISOString(),
      version: 1,
      epoch: 0,
      digest,
      plan,
      metrics: checkout(content).metrics,
      dimensions: [country],
      guardrails: checkout(content).guardrails,
    });
    expect(planInForce(scene.state())).toEqual(plan);
  });

  test("before the start it may be changed at will, and the newest one is in force", () => {
    const scene = scenario()
      .writes(content)
      .writes({ ...content, plan: { ...plan, sample: 10 } });
    expect(scene.state().frozen).toBeNull();
    expect(planInForce(scene.state())?.sample).toBe(10);
  });

  test.for([
    ["changed", { ...plan, sample: 10 }],
    ["taken away", undefined],
    ["with another hypothesis", { ...plan, hypothesis: "Two pages sell more" }],
  ] as const)("given a start, a version with the plan %s is refused, and says how to go on", ([, other]) => {
    const scene = started();
    const { plan: _plan, ...rest } = content;
    const decision = write(scene, checkout(other === undefined ? rest : { ...rest, plan: other }));
    expect(decision).toMatchObject({
      outcome: "deny",
      code: "invalid-request",
      details: { errors: [{ path: "/configuration/plan", message: "the frozen plan" }] },
    });
    expect(decision).toHaveProperty("message", expect.stringContaining("write a version to reopen it"));
  });

  test("given a start without a plan, one that is made afterwards is refused too", () => {
    const scene = started({ metrics: [basket] });
    expect(scene.state().frozen).toMatchObject({ digest: null, plan: null });
    expect(write(scene, checkout({ metrics: [basket], plan }))).toMatchObject({ outcome: "deny" });
    expect(planInForce(scene.state())).toBeUndefined();
  });

  test("the same plan, written in another order, with everything else changed, is no other plan", () => {
    const scene = started();
    const { sample, ...rest } = plan;
    scene.writes({ ...content, description: "new words", traffic: 50, plan: { sample, ...rest } });
    expect(scene.state().latest.version).toBe(2);
  });

  test("it outlives a rollback to content with another plan, a pause and a second start", () => {
    const scene = scenario().writes({ ...content, plan: { ...plan, sample: 10 } });
    scene.writes(content).moves("PendingApproval").moves("Approved").moves("Running", { at: day });
    scene.given({ type: "RollBack", targetVersion: 1 });
    expect(scene.state().latest.configuration.plan?.sample).toBe(10);
    expect(planInForce(scene.state())?.sample).toBe(40_000);
    scene.moves("RolledBack").moves("Draft").writes(content).moves("PendingApproval").moves("Approved");
    scene.moves("Running", { at: 3 * day });
    expect(scene.state().frozen?.at).toBe(new Date(startOfTime + day).toISOString());
  });

  test("given a reopened experiment, then another plan may be written, and is frozen at its start", () => {
    const scene = started();
    scene.given({ type: "Transition", to: "Archived", outcome: "inconclusive", reason: "too small" });
    scene.writes({ ...content, plan: { ...plan, sample: 10 } });
    expect(scene.state().frozen).toBeNull();
    scene
      .moves("PendingApproval")
      .moves("Approved")
      .moves("Running", { at: 9 * day });
    expect(scene.state().frozen).toMatchObject({ version: 2, plan: { sample: 10 } });
  });
});

describe("what is declared after the start", () => {
  const marksOf = (scene: Scenario) => {
    const { metrics, dimensions, guardrails } = afterStart(scene.state());
    return {
      metrics: Object.fromEntries(metrics),
      dimensions: Object.fromEntries(dimensions),
      guardrails: Object.fromEntries(guardrails),
    };
  };
  const nothing = { metrics: {}, dimensions: {}, guardrails: {} };

  test("given nothing changed, nothing is marked; and not by a draft that is not live", () => {
    const scene = started();
    expect(marksOf(scene)).toEqual(nothing);
    expect(marksOf(scene.writes({ ...content, metrics: [] }))).toEqual(nothing);
  });

  test("a raised cap, a metric more and one less, other values of a dimension, another bound", () => {
    const scene = publishes(started(), {
      ...content,
      metrics: [
        { ...basket, cap: 1_000 },
        { name: "visits", kind: "count" },
      ],
      dimensions: [
        { ...country, values: ["US", "CA"] },
        { attribute: "device", values: ["phone"] },
      ],
      guardrails: [{ ...slow, maximum: 0.05 }],
    });
    expect(marksOf(scene)).toEqual({
      metrics: { basket: "changed", visits: "added", orders: "removed" },
      dimensions: { country: "changed", device: "added" },
      guardrails: { "slow maximum 0.05": "added", "slow maximum 0.01": "removed" },
    });
  });

  test("put back, it is unmarked: what counts is what was declared at the start", () => {
    const scene = publishes(started(), { ...content, metrics: [basket] });
    expect(marksOf(publishes(scene, content))).toEqual(nothing);
  });
});
