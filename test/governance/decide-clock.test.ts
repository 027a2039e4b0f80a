/** Ramps, schedules, kill switches, conclusions: what time and switches do, decided like everything else. */
import { describe, expect, test } from "vitest";
import type { Decision } from "../../src/governance/commands.ts";
import { nextDue, nextWake } from "../../src/governance/due.ts";
import { ruleOf } from "../../src/governance/publish.ts";
import { person, scenario, startOfTime, typesOf, type Scenario, type World } from "../support/scenario.ts";

const minute = 60_000;
const steps = [{ traffic: 5, hold: "30m" }, { traffic: 25, hold: "1h" }, { traffic: 100 }];
const at = (ms: number): string => new Date(startOfTime + ms).toISOString();

const codeOf = (decision: Decision): string => (decision.outcome === "deny" ? decision.code : decision.outcome);
const clock = person("system:ramp", [], "service");
const trafficOf = (scene: Scenario): number | undefined => ruleOf(scene.state())?.trafficBuckets;

const ramping = (world: World = {}): Scenario =>
  scenario(world).writes({ ramp: { steps } }).moves("PendingApproval").moves("Approved").moves("Ramping");

const due = (scene: Scenario, ms: number): Decision =>
  scene.when({ type: "Ramp", action: "advance", due: scene.state().ramp?.step ?? -1 }, { by: clock, at: ms });

describe("a ramp", () => {
  test("begins at its first step, and serves what the step allows", () => {
    const scene = ramping();
    expect(scene.state().ramp).toMatchObject({ step: 0, traffic: 5, dueAt: at(30 * minute), held: null });
    expect(trafficOf(scene)).toBe(500);
  });

  test("goes on when the clock finds it due, not before, and not twice", () => {
    const scene = ramping();
    expect(codeOf(due(scene, 29 * minute))).toBe("unchanged");
    const early = { type: "Ramp", action: "advance", due: 0 } as const;
    expect(codeOf(scene.when(early, { by: clock, at: 30 * minute }))).toBe("commit");
    expect(codeOf(scene.when(early, { by: clock, at: 30 * minute }))).toBe("unchanged");
    expect(trafficOf(scene)).toBe(2_500);
    expect(codeOf(due(scene, 90 * minute))).toBe("commit");
    expect(scene.state().ramp).toMatchObject({ step: 2, dueAt: null });
  });

  test("a step that a policy refuses stays, says why, and says it once", () => {
    const scene = ramping({ policies: [{ type: "trafficLimit", maxTrafficPercentage: 100 }] });
    scene.under({ policies: [{ type: "trafficLimit", maxTrafficPercentage: 10 }] });
    expect(codeOf(due(scene, 30 * minute))).toBe("commit");
    expect(typesOf(scene.events()).slice(-2)).toEqual(["ChangeDenied", "RampHeld"]);
    expect(scene.state().ramp).toMatchObject({ step: 0, held: { code: "policy-violation" } });
    expect(codeOf(due(scene, 31 * minute))).toBe("unchanged");
    scene.under({});
    expect(codeOf(due(scene, 32 * minute))).toBe("commit");
    expect(scene.state().ramp).toMatchObject({ step: 1, held: null });
  });

  test("a step with a gate waits for it, in the name of whoever started the ramp", () => {
    const scene = ramping({ gates: [{ type: "manual", on: "rampStep" }] });
    expect(codeOf(due(scene, 30 * minute))).toBe("commit");
    expect(typesOf(scene.events()).slice(-2)).toEqual(["ProposalOpened", "RampHeld"]);
    const { changeDigest } = scene.proposalTo("Ramping");
    scene.given({ type: "Say", decision: "approve", changeDigest }, { by: person("approver") });
    expect(codeOf(due(scene, 31 * minute))).toBe("commit");
    expect(scene.state().ramp?.step).toBe(1);
  });

  test("the roles that count are those of whoever started it", () => {
    const world: World = { gates: [{ type: "roleBased", on: "rampStep", allowedRoles: ["operator"] }] };
    expect(codeOf(due(ramping(world), 30 * minute))).toBe("commit");
    const strict = ramping({});
    strict.under({ gates: [{ type: "roleBased", on: "rampStep", allowedRoles: ["admin"] }] });
    due(strict, 30 * minute);
    expect(strict.state().ramp?.held).toMatchObject({ code: "gate-rejected" });
  });

  test("stays where somebody holds it, until somebody advances it", () => {
    const scene = ramping().given({ type: "Ramp", action: "hold" });
    expect(nextDue(scene.state(), startOfTime + 31 * minute)).toBeNull();
    expect(codeOf(due(scene, 31 * minute))).toBe("unchanged");
    scene.given({ type: "Ramp", action: "advance" }, { at: 32 * minute });
    expect(scene.state().ramp).toMatchObject({ step: 1, held: null, dueAt: at(92 * minute) });
  });

  test("after the last step it runs, and the steps are over", () => {
    const scene = ramping();
    due(scene, 30 * minute);
    due(scene, 90 * minute);
    scene.given({ type: "Ramp", action: "advance" }, { at: 100 * minute });
    expect(scene.state()).toMatchObject({ lifecycle: "Running", ramp: null });
    expect(trafficOf(scene)).toBe(10_000);
  });

  test("paused it keeps its step and does nothing; aborted it begins anew", () => {
    const scene = ramping();
    due(scene, 30 * minute);
    scene.moves("Paused", { at: 40 * minute });
    expect(nextWake(scene.state(), startOfTime, minute)).toBeNull();
    expect(codeOf(due(scene, 200 * minute))).toBe("invalid-transition");
    scene.moves("Ramping", { at: 50 * minute });
    expect(scene.state().ramp).toMatchObject({ step: 1, dueAt: at(110 * minute) });
    scene.given({ type: "Ramp", action: "abort" }, { at: 60 * minute });
    expect(scene.state()).toMatchObject({ lifecycle: "Paused", ramp: null });
    scene.moves("Ramping", { at: 70 * minute });
    expect(scene.state().ramp?.step).toBe(0);
  });

  test("under new content it goes on at the step that serves no more than before", () => {
    const scene = ramping();
    due(scene, 30 * minute);
    scene.writes({ ramp: { steps: [{ traffic: 10, hold: "1h" }, { traffic: 20, hold: "1h" }, { traffic: 50 }] } });
    scene.given({ type: "Publish", version: 2 }, { at: 40 * minute });
    expect(scene.state().ramp).toMatchObject({ step: 1, traffic: 20 });
  });

  test("without steps there is nothing to advance", () => {
    const scene = scenario().writes().moves("PendingApproval").moves("Approved").moves("Ramping");
    expect(scene.state().ramp).toBeNull();
    expect(codeOf(scene.when({ type: "Ramp", action: "advance" }))).toBe("invalid-transition");
  });
});

describe("a schedule", () => {
  const start = { at: at(60 * minute), to: "Running" } as const;
  const approved = (world: World = {}): Scenario => scenario(world).writes().moves("PendingApproval").moves("Approved");
  const fire = (scene: Scenario, ms: number, id = scene.state().schedule[0]?.id ?? ""): Decision =>
    scene.when({ type: "Fire", scheduled: id }, { by: person("system:schedule", [], "service"), at: ms });

  test("fires when its time has come, once", () => {
    const scene = approved().given({ type: "Schedule", changes: [start] });
    const id = scene.state().schedule[0]?.id ?? "";
    expect(nextWake(scene.state(), startOfTime, minute)).toBe(startOfTime + 60 * minute);
    expect(codeOf(fire(scene, 59 * minute))).toBe("unchanged");
    expect(codeOf(fire(scene, 60 * minute))).toBe("commit");
    expect(codeOf(fire(scene, 60 * minute, id))).toBe("unchanged");
    expect(scene.state()).toMatchObject({ lifecycle: "Running", schedule: [] });
    expect(scene.events().findLast(({ type }) => type === "Transitioned")).toMatchObject({
      data: { parameters: { at: start.at }, onBehalfOf: { ref: "author" } },
    });
  });

  test("is decided by the rules of the moment it fires: a gate that came, and one that went", () => {
    const manual: World = { gates: [{ type: "manual", to: "Running" }] };
    const came = approved().given({ type: "Schedule", changes: [start] });
    came.under(manual);
    fire(came, 60 * minute);
    expect(came.state()).toMatchObject({ lifecycle: "Approved", schedule: [] });
    expect(came.events().at(-1)).toMatchObject({
      type: "ScheduleFired",
      data: { end: "refused", code: "approval-required" },
    });
    const went = approved(manual).given({ type: "Schedule", changes: [start] });
    expect(went.state().proposals).toHaveLength(1);
    went.under({});
    fire(went, 60 * minute);
    expect(went.state().lifecycle).toBe("Running");
  });

  test("what was approved for that time is made at that time, and at no other", () => {
    const scene = approved({ gates: [{ type: "manual", to: "Running", whenApproved: "commit" }] });
    scene.given({ type: "Schedule", changes: [start] }).approves("Running");
    expect(scene.state().lifecycle).toBe("Approved");
    expect(codeOf(scene.when({ type: "Transition", to: "Running" }))).toBe("hold");
    fire(scene, 60 * minute);
    expect(scene.state().lifecycle).toBe("Running");
  });

  test("the roles that count are those of whoever scheduled it", () => {
    const scene = approved({ gates: [{ type: "roleBased", to: "Running", allowedRoles: ["operator"] }] });
    scene.given({ type: "Schedule", changes: [start] }, { by: person("editor", ["editor"]) });
    fire(scene, 60 * minute);
    expect(scene.state().lifecycle).toBe("Approved");
    expect(typesOf(scene.events()).slice(-2)).toEqual(["ChangeDenied", "ScheduleFired"]);
  });

  test("what a configuration says is set with its approval", () => {
    const scene = scenario()
      .writes({ schedule: { start: at(60 * minute), end: at(120 * minute) } })
      .moves("PendingApproval")
      .moves("Approved");
    expect(scene.state().schedule).toMatchObject([{ to: "Running" }, { to: "Paused" }]);
    fire(scene, 60 * minute);
    fire(scene, 120 * minute);
    expect(scene.state()).toMatchObject({ lifecycle: "Paused", schedule: [] });
  });

  test("is cleared by nothing to do, by going back to Draft, and refused in the past", () => {
    const scene = approved().given({ type: "Schedule", changes: [start] });
    scene.given({ type: "Schedule", changes: [] });
    expect(scene.state().schedule).toEqual([]);
    expect(codeOf(scene.when({ type: "Schedule", changes: [] }))).toBe("unchanged");
    scene.given({ type: "Schedule", changes: [start] }).moves("Draft");
    expect(scene.state().schedule).toEqual([]);
    expect(codeOf(scene.when({ type: "Schedule", changes: [{ at: at(0), to: "Running" }] }))).toBe("invalid-request");
  });

  test("a move that the state does not have is refused when it fires", () => {
    const scene = scenario()
      .writes()
      .given({ type: "Schedule", changes: [start] });
    fire(scene, 60 * minute);
    expect(scene.events().at(-1)).toMatchObject({ type: "ScheduleFired", data: { code: "invalid-transition" } });
  });
});

describe("kill switches", () => {
  const running = (world: World = {}): Scenario =>
    scenario(world)
      .writes({ variants: [{ key: "control", control: true }, { key: "a" }, { key: "b" }] })
      .moves("PendingApproval")
      .moves("Approved")
      .moves("Running");

  test("a variant is off at once, and the epoch rises when it goes and when it comes back", () => {
    const scene = running().given({ type: "Kill", variant: "b" });
    expect(ruleOf(scene.state())).toMatchObject({ killedVariants: ["b"], epoch: 1 });
    scene.given({ type: "Revive", variant: "b" });
    expect(ruleOf(scene.state())).toMatchObject({ epoch: 2 });
    expect(scene.state().earlierPlans[1]?.variants).toMatchObject([
      { weight: 1 },
      { weight: 1 },
      { key: "b", weight: 0 },
    ]);
  });

  test("the experiment is off at once; on again it takes what resuming takes", () => {
    const scene = running({ gates: [{ type: "manual", from: "Paused", to: "Running" }] }).given({ type: "Kill" });
    expect(ruleOf(scene.state())).toMatchObject({ killed: true, epoch: 0 });
    expect(codeOf(scene.when({ type: "Kill" }))).toBe("unchanged");
    expect(codeOf(scene.when({ type: "Revive" }))).toBe("hold");
    scene.approves("Running");
    scene.given({ type: "Revive" });
    expect(ruleOf(scene.state())?.killed).toBeUndefined();
  });

  test("given a pause in which whoever is in stays in, then on again takes what resuming takes, too", () => {
    const scene = running({ gates: [{ type: "manual", from: "Paused", to: "Running" }] })
      .given({ type: "Transition", to: "Paused", mode: "stopEnrolment" })
      .given({ type: "Kill" });
    expect(codeOf(scene.when({ type: "Revive" }))).toBe("hold");
    scene.approves("Running");
    scene.given({ type: "Revive" });
    expect(ruleOf(scene.state())).toMatchObject({ state: "Paused", mode: "stopEnrolment" });
    expect(ruleOf(scene.state())?.killed).toBeUndefined();
  });

  test("in a pause for everybody it serves nobody, and takes nothing", () => {
    const scene = running({ gates: [{ type: "manual", from: "Paused", to: "Running" }] }).moves("Paused");
    scene.given({ type: "Kill" }).given({ type: "Revive" });
    expect(scene.state()).toMatchObject({ lifecycle: "Paused", killed: { experiment: false } });
  });

  test("control, an unknown variant, and an experiment that never ran have no switch", () => {
    const codes = (["control", "c", "__proto__"] as const).map((variant) =>
      codeOf(running().when({ type: "Kill", variant })),
    );
    expect(codes).toEqual(["invalid-request", "invalid-request", "invalid-request"]);
    expect(codeOf(scenario().writes().when({ type: "Kill" }))).toBe("invalid-transition");
  });
});

describe("concluding", () => {
  const running = (): Scenario => scenario().writes().moves("PendingApproval").moves("Approved").moves("Running");

  test("what is shipped goes on being served; everything else is over", () => {
    const shipped = running().given({ type: "Transition", to: "Archived", outcome: "ship", variant: "treatment" });
    expect(shipped.state().conclusion).toMatchObject({ outcome: "ship", variant: "treatment" });
    expect(ruleOf(shipped.state())).toMatchObject({ state: "Archived", shipped: "treatment" });
    const reverted = running().given({ type: "Transition", to: "Archived", outcome: "revert" });
    expect(ruleOf(reverted.state())).toBeNull();
    expect(running().moves("Archived").state().conclusion).toMatchObject({ outcome: "inconclusive" });
    expect(ruleOf(shipped.writes().state())).toBeNull();
  });

  test("what is approved is that outcome, and no other", () => {
    const scene = running().under({ gates: [{ type: "manual", to: "Archived" }] });
    scene.when({ type: "Transition", to: "Archived", outcome: "ship", variant: "treatment" });
    scene.approves("Archived");
    expect(codeOf(scene.when({ type: "Transition", to: "Archived", outcome: "ship", variant: "control" }))).toBe(
      "hold",
    );
    expect(codeOf(scene.when({ type: "Transition", to: "Archived", outcome: "ship", variant: "treatment" }))).toBe(
      "commit",
    );
  });

  test.each([
    { outcome: "ship" },
    { outcome: "ship", variant: "other" },
    { outcome: "revert", variant: "treatment" },
    { variant: "treatment" },
  ] as const)("%j is not an end", (end) => {
    expect(codeOf(running().when({ type: "Transition", to: "Archived", ...end }))).toBe("invalid-request");
  });

  test("an experiment that never ran has nothing to conclude", () => {
    const scene = scenario().writes();
    expect(codeOf(scene.when({ type: "Transition", to: "Archived", outcome: "revert" }))).toBe("invalid-request");
    expect(scene.moves("Archived").state().conclusion).toBeNull();
  });
});

describe("guardrails", () => {
  const running = (): Scenario => scenario().writes().moves("PendingApproval").moves("Approved").moves("Running");
  const finding = (scene: Scenario) => ({
    metric: "error",
    variant: "treatment",
    why: "above",
    figures: { limit: 0.02 },
    version: scene.state().live?.version ?? 0,
    epoch: scene.state().epoch,
    since: scene.state().servingSince ?? "",
  });
  const guard = { by: person("system:guardrail", [], "service") };

  test("a finding about what is over changes nothing", () => {
    const scene = running();
    const old = finding(scene);
    scene.moves("Paused", { at: minute }).moves("Running", { at: 2 * minute });
    expect(codeOf(scene.when({ type: "Transition", to: "RolledBack", guardrail: old }, guard))).toBe("unchanged");
    expect(codeOf(scene.when({ type: "Notify", guardrail: old }, guard))).toBe("unchanged");
  });

  test("pulls the brake once", () => {
    const scene = running();
    const guardrail = finding(scene);
    scene.given({ type: "Transition", to: "RolledBack", guardrail }, guard);
    expect(scene.state()).toMatchObject({ lifecycle: "RolledBack", approved: [] });
    expect(codeOf(scene.when({ type: "Transition", to: "RolledBack", guardrail }, guard))).toBe("unchanged");
  });

  test("a notice is written once for a version, epoch and start", () => {
    const scene = running();
    scene.given({ type: "Notify", guardrail: finding(scene) }, guard);
    expect(codeOf(scene.when({ type: "Notify", guardrail: finding(scene) }, guard))).toBe("unchanged");
    scene.moves("Paused", { at: minute }).moves("Running", { at: 2 * minute });
    expect(codeOf(scene.when({ type: "Notify", guardrail: finding(scene) }, guard))).toBe("commit");
  });
});
