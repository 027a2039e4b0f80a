import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { memoryStore } from "../../../adapters/store/memory.ts";
import { gatherEvidence } from "../../../src/governance/evidence.ts";
import {
  type CustomPolicies,
  type CustomPolicy,
  type CustomPolicyContext,
  unregisteredPolicies,
  withRegisteredVersions,
} from "../../../src/governance/policies/custom.ts";
import { judgePolicy } from "../../../src/governance/policies/judge.ts";
import type { ChangeContext, PolicyVerdict } from "../../../src/governance/policies/policy.ts";
import { type PolicyInput, PolicySchema } from "../../../src/governance/policies/schema.ts";
import { applicable } from "../../../src/governance/policy-set.ts";
import { ref, startOfTime } from "../../support/scenario.ts";
import { available, context, policy } from "./context.ts";

const yes: CustomPolicy = { version: "1", judge: () => ({ compliant: true, reason: "fine", evidence: {} }) };
/** What a function in plain JavaScript may hand back, whatever its type says. */
const returning = (judge: () => unknown): CustomPolicy => ({
  version: "1",
  judge: async () =>
    v.parse(
      v.custom<PolicyVerdict>(() => true),
      judge(),
    ),
});

const { evidence: _evidence, ...change }: ReturnType<typeof context> = context();

const gather = async (inputs: readonly PolicyInput[], customPolicies: CustomPolicies = {}) => {
  const calls: string[] = [];
  const reported: unknown[] = [];
  const policies = inputs.map(policy);
  const store = memoryStore();
  const evidence = await gatherEvidence({
    ref,
    applicable: applicable({ gates: [], policies }, "transition", "Approved", "Running"),
    change: (): ChangeContext => {
      calls.push("change");
      return change;
    },
    customPolicies,
    store: {
      ...store,
      list: (scope, query) => {
        calls.push("others");
        return store.list(scope, query);
      },
    },
    telemetry: {
      read: async () => {
        calls.push("telemetry");
        const { status: _status, at: _at, ...figures } = available;
        return figures;
      },
    },
    now: startOfTime,
    report: (error) => reported.push(error),
  });
  const results = policies.map((one) => judgePolicy(one, { ...change, evidence }));
  return { evidence, results, calls, reported };
};

const budget = { type: "custom", function: "budget" } as const;

describe("only what some policy wants is read", () => {
  test.each([
    [{ type: "trafficLimit", maxTrafficPercentage: 100 }, []],
    [{ type: "errorRate", maxErrorRate: 1 }, ["telemetry"]],
    [{ type: "sampleRatio" }, ["telemetry"]],
    [{ type: "minimumSample", minSubjects: 1, to: ["Running"] }, ["telemetry"]],
    [{ type: "conflictPrevention", conflictingExperiments: ["a"] }, ["others"]],
    [{ type: "expression", expression: "telemetry.exposed > 1" }, ["telemetry"]],
    [{ type: "expression", expression: "size(running) == 0" }, ["others"]],
    [{ type: "expression", expression: "actor.kind == 'human'" }, []],
    [budget, ["change"]],
    [{ type: "minimumSample", minSubjects: 1 }, []],
  ] as const satisfies readonly (readonly [PolicyInput, readonly string[]])[])("%o: %j", async (input, wanted) => {
    const { calls } = await gather([v.parse(PolicySchema, input)], { budget: yes });
    expect(calls).toEqual(wanted);
  });

  test("that cannot be known is not available, with the reason, and nobody is alarmed", async () => {
    const reported: unknown[] = [];
    const evidence = await gatherEvidence({
      ref,
      applicable: applicable(
        { gates: [], policies: [v.parse(PolicySchema, { type: "sampleRatio" })] },
        "transition",
        "Approved",
        "Running",
      ),
      change: () => {
        throw new Error("not to be called");
      },
      customPolicies: {},
      store: memoryStore(),
      telemetry: { read: async () => ({ missing: "subjects are hidden" }) },
      now: startOfTime,
      report: (error) => reported.push(error),
    });
    expect(evidence.telemetry).toMatchObject({ status: "unavailable", reason: "subjects are hidden" });
    expect(reported).toEqual([]);
  });

  test("and nothing where nothing is asked", async () => {
    const none = () => Promise.reject(new Error("not to be called"));
    const evidence = await gatherEvidence({
      ref,
      applicable: null,
      change: () => {
        throw new Error("not to be called");
      },
      customPolicies: { budget: yes },
      store: { ...memoryStore(), list: none },
      telemetry: { read: none },
      now: startOfTime,
      report: () => undefined,
    });
    expect(evidence).toMatchObject({ telemetry: { status: "unavailable" }, others: [], custom: {} });
  });
});

describe("a policy of the host", () => {
  test("is asked before the decision, with the change and its parameters", async () => {
    const seen: CustomPolicyContext[] = [];
    const asked: CustomPolicy = {
      version: "7",
      judge: async (given) => {
        seen.push(given);
        return {
          compliant: false,
          reason: "over budget",
          evidence: { spent: { source: "ledger", at: "now", value: 3 } },
        };
      },
    };
    const { results } = await gather([{ ...budget, name: "spending", severity: "Error", parameters: { most: 2 } }], {
      budget: asked,
    });
    expect(seen).toMatchObject([{ ref, parameters: { most: 2 }, now: startOfTime, change: { to: "Running" } }]);
    expect(results).toEqual([
      {
        policy: "spending",
        severity: "Error",
        compliant: false,
        reason: "over budget",
        evidence: { spent: { source: "ledger", at: "now", value: 3 } },
      },
    ]);
  });

  test("may hold", async () => {
    const { results } = await gather([budget], {
      budget: { version: "1", judge: () => ({ compliant: null, reason: "ask later", evidence: {} }) },
    });
    expect(results).toMatchObject([{ compliant: null, reason: "ask later", severity: "Critical" }]);
  });

  test.each<[string, CustomPolicies, string]>([
    [
      "that throws",
      {
        budget: {
          version: "1",
          judge: () => {
            throw new Error("hidden-words");
          },
        },
      },
      "it threw",
    ],
    ["that rejects", { budget: { version: "1", judge: () => Promise.reject(new Error("hidden-words")) } }, "it threw"],
    ["that never answers", { budget: { version: "1", judge: () => new Promise(() => {}) } }, "no answer within 20 ms"],
    ["that is not there", {}, "no policy is registered as budget"],
    ["of another version", { budget: { ...yes, version: "2" } }, "registered in another version than 1"],
    ["that says nothing", { budget: returning(() => undefined) }, "no verdict"],
    [
      "that says yes in words",
      { budget: returning(() => ({ compliant: "true", reason: "", evidence: {} })) },
      "no verdict",
    ],
    [
      "with a reason without end",
      { budget: returning(() => ({ compliant: true, reason: "x".repeat(5_000), evidence: {} })) },
      "no verdict",
    ],
    [
      "with text no store keeps",
      { budget: returning(() => ({ compliant: true, reason: "\u0000", evidence: {} })) },
      "no verdict",
    ],
    [
      "with evidence that is none",
      {
        budget: returning(() => ({ compliant: true, reason: "", evidence: { a: { source: "", at: "", value: {} } } })),
      },
      "no verdict",
    ],
  ])("%s is a Critical violation, and its words stay out of the record", async (_, customPolicies, reason) => {
    const { results, evidence, reported } = await gather(
      [{ ...budget, version: "1", severity: "Warning", timeLimit: "20ms" }],
      customPolicies,
    );
    expect(results).toMatchObject([{ compliant: false, severity: "Critical", evidence: {} }]);
    expect(results[0]?.reason).toContain(`the policy failed: `);
    expect(results[0]?.reason).toContain(reason);
    expect(JSON.stringify([results, evidence])).not.toContain("hidden-words");
    expect(reported).toHaveLength(reason === "it threw" ? 1 : 0);
  });

  test("is told when nobody waits any longer", async () => {
    let signal: AbortSignal | undefined;
    await gather([{ ...budget, timeLimit: "5ms" }], {
      budget: {
        version: "1",
        judge: (given) => {
          signal = given.signal;
          return new Promise(() => {});
        },
      },
    });
    expect(signal?.aborted).toBe(true);
  });

  test.each(["constructor", "toString", "hasOwnProperty"])("cannot be found on a prototype: %s", async (name) => {
    const { results } = await gather([{ ...budget, function: name, name }], { budget: yes });
    expect(results).toMatchObject([{ compliant: false, severity: "Critical" }]);
  });

  test("that was not asked is a violation", () => {
    expect(judgePolicy(policy(budget), context())).toMatchObject({
      compliant: false,
      reason: "the policy failed: it was not asked",
    });
  });
});

describe("when the parts are put together", () => {
  const policies = [
    policy({ type: "sampleRatio" }),
    policy(budget),
    policy({ ...budget, name: "pinned", version: "1" }),
    policy({ ...budget, name: "elsewhere", function: "other" }),
  ];

  test("a function that is not registered, or in another version, is found", () => {
    expect(unregisteredPolicies(policies, { budget: yes, other: yes })).toEqual([]);
    expect(unregisteredPolicies(policies, { budget: { ...yes, version: "2" } })).toEqual([
      { policy: "pinned", function: "budget", problem: "budget is registered in another version than 1" },
      { policy: "elsewhere", function: "other", problem: "no policy is registered as other" },
    ]);
  });

  test("the registered version becomes part of what is approved", () => {
    const digest = (version: string) =>
      applicable(
        { gates: [], policies: withRegisteredVersions([policy(budget)], { budget: { ...yes, version } }) },
        "transition",
        "Approved",
        "Running",
      ).digest;
    expect(digest("1")).not.toBe(digest("2"));
    expect(withRegisteredVersions(policies, { budget: yes })).toMatchObject([
      { type: "sampleRatio" },
      { version: "1" },
      { version: "1" },
      { function: "other" },
    ]);
  });
});
