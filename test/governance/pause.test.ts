/** Two ways to pause, through commands, state, rules and schedules. */
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { ConfigurationSchema } from "../../src/experiment.ts";
import type { Decision } from "../../src/governance/commands.ts";
import { ruleOf } from "../../src/governance/publish.ts";
import { author, person, type Scenario, scenario, startOfTime } from "../support/scenario.ts";

const minute = 60_000;
const at = (ms: number): string => new Date(startOfTime + ms).toISOString();
const codeOf = (decision: Decision): string => (decision.outcome === "deny" ? decision.code : decision.outcome);
const ramp = { steps: [{ traffic: 5, hold: "30m" }, { traffic: 100 }] };
const ramping = (): Scenario => scenario().writes({ ramp }).moves("PendingApproval").moves("Approved").moves("Ramping");
const running = (): Scenario => scenario().writes().moves("PendingApproval").moves("Approved").moves("Running");
const pause = { type: "Transition", to: "Paused", mode: "stopEnrolment" } as const;

describe("pausing", () => {
  test("is for everybody unless it says otherwise", () => {
    for (const scene of [
      running().moves("Paused"),
      running().given({ type: "Transition", to: "Paused", mode: "control" }),
    ]) {
      expect(scene.state()).toMatchObject({ lifecycle: "Paused", paused: "control" });
      expect(ruleOf(scene.state())).not.toHaveProperty("mode");
      // The default is written nowhere, so that it is the change that it always was.
      expect(scene.events().at(-1)?.data).toMatchObject({ parameters: {} });
    }
  });

  test("with stopEnrolment says so in the event, the state and the rules, and is over when it is resumed", () => {
    const scene = running().given(pause);
    expect(scene.events().at(-1)).toMatchObject({
      type: "Transitioned",
      data: { parameters: { mode: "stopEnrolment" } },
    });
    expect(scene.state().paused).toBe("stopEnrolment");
    expect(ruleOf(scene.state())).toMatchObject({ state: "Paused", mode: "stopEnrolment" });
    scene.moves("Running", { at: minute });
    expect(scene.state().paused).toBeNull();
    expect(ruleOf(scene.state())).not.toHaveProperty("mode");
  });

  test("during a ramp, whoever is in came in under the step that it stood at", () => {
    expect(ruleOf(ramping().given(pause).state())).toMatchObject({ mode: "stopEnrolment", trafficBuckets: 500 });
    expect(ruleOf(ramping().moves("Paused").state())).not.toHaveProperty("mode");
  });

  test("is a brake like the other: nobody has to agree", () => {
    const strict = scenario().writes().moves("PendingApproval").moves("Approved").moves("Running");
    strict.under({
      gates: [{ type: "quorum", to: "Running", count: 2, roles: ["approver"] }],
      policies: [{ type: "timeWindow", allowedStartTime: "01:00", allowedEndTime: "01:01" }],
    });
    expect(codeOf(strict.when(pause, { by: person("anybody", ["editor"]) }))).toBe("commit");
  });

  test("the mode belongs to the move to Paused", () => {
    expect(codeOf(running().when({ type: "Transition", to: "RolledBack", mode: "stopEnrolment" }))).toBe(
      "invalid-request",
    );
    expect(codeOf(running().given(pause).when({ type: "Transition", to: "Paused", mode: "control" }))).toBe(
      "invalid-transition",
    );
  });
});

describe("a schedule", () => {
  test("can stop enrolment when its time comes", () => {
    const scene = running().given({
      type: "Schedule",
      changes: [{ at: at(minute), to: "Paused", mode: "stopEnrolment" }],
    });
    const [waiting] = scene.state().schedule;
    expect(waiting).toMatchObject({ to: "Paused", parameters: { mode: "stopEnrolment" } });
    scene.given(
      { type: "Fire", scheduled: waiting?.id ?? "" },
      { at: minute, by: person("system:schedule", [], "service") },
    );
    expect(scene.state()).toMatchObject({ lifecycle: "Paused", paused: "stopEnrolment" });
  });

  test("of the configuration says what its end does: control for everybody, unless it says otherwise", () => {
    for (const { mode, parameters, paused } of [
      { mode: undefined, parameters: {}, paused: "control" },
      { mode: "control", parameters: {}, paused: "control" },
      { mode: "stopEnrolment", parameters: { mode: "stopEnrolment" }, paused: "stopEnrolment" },
    ] as const) {
      const schedule = { end: at(minute), ...(mode !== undefined && { mode }) };
      const scene = scenario().writes({ schedule }).moves("PendingApproval").moves("Approved").moves("Running");
      const [waiting] = scene.state().schedule;
      expect(waiting).toMatchObject({ to: "Paused", parameters });
      expect(waiting?.parameters).toEqual(parameters);
      scene.given(
        { type: "Fire", scheduled: waiting?.id ?? "" },
        { at: minute, by: person("system:schedule", [], "service") },
      );
      expect(scene.state()).toMatchObject({ lifecycle: "Paused", paused });
    }
  });

  test("of a configuration has a mode beside an end only", () => {
    const written = (schedule: object) =>
      v.is(ConfigurationSchema, {
        name: "checkout",
        variants: [{ key: "control", control: true }, { key: "treatment" }],
        schedule,
      });
    expect(written({ end: at(minute), mode: "stopEnrolment" })).toBe(true);
    expect(written({ start: at(minute), mode: "stopEnrolment" })).toBe(false);
    expect(written({ end: at(minute), mode: "stop" })).toBe(false);
  });

  test("cannot give a mode to anything else", () => {
    const decision = running().when(
      { type: "Schedule", changes: [{ at: at(minute), to: "RolledBack", mode: "control" }] },
      { by: author },
    );
    expect(decision).toMatchObject({ code: "invalid-request", details: { errors: [{ path: "/changes/0/mode" }] } });
  });
});
