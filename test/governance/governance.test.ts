/** Governance in one's own process: every command as a method, and what the clock does when it is asked. */
import { describe, expect, test } from "vitest";
import { memoryStore } from "../../adapters/store/memory.ts";
import type { Actor } from "../../src/governance/actor.ts";
import type { GuardrailReading } from "../../src/governance/guardrails.ts";
import { type By, createGovernance, type GovernanceOptions } from "../../src/governance/governance.ts";
import type { CommandAnswer } from "../../src/governance/governor.ts";
import { startOfTime } from "../support/scenario.ts";

const minute = 60_000;
const by = (id: string, ...roles: readonly string[]): By => {
  const actor: Actor = { id, kind: "human", roles };
  return { actor };
};
const author = by("author@example.com", "editor", "operator");
const approver = by("approver@example.com", "approver");

const variants = [{ key: "control", control: true }, { key: "treatment" }];
const codeOf = (answer: CommandAnswer): string => (answer.ok ? answer.outcome : answer.code);

const ref = { tenant: "default", environment: "default", experiment: "checkout" };

const setUp = (options: Partial<GovernanceOptions> = {}) => {
  let time = startOfTime;
  const store = memoryStore();
  const governance = createGovernance({ store, now: () => time, ...options });
  return { store, governance, wait: (ms: number) => void (time += ms) };
};

type World = ReturnType<typeof setUp>;

const running = async (world: World, more: Record<string, unknown> = {}): Promise<World> => {
  await world.governance.define("checkout", { variants, ...more }, author);
  await world.governance.submit("checkout", {}, author);
  await world.governance.transition("checkout", "Approved", {}, author);
  await world.governance.transition("checkout", more["ramp"] === undefined ? "Running" : "Ramping", {}, author);
  return world;
};

const stateOf = async ({ governance }: World): Promise<Readonly<Record<string, unknown>> | null> =>
  governance.get("checkout", approver);

describe("commands", () => {
  test("from a draft to a conclusion", async () => {
    const { governance, store } = setUp({ gates: [{ type: "manual", from: "PendingApproval", to: "Approved" }] });
    await governance.define("checkout", { variants }, author, "the first");
    expect(codeOf(await governance.define("checkout", { variants }, author))).toBe("experiment-exists");
    const submitted = await governance.submit("checkout", { reason: "please" }, author);
    const proposal = submitted.ok ? submitted.body["proposal"] : null;
    expect(proposal).toMatchObject({ kind: "transition", targetState: "Approved" });
    const [open] =
      (await store.load({ tenant: "default", environment: "default", experiment: "checkout" }))?.snapshot.state
        .proposals ?? [];
    const { changeDigest = "", id = "" } = open ?? {};
    expect(codeOf(await governance.comment("checkout", id, "looks good", approver))).toBe("created");
    expect(await governance.get("checkout", author)).toMatchObject({
      proposals: [{ comments: [{ actor: "approver@example.com", text: "looks good" }] }],
    });
    expect(codeOf(await governance.approve("checkout", { changeDigest }, author))).toBe("gate-rejected");
    await governance.approve("checkout", { changeDigest }, approver);
    await governance.transition("checkout", "Approved", {}, author);
    await governance.transition("checkout", "Running", {}, author);
    await governance.revise("checkout", { variants, traffic: 50 }, author);
    expect(codeOf(await governance.publish("checkout", 2, {}, author))).toBe("held");
    expect(codeOf(await governance.rollBack("checkout", { targetVersion: 1 }, author))).toBe("created");
    expect(await governance.get("checkout", author)).toMatchObject({ state: "Running", liveVersion: 3, traffic: 100 });
    await governance.kill("checkout", author, { variant: "treatment" });
    await governance.pause("checkout", author);
    await governance.conclude("checkout", { outcome: "revert", reason: "no effect" }, author);
    expect(await governance.get("checkout", author)).toMatchObject({
      state: "Archived",
      conclusion: { outcome: "revert" },
    });
    expect(await governance.verify("checkout")).toMatchObject({ valid: true });
  });

  test("a version goes to another environment with its provenance, and no approval", async () => {
    const world = await running(setUp());
    const target = { experiment: "checkout", environment: "production" };
    expect(codeOf(await world.governance.promote("checkout", 1, "production", author))).toBe("created");
    const there = await world.governance.get(target, author);
    const here = await stateOf(world);
    expect(there).toMatchObject({ state: "Draft", digest: here?.["digest"], liveVersion: null });
    const { events } = await world.governance.history(target, { types: ["VersionWritten"] });
    expect(events[0]?.data).toMatchObject({ provenance: { kind: "promotion", environment: "default", version: 1 } });
    const digestThere = there?.["digest"];
    expect(digestThere).toBe(here?.["digest"]);
    await expect(world.governance.promote("checkout", 9, "production", author)).rejects.toMatchObject({
      code: "version-not-found",
    });
    await expect(world.governance.promote("checkout", 1, "default", author)).rejects.toMatchObject({
      code: "invalid-request",
    });
  });

  test("whoever wrote content stays out of its approval where somebody else carries it", async () => {
    const world = setUp({ gates: [{ type: "manual", from: "PendingApproval", to: "Approved" }] });
    const { governance } = world;
    const carrier = by("carrier@example.com", "editor", "operator");
    const target = { experiment: "checkout", environment: "production" };
    const production = (who: By) => ({ ...who, actor: { ...who.actor, roles: ["approver", "editor", "operator"] } });
    await governance.define(target, { variants, traffic: 5 }, author);
    await governance.define("checkout", { variants }, author);
    await governance.revise("checkout", { variants }, approver);
    for (const version of [1, 2])
      expect(codeOf(await governance.promote("checkout", version, "production", carrier))).toBe("created");
    const submitted = await governance.submit(target, {}, carrier);
    expect(codeOf(submitted)).toBe("done");
    const loaded = await world.store.load({ tenant: "default", ...target });
    const changeDigest = loaded?.snapshot.state.proposals[0]?.changeDigest ?? "";
    for (const who of [author, approver, carrier])
      expect(codeOf(await governance.approve(target, { changeDigest }, production(who)))).toBe("gate-rejected");
    const third = production(by("third@example.com"));
    expect(codeOf(await governance.approve(target, { changeDigest }, third))).toBe("created");
    expect(await governance.verify(target)).toMatchObject({ valid: true });
  });

  test("a move is proposed, looked at, taken back by its proposer, and proposed anew without what was said", async () => {
    const world = await running(setUp());
    const { governance } = world;
    const open = async () => (await world.store.load(ref))?.snapshot.state.proposals ?? [];
    const proposed = await governance.propose("checkout", "Paused", { reason: "when you agree" }, author);
    expect(codeOf(proposed)).toBe("held");
    expect(await stateOf(world)).toMatchObject({ state: "Running", proposals: [{ targetState: "Paused" }] });
    expect(codeOf(await governance.propose("checkout", "Paused", {}, author))).toBe("held");
    const [first, ...others] = await open();
    expect(others).toEqual([]);
    const { id = "", changeDigest = "" } = first ?? {};
    expect(codeOf(await governance.approve("checkout", { changeDigest }, approver))).toBe("created");
    expect(codeOf(await governance.withdrawProposal("checkout", id, approver))).toBe("gate-rejected");
    expect(codeOf(await governance.withdrawProposal("checkout", "none", author))).toBe("proposal-not-found");
    expect(codeOf(await governance.withdrawProposal("checkout", id, author))).toBe("done");
    expect(codeOf(await governance.withdrawProposal("checkout", id, author))).toBe("proposal-not-found");
    await governance.propose("checkout", "Paused", {}, author);
    expect(await open()).toMatchObject([{ changeDigest, approvals: [] }]);
    expect((await open())[0]?.id).not.toBe(id);
    expect(codeOf(await governance.propose("checkout", "Draft", {}, author))).toBe("invalid-transition");
  });

  test("a ramp that is aborted pauses, forgets its step, and is done only once", async () => {
    const steps = [{ traffic: 5, hold: "30m" }, { traffic: 50 }];
    const world = await running(setUp(), { ramp: { steps } });
    const { governance } = world;
    await governance.ramp.advance("checkout", author);
    expect(await stateOf(world)).toMatchObject({ state: "Ramping", ramp: { step: 1 } });
    expect(codeOf(await governance.ramp.abort("checkout", author, "slow"))).toBe("done");
    expect(await stateOf(world)).toMatchObject({ state: "Paused", ramp: null, traffic: 0 });
    expect(codeOf(await governance.ramp.abort("checkout", author))).toBe("invalid-transition");
    world.wait(60 * minute);
    expect(await governance.tick()).toBeNull();
    await governance.ramp.start("checkout", {}, author);
    expect(await stateOf(world)).toMatchObject({ state: "Ramping", ramp: { step: 0 }, traffic: 5 });
  });

  test("an end without a winner is inconclusive, said or not", async () => {
    for (const end of [{ outcome: "inconclusive" } as const, null]) {
      const world = await running(setUp());
      const { governance } = world;
      const wrong = await governance.conclude("checkout", { outcome: "inconclusive", variant: "treatment" }, author);
      expect(codeOf(wrong)).toBe("invalid-request");
      const asked =
        end === null ? governance.archive("checkout", {}, author) : governance.conclude("checkout", end, author);
      expect(codeOf(await asked)).toBe("done");
      expect(await stateOf(world)).toMatchObject({ state: "Archived", conclusion: { outcome: "inconclusive" } });
    }
  });

  test("breaking the glass takes its role", async () => {
    const { governance } = setUp({
      gates: [{ type: "manual", to: "PendingApproval" }],
      breakGlass: { roles: ["admin"] },
    });
    await governance.define("checkout", { variants }, author);
    const change = { to: "PendingApproval", reason: "an emergency" } as const;
    expect(codeOf(await governance.breakGlass("checkout", change, author))).toBe("gate-rejected");
    expect(codeOf(await governance.breakGlass("checkout", change, by("admin@example.com", "admin")))).toBe("done");
  });

  test("breaking the glass publishes past gates and policies, for this version and no other", async () => {
    const world = await running(
      setUp({
        gates: [{ type: "manual", on: "publish" }],
        policies: [{ type: "trafficLimit", maxTrafficPercentage: 10, on: ["publish"] }],
        breakGlass: { roles: ["admin"] },
      }),
    );
    const { governance } = world;
    const admin = by("admin@example.com", "admin");
    await governance.revise("checkout", { variants, traffic: 50 }, author);
    await governance.publish("checkout", 2, {}, author);
    const glass = (publish: number, who: By) => governance.breakGlass("checkout", { publish, reason: "urgent" }, who);
    expect(codeOf(await glass(2, author))).toBe("gate-rejected");
    expect(codeOf(await glass(9, admin))).toBe("version-not-found");
    for (const reason of ["", " \t\u00a0"])
      expect(codeOf(await governance.breakGlass("checkout", { publish: 2, reason }, admin))).toBe("invalid-request");
    expect(codeOf(await glass(2, admin))).toBe("done");
    expect(await stateOf(world)).toMatchObject({ liveVersion: 2, traffic: 50, proposals: [] });
    const { events } = await governance.history("checkout", { types: ["Published"] });
    expect(events.map(({ data }) => data)).toMatchObject([{ breakGlass: true, policies: [{ compliant: false }] }]);
    await governance.revise("checkout", { variants, traffic: 60 }, author);
    expect(codeOf(await governance.publish("checkout", 3, {}, author))).toBe("held");
  });

  test("rules that are not valid, and input that is not, say where", async () => {
    expect(() => setUp({ gates: [{ type: "manual", to: "Paused" }] })).toThrow(/approvalGates\/0\/to/);
    const { governance } = setUp();
    expect(() => governance.define("a/b", { variants }, author)).toThrow(/experiment/);
    expect(() => governance.define("a", { variants: [] }, author)).toThrow(/variants/);
  });
});

describe("gates of the host", () => {
  const gate = { type: "custom", gate: "change-freeze", to: "PendingApproval", timeLimit: "50ms" } as const;
  const answer = async (judge: () => { satisfied: boolean } | Promise<{ satisfied: boolean }>, version?: string) => {
    const { governance } = setUp({
      gates: [{ ...gate, ...(version === undefined ? {} : { version }) }],
      customGates: { "change-freeze": { version: "2", judge } },
    });
    await governance.define("checkout", { variants }, author);
    return codeOf(await governance.submit("checkout", {}, author));
  };

  test("agree, disagree, throw, and take too long", async () => {
    expect(await answer(() => ({ satisfied: true }))).toBe("done");
    expect(await answer(() => ({ satisfied: false }))).toBe("held");
    expect(await answer(() => Promise.reject(new Error("secret")))).toBe("gate-rejected");
    expect(await answer(() => new Promise(() => undefined))).toBe("gate-rejected");
    expect(await answer(() => ({ satisfied: true }), "1")).toBe("gate-rejected");
  });

  test("one function asked twice with other parameters agrees when both do, whichever is asked last", async () => {
    for (const order of [
      ["eu", "us"],
      ["us", "eu"],
    ]) {
      const { governance } = setUp({
        gates: order.map((region) => ({ ...gate, parameters: { region } })),
        customGates: {
          "change-freeze": { judge: (_context, { region }) => ({ satisfied: region === "us", missing: "frozen" }) },
        },
      });
      await governance.define("checkout", { variants }, author);
      expect([order, codeOf(await governance.submit("checkout", {}, author))]).toEqual([order, "held"]);
    }
  });

  test("one that is not registered is an error of the rules, with its place", () => {
    expect(() => setUp({ gates: [{ ...gate, gate: "toString" }] })).toThrow(
      "/governance/approvalGates/0/gate gate toString: no gate toString is registered",
    );
    expect(() => setUp({ policies: [{ type: "sampleRatio" }, { type: "custom", function: "toString" }] })).toThrow(
      "/governance/policies/1/function policy custom: no policy is registered as toString",
    );
  });

  test("what was approved is bound to the version of the code", () => {
    const bound = setUp({
      gates: [gate],
      customGates: { "change-freeze": { version: "2", judge: () => ({ satisfied: true }) } },
    });
    expect(bound.governance.policySet.gates[0]).toMatchObject({ version: "2" });
  });
});

describe("the clock", () => {
  const ramp = {
    steps: [
      { traffic: 5, hold: "30m" },
      { traffic: 50, hold: "30m" },
    ],
  };

  test("takes a ramp to its end, whenever it is asked", async () => {
    const world = await running(setUp(), { ramp });
    expect(await world.governance.tick()).toBe(startOfTime + 30 * minute);
    world.wait(31 * minute);
    expect(await world.governance.tick()).toBe(startOfTime + 61 * minute);
    expect(await stateOf(world)).toMatchObject({ traffic: 50, ramp: { step: 1 } });
    expect(await world.governance.tick()).toBe(startOfTime + 61 * minute);
    world.wait(30 * minute);
    expect(await world.governance.tick()).toBeNull();
    expect(await stateOf(world)).toMatchObject({ state: "Running", ramp: null, traffic: 100 });
  });

  test("starts and stops what was scheduled, decided by then, and says what it refused", async () => {
    const world = setUp({
      policies: [{ type: "timeWindow", allowedStartTime: "12:00", allowedEndTime: "13:00", to: ["Running"] }],
    });
    await world.governance.define("checkout", { variants }, author);
    await world.governance.submit("checkout", {}, author);
    await world.governance.transition("checkout", "Approved", {}, author);
    const at = (ms: number): string => new Date(startOfTime + ms).toISOString();
    await world.governance.schedule(
      "checkout",
      [
        { at: at(30 * minute), to: "Running" },
        { at: at(40 * minute), to: "Paused" },
        { at: at(90 * minute), to: "Running" },
      ],
      author,
    );
    for (const wait of [30, 10, 50]) {
      world.wait(wait * minute);
      await world.governance.tick();
    }
    expect(await stateOf(world)).toMatchObject({ state: "Paused", schedule: null });
    const { events } = await world.governance.history("checkout", { types: ["ScheduleFired"] });
    expect(events.map(({ data }) => data)).toMatchObject([
      { end: "done" },
      { end: "done" },
      { end: "refused", code: "policy-violation" },
    ]);
  });

  test("two that look at one moment do it once", async () => {
    const world = await running(setUp(), { ramp });
    world.wait(31 * minute);
    await Promise.all([world.governance.tick(), world.governance.tick()]);
    const { events } = await world.governance.history("checkout", { types: ["RampAdvanced"] });
    expect(events).toHaveLength(1);
  });

  test("guardrails pull the brake in the name of system:guardrail, once", async () => {
    const reading: GuardrailReading = {
      guardrail: "error maximumIncrease 0.01",
      metric: "error",
      verdict: "violated",
      action: "rollBack",
      variant: "treatment",
      why: "above 0.01",
      figures: { limit: 0.02 },
    };
    const asked: string[] = [];
    const world = await running(
      setUp({
        telemetry: {
          read: () => Promise.reject(new Error("unused")),
          guardrails: (_ref, state) => {
            asked.push(state.lifecycle);
            return Promise.resolve([{ ...reading, metric: "latency", verdict: "safe", action: "none" }, reading]);
          },
        },
      }),
      {
        guardrails: [
          { metric: "error", maximumIncrease: 0.01 },
          { metric: "latency", kind: "continuous", maximum: 3, cap: 60 },
        ],
      },
    );
    await world.governance.tick();
    await world.governance.tick();
    expect(asked).toEqual(["Running"]);
    expect(await stateOf(world)).toMatchObject({ state: "RolledBack", updatedBy: "system:guardrail" });
    const { events } = await world.governance.history("checkout", { types: ["Transitioned"] });
    expect(events.at(-1)?.data).toMatchObject({ to: "RolledBack", guardrail: { metric: "error", why: "above 0.01" } });
  });

  test("a ledger that does not answer brakes nothing, and is asked again", async () => {
    const reported: unknown[] = [];
    const world = await running(
      setUp({
        report: (error) => void reported.push(error),
        telemetry: {
          read: () => Promise.reject(new Error("away")),
          guardrails: () => Promise.reject(new Error("away")),
        },
      }),
      { guardrails: [{ metric: "error", maximum: 0.01 }] },
    );
    expect(await world.governance.tick()).toBe(startOfTime + minute);
    expect(await stateOf(world)).toMatchObject({ state: "Running" });
    expect(reported).toHaveLength(1);
  });
});
