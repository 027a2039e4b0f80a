/** Guardrails where they meet a change: what lets more people in waits until they say that it is safe. */
import { describe, expect, test } from "vitest";
import type { ConfigurationInput } from "../../src/experiment.ts";
import { guardrailName, type GuardrailReading } from "../../src/governance/guardrails.ts";
import type { Decision } from "../../src/governance/commands.ts";
import { author, person, type Scenario, scenario, type World } from "../support/scenario.ts";

const minute = 60_000;
const codeOf = (decision: Decision): string => (decision.outcome === "deny" ? decision.code : decision.outcome);

type Guardrails = NonNullable<ConfigurationInput["guardrails"]>;

const ramp = { steps: [{ traffic: 5, hold: "30m" }, { traffic: 25, hold: "1h" }, { traffic: 100 }] };
const error: Guardrails[number] = { metric: "error", maximumIncrease: 0.01 };

const reading = (verdict: GuardrailReading["verdict"], changes: Partial<GuardrailReading> = {}): GuardrailReading => ({
  guardrail: "error maximumIncrease 0.01",
  metric: "error",
  verdict,
  action: verdict === "violated" ? "rollBack" : "none",
  variant: "treatment",
  why: `it is ${verdict}`,
  figures: { lower: -0.01, upper: 0.02, bound: 0.01 },
  ...changes,
});

const ramping = (guardrails: Guardrails = [error], world: World = {}): Scenario =>
  scenario(world).writes({ guardrails, ramp }).moves("PendingApproval").moves("Approved").moves("Ramping");

const advance = { type: "Ramp", action: "advance" } as const;

describe("a ramp step", () => {
  test.each([
    { verdict: "safe", code: "commit" },
    { verdict: "inconclusive", code: "evidence-inconclusive" },
    { verdict: "violated", code: "policy-violation" },
  ] as const)("with a guardrail that is $verdict: $code", ({ verdict, code }) => {
    const decision = ramping().when(advance, { at: minute, guardrails: [reading(verdict)] });
    expect(codeOf(decision)).toBe(code);
    const events =
      decision.outcome === "commit" ? decision.events : decision.outcome === "deny" ? [decision.record] : [];
    const [event] = events;
    // The figures that it was decided by are in the record, either way.
    expect(event?.data).toMatchObject({
      policies: [
        {
          policy: "guardrail error maximumIncrease 0.01",
          compliant: verdict === "inconclusive" ? null : verdict === "safe",
          severity: "Critical",
          reason: `it is ${verdict}`,
          evidence: { verdict: { source: "ledger", value: verdict }, upper: { value: 0.02 } },
        },
      ],
    });
  });

  test.each([
    { onMissing: undefined, code: "evidence-inconclusive", says: "onMissing: hold" },
    { onMissing: "hold", code: "evidence-inconclusive", says: "onMissing: hold" },
    { onMissing: "deny", code: "policy-violation", says: "onMissing: deny" },
    { onMissing: "allow", code: "commit", says: "onMissing: allow" },
  ] as const)("with a guardrail that cannot be read, onMissing $onMissing: $code", ({ onMissing, code, says }) => {
    const scene = ramping([{ ...error, ...(onMissing === undefined ? {} : { onMissing }) }]);
    for (const missing of [undefined, []]) {
      const step = missing === undefined ? { at: minute } : { at: minute, guardrails: missing };
      const decision = scene.when(advance, step);
      expect(codeOf(decision)).toBe(code);
      expect(JSON.stringify(decision)).toContain(says);
    }
  });

  test("one that only notifies holds nothing, and is recorded", () => {
    const notify: Guardrails = [{ ...error, onViolation: "notify" }];
    for (const guardrails of [[reading("violated", { action: "notify" })], [reading("inconclusive")]]) {
      const decision = ramping(notify).when(advance, { at: minute, guardrails });
      expect(codeOf(decision)).toBe("commit");
      expect(JSON.stringify(decision)).toContain('"severity":"Warning"');
    }
    expect(codeOf(ramping(notify).when(advance, { at: minute }))).toBe("commit");
  });

  test("held by a guardrail says so in the ramp, and goes on by itself when it is safe", () => {
    const scene = ramping();
    const due = { ...advance, due: 0 };
    const clock = { by: person("system:ramp", [], "service") };
    scene.given(due, { ...clock, at: 31 * minute, guardrails: [reading("inconclusive")] });
    expect(scene.state().ramp).toMatchObject({ step: 0, held: { code: "evidence-inconclusive" } });
    expect(codeOf(scene.when(due, { ...clock, at: 32 * minute, guardrails: [reading("inconclusive")] }))).toBe(
      "unchanged",
    );
    scene.given(due, { ...clock, at: 33 * minute, guardrails: [reading("safe")] });
    expect(scene.state().ramp).toMatchObject({ step: 1, traffic: 25, held: null });
  });

  test("can be forced with break-glass, and the record says what was passed over", () => {
    const scene = ramping([error], { breakGlass: { roles: ["operator"] } });
    const forced = { type: "Transition", to: "Running", breakGlass: true, reason: "incident" } as const;
    const decision = scene.when(forced, { by: author, at: minute, guardrails: [reading("inconclusive")] });
    expect(codeOf(decision)).toBe("commit");
    expect(JSON.stringify(decision)).toContain("it is inconclusive");
  });
});

describe("other changes", () => {
  test("the start has nothing to look at yet, and neither has a resumption", () => {
    const approved = scenario()
      .writes({ guardrails: [error], ramp })
      .moves("PendingApproval")
      .moves("Approved");
    expect(codeOf(approved.when({ type: "Transition", to: "Ramping" }))).toBe("commit");
    const paused = ramping().moves("Paused", { at: minute });
    expect(codeOf(paused.when({ type: "Transition", to: "Ramping" }, { at: 2 * minute }))).toBe("commit");
  });

  test("to full traffic, by Running, is a widening like any step", () => {
    const scene = ramping();
    const toRunning = { type: "Transition", to: "Running" } as const;
    expect(codeOf(scene.when(toRunning, { at: minute, guardrails: [reading("inconclusive")] }))).toBe(
      "evidence-inconclusive",
    );
    expect(codeOf(scene.when(toRunning, { at: minute, guardrails: [reading("safe")] }))).toBe("commit");
  });

  test.each(["Paused", "RolledBack", "Archived"] as const)("to %s never wait for one", (to) => {
    expect(codeOf(ramping().when({ type: "Transition", to }, { at: minute }))).toBe("commit");
  });

  test("publishing what serves no more people does not wait; what serves more does, by the guardrails of what serves", () => {
    const scene = scenario()
      .writes({ guardrails: [error], traffic: 50 })
      .moves("PendingApproval")
      .moves("Approved")
      .moves("Running");
    const publish = (traffic: number, guardrails: Guardrails) => {
      const next = scene.writes({ guardrails, traffic }, { at: minute });
      return next.when(
        { type: "Publish", version: next.state().latest.version },
        { at: 2 * minute, guardrails: [reading("inconclusive")] },
      );
    };
    expect(codeOf(publish(40, [error]))).toBe("commit");
    expect(codeOf(publish(60, []))).toBe("evidence-inconclusive");
  });
});

test("the live version's first moment moves with what is published, and with nothing else", () => {
  const scene = ramping();
  const started = scene.state().liveSince;
  expect(started).toBe(scene.state().servingSince);
  scene.moves("Paused", { at: minute }).moves("Ramping", { at: 2 * minute });
  expect(scene.state().liveSince).toBe(started);
  expect(scene.state().servingSince).not.toBe(started);
  scene.writes({ guardrails: [error], ramp, traffic: 90 }, { at: 3 * minute });
  scene.given({ type: "Publish", version: scene.state().latest.version }, { at: 4 * minute });
  expect(Date.parse(scene.state().liveSince ?? "") - Date.parse(started ?? "")).toBe(4 * minute);
});

test("a guardrail is called by its metric and its bound", () => {
  expect(guardrailName({ metric: "error", maximum: 0.05 })).toBe("error maximum 0.05");
  expect(guardrailName({ metric: "error", maximumIncrease: 0.5, relative: true })).toBe(
    "error maximumIncrease 0.5 relative",
  );
  expect(guardrailName({ metric: "error", maximumIncrease: 0 })).toBe("error maximumIncrease 0");
});

test("two guardrails on one metric notify once each, and again in a new epoch", () => {
  const scene = ramping();
  const guard = { by: person("system:guardrail", [], "service"), at: minute };
  const notice = (guardrail: string) =>
    ({
      type: "Notify",
      guardrail: {
        metric: "error",
        guardrail,
        variant: "treatment",
        why: "above",
        figures: {},
        version: scene.state().live?.version ?? 0,
        epoch: scene.state().epoch,
        since: scene.state().servingSince ?? "",
      },
    }) as const;
  scene.given(notice("error maximum 0.01"), guard);
  expect(codeOf(scene.when(notice("error maximum 0.01"), guard))).toBe("unchanged");
  scene.given(notice("error maximum 0.05"), guard);
  scene.given({ type: "Kill", variant: "treatment" }, { at: 2 * minute });
  expect(codeOf(scene.when(notice("error maximum 0.01"), { ...guard, at: 3 * minute }))).toBe("commit");
});

test("shipping on a p value that was read too early goes through, and the conclusion says so", () => {
  const warning = { signalType: "PeekingWarning", message: "too early", data: { fraction: 0.4 } };
  const concluded = (outcome: "ship" | "revert") =>
    ramping()
      .given(
        { type: "Transition", to: "Archived", outcome, ...(outcome === "ship" ? { variant: "treatment" } : {}) },
        { at: minute, warning },
      )
      .state().conclusion;
  expect(concluded("ship")).toMatchObject({ outcome: "ship", warning });
  expect(concluded("revert")).not.toHaveProperty("warning");
});
