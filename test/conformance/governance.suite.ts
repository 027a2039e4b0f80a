/**
 * The twenty that must hold, against the HTTP API, on each store there is. A store's test gives it a way to make one:
 * `describeGovernance("d1", makeStore)`. `stores-complete.test.ts` fails for an adapter without that call.
 */
import { describe, expect, test } from "vitest";
import { canonicalJson } from "../../src/canonical.ts";
import { verifyChain } from "../../src/governance/chain.ts";
import { replay } from "../../src/governance/evolve.ts";
import type { GateInput } from "../../src/governance/gates/schema.ts";
import type { PolicyInput } from "../../src/governance/policies/schema.ts";
import type { GovernanceStore } from "../../src/governance/store.ts";
import { freshScope } from "../support/governance.ts";
import {
  governedWorld,
  type GovernedWorld,
  type Process,
  type ProcessOptions,
  proposalsIn,
  type Reply,
} from "../support/governed-world.ts";

const review = { type: "manual", from: "PendingApproval", to: "Approved" } as const;
const reviewed: ProcessOptions = { gates: [review] };
const minute = 60_000;

const said = ({ status, code }: Reply): unknown => [status, code];

/**
 * A loop that only asks an engine inside its own workerd (D1, a Durable Object) keeps the runtime from ever looking at its
 * sockets and timers: its event loop turns to them when nothing else is left to do. What goes over a socket meanwhile,
 * such as a follower's commit, would never be answered.
 */
const turn = (): Promise<void> => new Promise((resolve) => void setTimeout(resolve, 0));
/** Often enough for others to go on, and seldom enough for reads to fall into the middle of a write. */
const readsBetweenTurns = 10;

/** A promise and the way to let it go. */
const latch = () => Promise.withResolvers<void>();

/** The first commit that `wanted` picks is met by `meet`; everything else passes. */
const atCommit =
  (meet: (commit: () => ReturnType<GovernanceStore["commit"]>) => ReturnType<GovernanceStore["commit"]>, skip = 0) =>
  (store: GovernanceStore): GovernanceStore => {
    let seen = 0;
    return {
      ...store,
      commit: (ref, commit) => {
        seen += 1;
        return seen === skip + 1 ? meet(() => store.commit(ref, commit)) : store.commit(ref, commit);
      },
    };
  };

const approved = async (
  world: GovernedWorld,
  process: Process,
  changes: Record<string, unknown> = {},
): Promise<void> => {
  expect((await process.author.write(changes)).status).toBe(201);
  expect((await process.author.move("PendingApproval")).status).toBe(200);
  if (proposalsIn(await process.author.get("/proposals")).length > 0) await process.approver.approve();
  expect(said(await process.author.move("Approved"))).toEqual([200, null]);
  expect((await world.typesOf()).at(-1)).toMatch(/^(ProposalEnded|Transitioned|ScheduleSet)$/);
};

const running = async (
  world: GovernedWorld,
  process: Process,
  changes: Record<string, unknown> = {},
): Promise<void> => {
  await approved(world, process, changes);
  expect(said(await process.author.move("Running"))).toEqual([200, null]);
};

export const describeGovernance = (name: string, makeStore: () => Promise<GovernanceStore>): void => {
  describe(`governance on ${name}`, () => {
    /** Runs one case, and then looks whether every history holds together and leads to what is stored. */
    const holds = (title: string, body: (world: GovernedWorld) => Promise<void>): void =>
      test.for([title])("%s", async () => {
        const world = governedWorld(await makeStore(), freshScope());
        await body(world);
        const { items } = await world.store.list(world.ref);
        expect(items.length).toBeGreaterThan(0);
        for (const { ref, snapshot } of items) {
          const events = await world.history(ref.experiment);
          expect(verifyChain(events)).toMatchObject({ valid: true, length: events.length });
          expect(canonicalJson(replay(events))).toBe(canonicalJson(snapshot.state));
        }
      });

    holds("1: approve, edit, start: refused, and the approval is void", async (world) => {
      const process = world.start(reviewed);
      await approved(world, process);
      await process.author.write({ traffic: 50 });
      expect(said(await process.author.move("Running"))).toEqual([409, "approval-stale"]);
      expect((await world.typesOf()).at(-1)).toBe("ChangeDenied");
      const before = world.start(reviewed);
      await before.author.move("Draft");
      await before.author.move("PendingApproval");
      await before.approver.approve();
      await before.author.write({ traffic: 60 });
      expect(said(await before.author.move("Approved"))).toEqual([409, "approval-required"]);
    });

    holds("2: an approval of an older version than the present one is refused", async (world) => {
      const { author, approver } = world.start(reviewed);
      await author.write();
      await author.move("PendingApproval");
      const [seen] = proposalsIn(await approver.get("/proposals"));
      await author.write({ traffic: 50 });
      expect(said(await approver.say("approve", seen?.changeDigest ?? ""))).toEqual([409, "approval-stale"]);
      expect(await world.typesOf()).not.toContain("ApprovalGiven");
    });

    holds("3: rolling back to content that was never approved is gated like going forward", async (world) => {
      const process = world.start(reviewed);
      await running(world, process);
      await process.author.write({ traffic: 50 });
      await process.author.write({ traffic: 60 });
      expect((await process.second.post("/versions/rollback", { targetVersion: 2 })).body).toMatchObject({
        isLive: false,
      });
      expect(said(await process.second.post("/versions/4/publish"))).toEqual([409, "approval-required"]);
      expect((await process.author.get("")).body).toMatchObject({ liveVersion: 1, latestVersion: 4 });
      expect(await world.typesOf()).not.toContain("Published");
      // Its author and whoever brought it back are not a second pair of eyes.
      expect(said(await process.second.approve())).toEqual([403, "gate-rejected"]);
      expect((await process.approver.approve()).status).toBe(201);
      expect((await process.second.post("/versions/4/publish")).body).toMatchObject({ liveVersion: 4 });
    });

    holds("4: archived and created again under the name: the history is kept, and the gates apply", async (world) => {
      const process = world.start(reviewed);
      await approved(world, process);
      await process.author.move("Archived");
      const length = (await world.history()).length;
      expect((await process.author.write()).body).toMatchObject({ version: 2, state: "Draft" });
      expect((await world.typesOf()).slice(length)).toEqual(["Reopened", "VersionWritten"]);
      await process.author.move("PendingApproval");
      expect(said(await process.author.move("Approved"))).toEqual([409, "approval-required"]);
    });

    holds("5: a gate or a policy that changed after the approval voids it", async (world) => {
      await approved(world, world.start(reviewed));
      const stricter = world.start({ gates: [{ ...review, roles: ["security"] }] });
      expect(said(await stricter.author.move("Running"))).toEqual([409, "approval-stale"]);
      const watched = world.start({
        ...reviewed,
        policies: [{ type: "trafficLimit", maxTrafficPercentage: 100, to: ["Approved"] }],
      });
      expect(said(await watched.author.move("Running"))).toEqual([409, "approval-stale"]);
      expect(said(await world.start(reviewed).author.move("Running"))).toEqual([200, null]);
    });

    holds("6: a scheduled change is decided by the rules of the moment it fires", async (world) => {
      const manual: ProcessOptions = { gates: [{ type: "manual", to: "Running" }] };
      const at = (): string => new Date(world.now() + minute).toISOString();
      const free = world.start();
      await approved(world, free);
      await free.author.put("/schedule", { changes: [{ at: at(), targetState: "Running" }] });
      world.wait(2 * minute);
      await world.start(manual).governor.tick(world.ref);
      expect((await free.author.get("")).body).toMatchObject({ state: "Approved", schedule: null });
      expect((await world.history()).at(-1)?.data).toMatchObject({ end: "refused", code: "approval-required" });
      const gated = world.start(manual);
      await gated.author.put("/schedule", { changes: [{ at: at(), targetState: "Running" }] });
      world.wait(2 * minute);
      await free.governor.tick(world.ref);
      await free.governor.tick(world.ref);
      expect((await free.author.get("")).body).toMatchObject({ state: "Running", schedule: null });
      expect((await world.typesOf()).filter((type) => type === "ScheduleFired")).toHaveLength(2);
    });

    holds("7: of two transitions at once one wins, and there is one row of history", async (world) => {
      await approved(world, world.start());
      const replies = await Promise.all(["a", "b", "c", "d"].map(() => world.start().author.move("Running")));
      expect(replies.filter(({ status }) => status === 200)).toHaveLength(1);
      expect(replies.filter(({ code }) => code === "invalid-transition")).toHaveLength(3);
      const moves = (await world.history()).filter(
        ({ type, data }) => type === "Transitioned" && data.to === "Running",
      );
      expect(moves).toHaveLength(1);
    });

    holds("8: a lost race is decided anew: what passed before and fails now refuses", async (world) => {
      const limited: ProcessOptions = {
        policies: [{ type: "trafficLimit", maxTrafficPercentage: 50, to: ["PendingApproval"] }],
      };
      const other = world.start();
      await other.author.write({ traffic: 40 });
      const racing = world.start({
        ...limited,
        through: atCommit(async (commit) => {
          await other.author.write({ traffic: 90 });
          return commit();
        }),
      });
      expect(said(await racing.author.move("PendingApproval"))).toEqual([409, "policy-violation"]);
      expect(await world.typesOf()).toEqual(["Created", "VersionWritten", "VersionWritten", "ChangeDenied"]);
    });

    holds("9: a crash before or after the commit leaves history and state together: both or neither", async (world) => {
      await world.start().author.write();
      const before = world.start({ through: atCommit(() => Promise.reject(new Error("the machine is gone"))) });
      expect((await before.author.move("PendingApproval")).status).toBe(500);
      expect((await world.start().author.get("")).body).toMatchObject({ state: "Draft", revision: 1 });
      expect(await world.typesOf()).toEqual(["Created", "VersionWritten"]);
      const after = world.start({
        through: atCommit(async (commit) => {
          await commit();
          throw new Error("the machine is gone");
        }),
      });
      expect((await after.author.move("PendingApproval")).status).toBe(500);
      expect((await world.start().author.get("")).body).toMatchObject({ state: "PendingApproval", revision: 2 });
      expect((await world.typesOf()).slice(2)).toEqual(["Transitioned", "ProposalOpened"]);
    });

    holds("10: a retry after a lost answer gets the same answer, and adds no event", async (world) => {
      await world.start().author.write();
      const key = { "idempotency-key": "attempt-1" };
      const losing = world.start({
        through: atCommit(async (commit) => {
          await commit();
          throw new Error("the connection is gone");
        }),
      });
      expect((await losing.author.move("PendingApproval", {}, key)).status).toBe(500);
      const length = (await world.history()).length;
      const first = await world.start().author.move("PendingApproval", {}, key);
      const again = await losing.author.move("PendingApproval", {}, { ...key, "if-match": '"0-stale"' });
      expect(first.status).toBe(200);
      expect(again).toEqual(first);
      expect(await world.history()).toHaveLength(length);
    });

    holds("11: the same key for another request is 422, and 409 while the first still runs", async (world) => {
      const process = world.start();
      await process.author.write();
      const key = { "idempotency-key": "attempt-1" };
      expect((await process.author.move("PendingApproval", {}, key)).status).toBe(200);
      expect(said(await process.author.move("Draft", {}, key))).toEqual([422, "idempotency-key-reused"]);
      expect(said(await process.author.move("PendingApproval", { reason: "another" }, key))).toEqual([
        422,
        "idempotency-key-reused",
      ]);
      // Keys belong to one person.
      expect((await process.second.move("Draft", {}, key)).status).toBe(200);
      const gate = latch();
      const reached = latch();
      const slow = world.start({
        through: atCommit(async (commit) => {
          reached.resolve();
          await gate.promise;
          return commit();
        }),
      });
      const other = { "idempotency-key": "attempt-2" };
      const first = slow.author.move("PendingApproval", {}, other);
      await reached.promise;
      expect(said(await slow.author.move("PendingApproval", {}, other))).toEqual([409, "request-in-flight"]);
      gate.resolve();
      expect((await first).status).toBe(200);
    });

    holds("12: what judges and throws or hangs refuses, and the record says so", async (world) => {
      const gate = { type: "custom", gate: "freeze", to: "PendingApproval", timeLimit: "20ms" } as const;
      const judges = [() => Promise.reject(new Error("password=hunter2")), () => new Promise<never>(() => undefined)];
      await world.start().author.write();
      for (const judge of judges) {
        const process = world.start({ gates: [gate], customGates: { freeze: { judge } } });
        expect(said(await process.author.move("PendingApproval"))).toEqual([403, "gate-rejected"]);
      }
      const policy: PolicyInput = { type: "errorRate", maxErrorRate: 0.1, to: ["PendingApproval"] };
      const telemetry = { read: () => Promise.reject(new Error("password=hunter2")) };
      const denying = world.start({ policies: [{ ...policy, onMissing: "deny" }], telemetry });
      expect(said(await denying.author.move("PendingApproval"))).toEqual([409, "policy-violation"]);
      const holding = world.start({ policies: [{ ...policy, onMissing: "hold" }], telemetry });
      expect(said(await holding.author.move("PendingApproval"))).toEqual([409, "evidence-inconclusive"]);
      const broken = world.start({
        policies: [{ type: "expression", expression: "1 / 0 > 1", to: ["PendingApproval"], severity: "Warning" }],
      });
      expect(said(await broken.author.move("PendingApproval"))).toEqual([409, "policy-violation"]);
      for (const judge of judges) {
        const process = world.start({
          policies: [
            { type: "custom", function: "budget", to: ["PendingApproval"], timeLimit: "20ms", severity: "Warning" },
          ],
          customPolicies: { budget: { version: "1", judge } },
        });
        expect(said(await process.author.move("PendingApproval"))).toEqual([409, "policy-violation"]);
      }
      const denied = (await world.history()).filter(({ type }) => type === "ChangeDenied");
      expect(denied).toHaveLength(7);
      expect(denied.slice(5).map(({ data }) => data)).toMatchObject([
        { policies: [{ severity: "Critical", compliant: false, reason: "the policy failed: it threw" }] },
        { policies: [{ severity: "Critical", compliant: false, reason: "the policy failed: no answer within 20 ms" }] },
      ]);
      const record = JSON.stringify(denied);
      expect(record).not.toContain("hunter2");
      for (const words of ["the gate failed", "no answer within 20 ms", "onMissing: deny", "onMissing: hold"])
        expect(record).toContain(words);
      expect((await holding.author.get("")).body).toMatchObject({ state: "Draft" });
    });

    holds("13: an actor, a role or a tenant in a body is refused, never honoured", async (world) => {
      const { author, as } = world.start(reviewed);
      await author.write();
      for (const claim of [
        { actor: "admin" },
        { roles: ["admin"] },
        { tenant: "other" },
        { onBehalfOf: {} },
        { breakGlass: true },
      ])
        expect(said(await author.move("PendingApproval", claim))).toEqual([400, "invalid-request"]);
      const viewer = as("viewer@example.com", "viewer");
      const claimed = { targetState: "PendingApproval", metadata: { actor: "admin", roles: ["admin"] } };
      expect(said(await viewer.post("/lifecycle/transition", claimed))).toEqual([403, "forbidden"]);
      expect((await author.post("/lifecycle/transition", claimed)).body).toMatchObject({ actor: "author@example.com" });
      const last = (await world.history()).findLast(({ type }) => type === "Transitioned");
      expect(last?.actor).toMatchObject({ kind: "human", roles: ["editor", "operator"] });
    });

    holds("14: edits elsewhere, or somebody's denied attempt, are no conflict", async (world) => {
      const process = world.start({
        gates: [{ type: "roleBased", to: "PendingApproval", allowedRoles: ["operator"] }],
      });
      const { etag } = await process.author.write();
      await process.as("other@example.com", "editor", "basket").write();
      const denied = await process.as("editor@example.com", "editor").move("PendingApproval");
      expect(said(denied)).toEqual([403, "gate-rejected"]);
      expect((await world.typesOf()).at(-1)).toBe("ChangeDenied");
      expect((await process.author.get("")).etag).toBe(etag);
      expect((await process.author.move("PendingApproval", {}, { "if-match": etag })).status).toBe(200);
      expect(said(await process.author.move("Draft", {}, { "if-match": etag }))).toEqual([412, "precondition-failed"]);
    });

    holds("15: one's own approval, the same person twice, and one person in two roles", async (world) => {
      const quorum: GateInput = { ...review, type: "quorum", count: 2, roles: ["approver", "security"] };
      const { author, as } = world.start({ gates: [quorum] });
      await author.write();
      await author.move("PendingApproval");
      expect(said(await as("author@example.com", "approver").approve())).toEqual([403, "gate-rejected"]);
      expect((await as("approver@example.com", "approver").approve()).status).toBe(201);
      expect((await as("approver@example.com", "approver").approve()).status).toBe(200);
      expect((await as("approver@example.com", "approver,security").approve()).status).toBe(200);
      expect(said(await author.move("Approved"))).toEqual([409, "approval-required"]);
      expect((await world.typesOf()).filter((type) => type === "ApprovalGiven")).toHaveLength(1);
      expect(said(await as("agent@example.com", "viewer").approve())).toEqual([403, "forbidden"]);
      expect((await as("second@example.com", "approver,security").approve()).status).toBe(201);
      expect((await author.move("Approved")).status).toBe(200);
    });

    holds("16: whoever reads during a write sees the state before it or after it", async (world) => {
      const process = world.start();
      await process.author.write();
      const states: unknown[] = [];
      const writing = { on: true };
      const reading = (async () => {
        while (writing.on) {
          const { body } = await world.start().author.get("");
          states.push([body["state"], body["revision"], body["latestVersion"]]);
          if (states.length % readsBetweenTurns === 0) await turn();
        }
      })();
      const moves = ["PendingApproval", "Draft", "PendingApproval", "Draft"];
      const told: number[] = [];
      try {
        for (const to of moves) told.push((await process.author.move(to)).status);
      } finally {
        writing.on = false;
      }
      await reading;
      expect(told).toEqual(moves.map(() => 200));
      const whole = [
        ["Draft", 1, 1],
        ["PendingApproval", 2, 1],
        ["Draft", 3, 1],
        ["PendingApproval", 4, 1],
        ["Draft", 5, 1],
      ];
      expect(states.length).toBeGreaterThan(0);
      for (const state of states) expect(whole).toContainEqual(state);
    });

    holds("17: a rollback racing with an approval: either order, never both effects", async (world) => {
      const rules: ProcessOptions = { gates: [review, { type: "manual", on: "publish", whenApproved: "commit" }] };
      const process = world.start(rules);
      await running(world, process);
      const approving = (changeDigest: string) => world.start(rules).approver.say("approve", changeDigest);
      const rollingBack = () => world.start(rules).author.post("/versions/rollback", { targetVersion: 1 });
      const raced = (changeDigest: string) => Promise.all([approving(changeDigest), rollingBack()]);
      const approvedFirst = async (changeDigest: string) =>
        [await approving(changeDigest), await rollingBack()] as const;
      const rolledBackFirst = async (changeDigest: string) => {
        const rollback = await rollingBack();
        return [await approving(changeDigest), rollback] as const;
      };
      const orders = [approvedFirst, rolledBackFirst, raced, raced, raced, raced, raced];
      for (const [round, inOrder] of orders.entries()) {
        const { body } = await process.author.write({ traffic: 10 + round });
        await process.author.post(`/versions/${Number(body["version"])}/publish`);
        const [open] = proposalsIn(await process.author.get("/proposals"));
        const length = (await world.history()).length;
        const [approval, rollback] = await inOrder(open?.changeDigest ?? "");
        if (inOrder !== raced) expect(approval.status === 201).toBe(inOrder === approvedFirst);
        expect(rollback).toMatchObject({ status: 201, body: { isLive: true } });
        expect([null, "approval-stale", "proposal-not-found"]).toContain(approval.code);
        const types = (await world.history())
          .slice(length)
          .map(({ type, data }) => (type === "Published" ? data.kind : type));
        // Approved first: published, then rolled back. Rolled back first: the approval is of something overtaken.
        expect(types.filter((type) => type === "publish")).toHaveLength(approval.status === 201 ? 1 : 0);
        expect(types.findLastIndex((type) => type === "rollback")).toBeGreaterThan(types.indexOf("publish"));
        const { body: state } = await process.author.get("");
        expect(state).toMatchObject({ traffic: 100, proposals: [] });
      }
    });

    holds("18: the same change proposed a second time starts without approvals", async (world) => {
      const { author, approver } = world.start(reviewed);
      await author.write();
      await author.move("PendingApproval");
      await approver.approve();
      await author.move("Draft");
      await author.move("PendingApproval");
      expect((await author.get("/proposals")).body["proposals"]).toMatchObject([{ approvals: [] }]);
      expect(said(await author.move("Approved"))).toEqual([409, "approval-required"]);
    });

    holds("19: content that somebody else posts again keeps its first author out of its approval", async (world) => {
      const { author, second, as } = world.start(reviewed);
      await author.write({ traffic: 50 });
      await second.write({ traffic: 50 });
      await second.move("PendingApproval");
      expect(said(await as("author@example.com", "approver").approve())).toEqual([403, "gate-rejected"]);
      expect(said(await second.approve())).toEqual([403, "gate-rejected"]);
      expect(await world.typesOf()).not.toContain("ApprovalGiven");
    });

    holds("20: a waiting draft blocks no brake, and a policy that hangs delays no pause", async (world) => {
      const process = world.start(reviewed);
      await running(world, process);
      await process.author.write({ traffic: 50 });
      expect((await process.author.move("Paused")).status).toBe(200);
      expect((await process.author.move("Running")).status).toBe(200);
      const entered = latch();
      const never = latch();
      const hanging = world.start({
        ...reviewed,
        policies: [{ type: "errorRate", maxErrorRate: 0.1, to: ["Ramping"] }],
        telemetry: {
          read: async () => {
            entered.resolve();
            await never.promise;
            throw new Error("too late");
          },
        },
      });
      const slow = hanging.author.move("Ramping");
      await entered.promise;
      expect((await hanging.second.move("Paused")).status).toBe(200);
      never.resolve();
      const { status } = await slow;
      expect(status).toBe(409);
      expect((await process.author.get("")).body).toMatchObject({ state: "Paused" });
      expect(
        (await process.author.post("/versions/rollback", { targetVersion: 1, transition: "RolledBack" })).body,
      ).toMatchObject({
        isLive: true,
        state: "RolledBack",
      });
    });

    holds("surfaces: of two that start on one at the same moment exactly one wins", async (world) => {
      const names = ["checkout", "basket", "search"];
      for (const experiment of names) {
        const person = world.start().as("author@example.com", "editor,operator", experiment);
        await person.write({ surfaces: ["header"] });
        await person.move("PendingApproval");
        await person.move("Approved");
      }
      const replies = await Promise.all(
        names.map((experiment) => world.start().as("author@example.com", "operator", experiment).move("Running")),
      );
      expect(replies.filter(({ status }) => status === 200)).toHaveLength(1);
      expect(replies.filter(({ code }) => code === "surface-claimed")).toHaveLength(2);
      const winner = names[replies.findIndex(({ status }) => status === 200)] ?? "";
      const loser = names[replies.findIndex(({ status }) => status !== 200)] ?? "";
      await world.start().as("author@example.com", "operator", winner).move("RolledBack");
      expect((await world.start().as("author@example.com", "operator", loser).move("Running")).status).toBe(200);
    });
  });
};
