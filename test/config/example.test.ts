import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { type Dsl, formatErrors, loadDsl } from "../../src/config/index.ts";
import type { Approval } from "../../src/governance/state.ts";
import { judgeGate } from "../../src/governance/gates/judge.ts";
import { judgePolicy } from "../../src/governance/policies/judge.ts";
import { applicable } from "../../src/governance/policy-set.ts";
import type { ActorRecord } from "../../src/governance/events.ts";
import type { LifecycleState } from "../../src/lifecycle.ts";

const text = readFileSync(new URL("../../proviso.yaml", import.meta.url), "utf8");

const load = (environment: Record<string, string> = {}): Dsl => {
  const result = loadDsl(text, { file: "proviso.yaml", environment });
  if (!result.ok) throw new Error(formatErrors(result.errors, { source: text }));
  return result.value;
};

const proposer: ActorRecord = { ref: "proposer", kind: "human", roles: ["editor", "operator"] };
const approver: ActorRecord = { ref: "approver", kind: "human", roles: ["approver"] };

const configuration = {
  name: "cookie-cats",
  subject: "user",
  salt: "cookie-cats",
  traffic: 100,
  assignmentPolicy: "bestEffort" as const,
  variants: [
    { key: "gate_30", weight: 1, control: true },
    { key: "gate_40", weight: 1 },
  ],
};

/** Every 59 minutes of a week: each hour of each day, each time at another minute. */
const week = Array.from({ length: 171 }, (_, step) => Date.UTC(2026, 10, 16) + step * 59 * 60_000);

/** What stops a change from being made by `asker`, with these approvals, at some time of a week. */
const obstacles = (
  dsl: Dsl,
  from: LifecycleState,
  to: LifecycleState,
  asker: ActorRecord,
  approvals: readonly Approval[],
): readonly string[] => {
  const { approvalGates, policies } = dsl.governance;
  const rules = applicable({ gates: approvalGates, policies }, "transition", from, to);
  const context = { asker, proposer: proposer.ref, authors: [proposer.ref], approvals, custom: {} };
  const gates = rules.gates.map((gate) => judgeGate(gate, context)).filter((verdict) => !verdict.satisfied);
  const violations = week.flatMap((now) =>
    rules.policies
      .map((policy) =>
        judgePolicy(policy, {
          experiment: configuration.name,
          kind: "transition",
          parameters: {},
          actor: { ref: "author", kind: "human", roles: ["operator"] },
          trafficAfter: configuration.traffic,
          from,
          to,
          configuration,
          servingSince: null,
          servedTraffic: 0,
          evidence: {
            now,
            telemetry: {
              status: "available",
              at: new Date(now).toISOString(),
              exposed: 0,
              worstErrorRate: 0,
              worstVariant: null,
              subjects: {},
              sampleRatio: null,
            },
            others: [],
            custom: {},
          },
        }),
      )
      .filter((result) => result.compliant !== true && result.severity === "Critical"),
  );
  return [...new Set([...gates.map(({ gate }) => gate), ...violations.map((result) => result.policy)])];
};

const ceiling = (dsl: Dsl): unknown =>
  dsl.governance.policies.flatMap((policy) => (policy.type === "trafficLimit" ? policy.maxTrafficPercentage : []));

const approval = (actor: ActorRecord): Approval => ({ actor, decision: "approve", at: "2026-11-16T00:00:00Z" });

describe("proviso.yaml", () => {
  test("loads without warnings, with nothing set in the environment", () => {
    expect(loadDsl(text, { file: "proviso.yaml" })).toMatchObject({ ok: true, warnings: [] });
  });

  test("shows two experiments, every kind of gate but automatic, and every kind of policy", () => {
    const { governance, experiments } = load();
    expect(experiments).toHaveLength(2);
    expect(new Set(governance.approvalGates.map((gate) => gate.type))).toEqual(
      new Set(["manual", "roleBased", "quorum"]),
    );
    expect(new Set(governance.policies.map((policy) => policy.type))).toEqual(
      new Set(["trafficLimit", "errorRate", "timeWindow", "conflictPrevention"]),
    );
  });

  test("takes the traffic ceiling of the environment as a number", () => {
    expect(ceiling(load())).toEqual([100]);
    expect(ceiling(load({ PROVISO_MAX_TRAFFIC: "25" }))).toEqual([25]);
  });

  test("one proposer and one other approver bring an experiment at 100 % to Running, at any time", () => {
    const dsl = load();
    expect(obstacles(dsl, "Draft", "PendingApproval", proposer, [])).toEqual([]);
    expect(obstacles(dsl, "PendingApproval", "Approved", proposer, [approval(approver)])).toEqual([]);
    expect(obstacles(dsl, "Approved", "Running", proposer, [])).toEqual([]);
    expect(obstacles(dsl, "Running", "Paused", approver, [])).toEqual([]);
  });

  test("but nobody approves alone, starts without the role, or concludes alone", () => {
    const dsl = load();
    expect(obstacles(dsl, "PendingApproval", "Approved", proposer, [])).toEqual(["content-review"]);
    const both: ActorRecord = { ...proposer, roles: ["editor", "approver"] };
    expect(obstacles(dsl, "PendingApproval", "Approved", both, [approval(both)])).toEqual(["content-review"]);
    const agent: ActorRecord = { ...approver, kind: "agent" };
    expect(obstacles(dsl, "PendingApproval", "Approved", proposer, [approval(agent)])).toEqual(["content-review"]);
    expect(obstacles(dsl, "Approved", "Running", approver, [])).toEqual(["who-starts"]);
    expect(obstacles(dsl, "Running", "Archived", proposer, [approval(approver)])).toEqual(["conclude"]);
    const second: ActorRecord = { ...approver, ref: "second" };
    expect(obstacles(dsl, "Running", "Archived", proposer, [approval(approver), approval(second)])).toEqual([]);
  });

  test("the traffic ceiling is one", () => {
    const dsl = load({ PROVISO_MAX_TRAFFIC: "25" });
    expect(obstacles(dsl, "Approved", "Running", proposer, [])).toEqual(["traffic-ceiling"]);
  });
});
