/** Recorded decisions under other rules. */
import { describe, expect, test } from "vitest";
import { memoryStore } from "../../adapters/store/memory.ts";
import { backtest, type BacktestedDecision } from "../../src/governance/backtest.ts";
import { exportExperiment } from "../../src/governance/export/export.ts";
import type { Flaw } from "../../src/governance/export/reader.ts";
import { createGovernance, type GovernanceOptions } from "../../src/governance/governance.ts";
import type { PolicyInput } from "../../src/governance/policies/schema.ts";
import type { GovernanceStore } from "../../src/governance/store.ts";
import { approver, author, collect, lived, outsider, variants } from "../support/lived.ts";
import { policySetOf, type World } from "../support/scenario.ts";

const ref = { tenant: "default", environment: "default", experiment: "checkout" };

/** The rules that `lived` was under. */
const asLived: World = {
  gates: [
    { type: "manual", from: "PendingApproval", to: "Approved" },
    { type: "roleBased", to: "Running", allowedRoles: ["operator"] },
  ],
  policies: [{ type: "trafficLimit", maxTrafficPercentage: 50 }],
};

const linesOf = async (store: GovernanceStore): Promise<readonly string[]> =>
  (await collect(exportExperiment(store, ref))).map((line) => line.slice(0, -1));

const tried = async (store: GovernanceStore, world: World): Promise<readonly BacktestedDecision[]> => {
  const flaws: Flaw[] = [];
  const found = await collect(backtest(policySetOf(world), await linesOf(store), (flaw) => flaws.push(flaw)));
  expect(flaws).toEqual([]);
  return found;
};

const differing = (decisions: readonly BacktestedDecision[]): readonly string[] =>
  decisions
    .filter(({ differs }) => differs)
    .map(
      ({ change, attempt, was, would }) =>
        `${attempt} ${change.kind} ${change.from}→${change.to} v${change.version}: ${was.fall}→${would.fall}: ${would.reasons.join("; ")}`,
    );

describe("under the rules that were in force", () => {
  test("every decision falls as it fell, refusals too", async () => {
    const { store } = await lived({ rounds: 2 });
    const decisions = await tried(store, asLived);
    expect(decisions.length).toBeGreaterThan(12);
    expect(decisions.filter(({ differs }) => differs)).toEqual([]);
    expect(new Set(decisions.map(({ was, would }) => `${was.fall} ${would.fall}`))).toEqual(
      new Set(["made made", "refused refused"]),
    );
    expect(new Set(decisions.map(({ was }) => was.code))).toEqual(new Set([null, "gate-rejected", "policy-violation"]));
  });
});

describe("under other rules", () => {
  test("a lower limit would have refused what was made, and says why", async () => {
    const { store } = await lived();
    const found = differing(
      await tried(store, { ...asLived, policies: [{ type: "trafficLimit", maxTrafficPercentage: 20 }] }),
    );
    expect(found.length).toBeGreaterThan(1);
    expect(found[0]).toMatch(/^make transition Approved→Running v1: made→refused: trafficLimit: .*25/);
  });

  test("a higher limit would have made what was refused", async () => {
    const { store } = await lived();
    const found = differing(await tried(store, { ...asLived, policies: [] }));
    expect(found).toEqual([expect.stringMatching(/^make publish Running→Running v3: refused→made: $/) as unknown]);
  });

  test("a quorum would have held what one person approved; the approvals that were given count", async () => {
    const { store } = await lived();
    const quorum = (count: number): World => ({
      ...asLived,
      gates: [{ type: "quorum", from: "PendingApproval", to: "Approved", count }],
    });
    expect(differing(await tried(store, quorum(1))).filter((line) => line.includes("→Approved"))).toEqual([]);
    const found = differing(await tried(store, quorum(2)));
    expect(found[0]).toMatch(/^make transition PendingApproval→Approved v1: made→held: quorum: 1 of 2 approvals by /);
  });

  test("a gate that asks for another role would have refused the asker", async () => {
    const { store } = await lived();
    const found = differing(
      await tried(store, { ...asLived, gates: [{ type: "roleBased", to: "Running", allowedRoles: ["marketing"] }] }),
    );
    expect(found).toContain("make transition Approved→Running v1: made→refused: roleBased: one of the roles marketing");
  });

  test("brakes are judged by nothing", async () => {
    const { store } = await lived();
    const none: World = {
      gates: [{ type: "roleBased", to: "Running", allowedRoles: ["nobody"] }],
      policies: [{ type: "trafficLimit", maxTrafficPercentage: 0 }],
    };
    const paused = (await tried(store, none)).filter(({ change }) => change.to === "Paused");
    expect(paused.length).toBeGreaterThan(0);
    expect(paused.every(({ differs, would }) => !differs && would.fall === "made")).toBe(true);
  });
});

describe("evidence", () => {
  const world = async (options: Partial<GovernanceOptions>, errorRate = 0) => {
    const store = memoryStore();
    const governance = createGovernance({
      store,
      now: () => Date.parse("2026-11-21T12:00:00Z"),
      telemetry: {
        read: () =>
          Promise.resolve({
            exposed: 500,
            worstErrorRate: errorRate,
            worstVariant: "treatment",
            subjects: {},
            sampleRatio: null,
          }),
      },
      ...options,
    });
    await governance.define(ref, { variants }, author);
    for (const to of ["PendingApproval", "Approved", "Running"] as const)
      await governance.transition(ref, to, {}, author);
    return store;
  };
  const start = (decisions: readonly BacktestedDecision[]) => decisions.find(({ change }) => change.to === "Running");

  test("that was recorded is judged again", async () => {
    const store = await world({ policies: [{ type: "errorRate", maxErrorRate: 0.5 }] }, 0.2);
    expect(start(await tried(store, { policies: [{ type: "errorRate", maxErrorRate: 0.3 }] }))?.would.fall).toBe(
      "made",
    );
    const strict = start(await tried(store, { policies: [{ type: "errorRate", maxErrorRate: 0.1 }] }));
    expect(strict).toMatchObject({ differs: true, would: { fall: "refused" } });
    expect(strict?.would.reasons[0]).toContain("errorRate");
  });

  test("that was not recorded is not made up", async () => {
    const store = await world({});
    for (const [policy, words] of [
      [{ type: "errorRate", maxErrorRate: 0.1 }, "figures of the ledger"],
      [{ type: "conflictPrevention", conflictingExperiments: ["cart"] }, "other experiments"],
      [{ type: "custom", function: "freeze", name: "freeze" }, "the host's function"],
    ] satisfies readonly [PolicyInput, string][]) {
      const found = start(await tried(store, { policies: [policy] }));
      expect(found).toMatchObject({ differs: false, would: { fall: "cannot tell" } });
      expect(found?.would.reasons.join()).toContain(words);
    }
    const gate = start(await tried(store, { gates: [{ type: "custom", to: "Running", gate: "board" }] }));
    expect(gate).toMatchObject({ would: { fall: "cannot tell" } });
    // What is refused anyway is refused, whatever was not recorded.
    const both = start(
      await tried(store, {
        policies: [
          { type: "errorRate", maxErrorRate: 0.1 },
          { type: "trafficLimit", maxTrafficPercentage: 1 },
        ],
      }),
    );
    expect(both).toMatchObject({ differs: true, would: { fall: "refused" } });
    // A warning blocks nothing, so it need not be known.
    const warning = start(
      await tried(store, { policies: [{ type: "errorRate", maxErrorRate: 0.1, severity: "Warning" }] }),
    );
    expect(warning).toMatchObject({ would: { fall: "made" } });
  });

  test("of nothing is evidence: no other experiment was there", async () => {
    const store = await world({ policies: [{ type: "conflictPrevention", conflictingExperiments: ["cart"] }] });
    const found = start(
      await tried(store, { policies: [{ type: "conflictPrevention", conflictingExperiments: ["home"] }] }),
    );
    expect(found).toMatchObject({ differs: false, would: { fall: "made" } });
  });

  test("of the host's own functions counts as it was said", async () => {
    const store = await world({
      gates: [{ type: "custom", to: "Running", gate: "board" }],
      customGates: { board: { version: "1", judge: () => Promise.resolve({ satisfied: true }) } },
      policies: [{ type: "custom", function: "freeze", name: "freeze" }],
      customPolicies: {
        freeze: { version: "1", judge: () => ({ compliant: true, reason: "no freeze", evidence: {} }) },
      },
    });
    const found = start(
      await tried(store, {
        gates: [{ type: "custom", to: "Running", gate: "board", version: "2" }],
        policies: [{ type: "custom", function: "freeze", name: "freeze", version: "2" }],
      }),
    );
    expect(found).toMatchObject({ was: { fall: "made" }, would: { fall: "made" } });
  });
});

test("an approval that was refused is tried again as well", async () => {
  const store = memoryStore();
  const gates = [{ type: "manual" as const, from: "PendingApproval" as const, to: "Approved" as const }];
  const governance = createGovernance({ store, gates });
  await governance.define(ref, { variants }, author);
  await governance.submit(ref, {}, author);
  const [open] = (await store.load(ref))?.snapshot.state.proposals ?? [];
  const changeDigest = open?.changeDigest ?? "";
  await governance.approve(ref, { changeDigest }, outsider);
  await governance.approve(ref, { changeDigest }, { actor: { ...author.actor, roles: ["approver"] } });
  await governance.approve(ref, { changeDigest }, approver);
  const own = await tried(store, { gates: [{ ...gates[0], type: "manual", to: "Approved", fourEyes: false }] });
  const approvals = own.filter(({ attempt }) => attempt === "approve");
  expect(approvals.map(({ would }) => would.fall)).toEqual(["refused", "made"]);
  const marketing = await tried(store, {
    gates: [{ type: "manual", from: "PendingApproval", to: "Approved", roles: ["marketing"] }],
  });
  expect(marketing.filter(({ attempt }) => attempt === "approve").map(({ would }) => would.fall)).toEqual([
    "made",
    "refused",
  ]);
});

test("a file that is not as it was written ends the reading, with its place", async () => {
  const { store } = await lived();
  const lines = await linesOf(store);
  const flaws: Flaw[] = [];
  const cut = await collect(backtest(policySetOf(asLived), lines.slice(0, -4), (flaw) => flaws.push(flaw)));
  expect(cut.length).toBeGreaterThan(3);
  expect(flaws).toMatchObject([{ line: lines.length - 3 }]);
});
