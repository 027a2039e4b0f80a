/** Every command of governance over HTTP: what it answers, and what of it nobody may say in a body. */
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { type Answer, type Api, configuration, createApi, type Speaker } from "../support/api.ts";
import type { World } from "../support/scenario.ts";

const base = "/api/governance";
const reviewed: World = { gates: [{ type: "manual", from: "PendingApproval", to: "Approved" }] };

interface Cast {
  readonly api: Api;
  readonly author: Speaker;
  readonly approver: Speaker;
  readonly viewer: Speaker;
}

const cast = (world: World = {}): Cast => {
  const api = createApi(world);
  return {
    api,
    author: api.as("author@example.com", "editor,operator"),
    approver: api.as("approver@example.com", "approver"),
    viewer: api.as("viewer@example.com", "viewer"),
  };
};

const write = (who: Speaker, changes: Record<string, unknown> = {}): Promise<Answer> =>
  who.post(`${base}/checkout/versions`, { configuration: configuration(changes) });
const move = (who: Speaker, targetState: string, more: Record<string, unknown> = {}): Promise<Answer> =>
  who.post(`${base}/checkout/lifecycle/transition`, { targetState, ...more });
const read = async (who: Speaker): Promise<Answer["body"]> => (await who.get(`${base}/checkout`)).body;
/** The first proposal of an answer that lists some. */
const firstProposal = ({ body }: Answer): { readonly id: string; readonly changeDigest: string } =>
  v.parse(v.looseObject({ proposals: v.array(v.looseObject({ id: v.string(), changeDigest: v.string() })) }), body)
    .proposals[0] ?? { id: "", changeDigest: "" };
const approve = async (who: Speaker): Promise<Answer> => {
  const { changeDigest } = firstProposal(await who.get(`${base}/checkout/proposals`));
  return who.post(`${base}/checkout/approvals`, { decision: "approve", changeDigest });
};

const running = async (world: World = {}, changes: Record<string, unknown> = {}): Promise<Cast> => {
  const people = cast(world);
  await write(people.author, changes);
  await move(people.author, "PendingApproval");
  if ((world.gates ?? []).some(({ to }) => to === "Approved")) await approve(people.approver);
  await move(people.author, "Approved");
  await move(people.author, changes["ramp"] === undefined ? "Running" : "Ramping");
  return people;
};

test("a pause says for whom, in the snapshot, the history and the rules; a schedule can ask for one", async () => {
  const { author } = await running();
  const at = new Date(Date.now() + 3_600_000).toISOString();
  const changes = [{ at, targetState: "paused", mode: "stopEnrolment" }];
  expect((await author.put(`${base}/checkout/schedule`, { changes })).body).toMatchObject({
    schedule: [{ targetState: "Paused", mode: "stopEnrolment" }],
  });
  expect((await move(author, "paused", { mode: "everybody" })).status).toBe(400);
  expect((await move(author, "RolledBack", { mode: "control" })).body).toMatchObject({
    code: "invalid-request",
    errors: [{ path: "/mode" }],
  });
  expect((await move(author, "paused", { mode: "stopEnrolment" })).status).toBe(200);
  expect(await read(author)).toMatchObject({ state: "Paused", paused: { mode: "stopEnrolment" }, traffic: 0 });
  const { body } = await author.get(`${base}/checkout/lifecycle/history`);
  expect(body).toMatchObject({ transitions: [{}, {}, {}, { to: "Paused", mode: "stopEnrolment" }] });
  expect((await author.get("/api/rules")).body).toMatchObject({ experiments: [{ mode: "stopEnrolment" }] });
  await move(author, "Running");
  expect(await read(author)).toMatchObject({ state: "Running", paused: null });
});

const summary = ({ status, body }: Answer): unknown => [status, body["code"] ?? null];

describe("publishing", () => {
  test("holds, is approved, and goes live", async () => {
    const { author, approver } = await running(reviewed);
    await write(author, { traffic: 50 });
    const held = await author.post(`${base}/checkout/versions/2/publish`);
    expect(held).toMatchObject({ status: 202, body: { proposal: { kind: "publish", version: 2, parameters: {} } } });
    expect(held.headers.get("location")).toMatch(/^\/api\/governance\/checkout\/proposals\//);
    expect(summary(await author.post(`${base}/checkout/versions/2/publish`))).toEqual([409, "approval-required"]);
    expect((await approve(approver)).status).toBe(201);
    expect(await author.post(`${base}/checkout/versions/2/publish`, { reason: "as agreed" })).toMatchObject({
      status: 200,
      body: { liveVersion: 2, state: "Running", epoch: 0 },
    });
  });

  test.each(["0", "x", "99", "1e3", "__proto__", "-1"])("version %s does not exist", async (version) => {
    const { author } = await running();
    expect(summary(await author.post(`${base}/checkout/versions/${version}/publish`))).toEqual([
      404,
      "version-not-found",
    ]);
  });

  test("a body that is there must be valid", async () => {
    const { author } = await running();
    await write(author, { traffic: 50 });
    for (const body of ["{", "[]", { actor: "somebody" }, { reason: 7 }])
      expect(summary(await author.post(`${base}/checkout/versions/2/publish`, body))).toEqual([400, "invalid-request"]);
  });
});

describe("rolling back", () => {
  test("to what has served: live at once, with its provenance, and the lifecycle in the same commit", async () => {
    const { author, approver, viewer } = await running(reviewed);
    await write(author, { traffic: 50 });
    await author.post(`${base}/checkout/versions/2/publish`);
    await approve(approver);
    await author.post(`${base}/checkout/versions/2/publish`);
    const before = await viewer.get(`${base}/checkout/audit`);
    const answer = await author.post(`${base}/checkout/versions/rollback`, {
      targetVersion: 1,
      transition: "paused",
      reason: "why",
    });
    expect(answer).toMatchObject({
      status: 201,
      body: { newVersion: 3, rolledBackFrom: 2, rolledBackTo: 1, isLive: true, state: "Paused", proposal: null },
    });
    expect(await viewer.get(`${base}/checkout/versions/3`)).toMatchObject({
      body: { isRollback: true, rolledBackFrom: 2, rolledBackTo: 1, createdBy: "author@example.com" },
    });
    const eventsOf = ({ body }: Answer): number => (Array.isArray(body["events"]) ? body["events"].length : 0);
    expect(eventsOf(await viewer.get(`${base}/checkout/audit`)) - eventsOf(before)).toBe(3);
  });

  test("to what was never approved: a draft, with its proposal", async () => {
    const { author } = await running(reviewed);
    await write(author, { traffic: 50 });
    await write(author, { traffic: 60 });
    expect(await author.post(`${base}/checkout/versions/rollback`, { targetVersion: 2 })).toMatchObject({
      status: 201,
      body: { isLive: false, proposal: { kind: "rollback" } },
    });
    expect(await read(author)).toMatchObject({ liveVersion: 1, latestVersion: 4 });
  });
});

test("promoting carries the content, not its approval, and a pinned credential stays where it is", async () => {
  const { author, viewer } = await running();
  const answer = await author.post(`${base}/checkout/versions/1/promote`, { environment: "production" });
  expect(answer).toMatchObject({ status: 201, body: { version: 1, state: "Draft" } });
  expect(answer.headers.get("location")).toBe("/api/governance/checkout/versions/1?environment=production");
  expect(await viewer.get(answer.headers.get("location") ?? "")).toMatchObject({
    body: { promotedFrom: { environment: "default", version: 1 } },
  });
  expect(summary(await author.post(`${base}/checkout/versions/1/promote`, { environment: "default" }))).toEqual([
    400,
    "invalid-request",
  ]);
  expect(summary(await author.post(`${base}/checkout/versions/9/promote`, { environment: "a" }))).toEqual([
    404,
    "version-not-found",
  ]);
  expect(summary(await viewer.post(`${base}/checkout/versions/1/promote`, { environment: "a" }))).toEqual([
    403,
    "forbidden",
  ]);
});

describe("schedules", () => {
  const soon = (minutes: number): string => new Date(Date.now() + minutes * 60_000).toISOString();

  test("are put, read and deleted", async () => {
    const { author, viewer } = await running();
    const changes = [
      { at: soon(90), targetState: "running" },
      { at: soon(60), targetState: "Paused" },
    ];
    expect(await author.put(`${base}/checkout/schedule`, { changes })).toMatchObject({
      status: 200,
      body: { schedule: [{ targetState: "Paused", scheduledBy: "author@example.com" }, { targetState: "Running" }] },
    });
    expect(await viewer.get(`${base}/checkout/schedule`)).toMatchObject({ body: { schedule: [{}, {}] } });
    expect(await read(viewer)).toMatchObject({ schedule: [{}, {}] });
    expect(await author.delete(`${base}/checkout/schedule`)).toMatchObject({ status: 200, body: { schedule: [] } });
    expect(summary(await viewer.delete(`${base}/checkout/schedule`))).toEqual([403, "forbidden"]);
  });

  test("say where a time is wrong", async () => {
    const { author } = await running();
    for (const at of ["yesterday", "2026-02-30T00:00:00Z", "2020-01-01T00:00:00Z", 7]) {
      const answer = await author.put(`${base}/checkout/schedule`, { changes: [{ at, targetState: "Paused" }] });
      expect(summary(answer)).toEqual([400, "invalid-request"]);
      expect(JSON.stringify(answer.body["errors"])).toContain("/changes/0/at");
    }
  });
});

test("a ramp is held, advanced, aborted and started again", async () => {
  const { author } = await running({}, { ramp: { steps: [{ traffic: 5, hold: "1h" }, { traffic: 50 }] } });
  expect(await read(author)).toMatchObject({
    traffic: 5,
    ramp: { step: 0, steps: 2, startedBy: "author@example.com" },
  });
  expect(await author.post(`${base}/checkout/ramp/hold`)).toMatchObject({
    status: 200,
    body: { ramp: { held: { code: "asked" } } },
  });
  expect(await author.post(`${base}/checkout/ramp/advance`, { reason: "it looks good" })).toMatchObject({
    status: 200,
    body: { ramp: { step: 1, traffic: 50, held: null } },
  });
  expect(await author.post(`${base}/checkout/ramp/abort`)).toMatchObject({
    status: 200,
    body: { state: "Paused", ramp: null },
  });
  expect(await author.post(`${base}/checkout/ramp/start`)).toMatchObject({
    status: 200,
    body: { newState: "Ramping" },
  });
  expect(await author.post(`${base}/checkout/ramp/advance`)).toMatchObject({ status: 200 });
  expect(await author.post(`${base}/checkout/ramp/advance`)).toMatchObject({
    status: 200,
    body: { state: "Running", ramp: null },
  });
  expect(summary(await author.post(`${base}/checkout/ramp/advance`))).toEqual([409, "invalid-transition"]);
});

test("a kill switch serves control at once, and comes off as resuming would", async () => {
  const { author, approver, api } = await running({ gates: [{ type: "manual", from: "Paused", to: "Running" }] });
  expect(await author.post(`${base}/checkout/kill-switch`, { on: true, reason: "smoke" })).toMatchObject({
    status: 200,
    body: { killed: { experiment: true, variants: [] } },
  });
  expect(await api.anonymous.get("/api/rules")).toMatchObject({ body: { experiments: [{ killed: true }] } });
  expect((await author.post(`${base}/checkout/kill-switch`, { on: false })).status).toBe(202);
  await approve(approver);
  expect(await author.post(`${base}/checkout/kill-switch`, { on: false })).toMatchObject({
    status: 200,
    body: { killed: { experiment: false } },
  });
  expect(summary(await author.post(`${base}/checkout/kill-switch`, { on: true, variant: "control" }))).toEqual([
    400,
    "invalid-request",
  ]);
  expect(summary(await author.post(`${base}/checkout/kill-switch`, {}))).toEqual([400, "invalid-request"]);
});

test("breaking the glass takes its role and a reason, and the history marks it", async () => {
  const { api, author } = cast({ ...reviewed, breakGlass: { roles: ["incident"] } });
  const incident = api.as("operator@example.com", "incident");
  await write(author);
  await move(author, "PendingApproval");
  const glass = { targetState: "Approved", reason: "an emergency" };
  expect(summary(await author.post(`${base}/checkout/break-glass`, glass))).toEqual([403, "forbidden"]);
  expect(summary(await incident.post(`${base}/checkout/break-glass`, { targetState: "Approved" }))).toEqual([
    400,
    "invalid-request",
  ]);
  expect(await incident.post(`${base}/checkout/break-glass`, glass)).toMatchObject({
    status: 200,
    body: { newState: "Approved" },
  });
  const { body } = await incident.get(`${base}/checkout/lifecycle/history`);
  expect(body["transitions"]).toMatchObject([{}, { breakGlass: true, reason: "an emergency" }]);
  const { author: other } = cast(reviewed);
  await write(other);
  expect(summary(await other.post(`${base}/checkout/break-glass`, glass))).toEqual([403, "forbidden"]);
});

test("concluding says what is kept, and only that is served", async () => {
  const { author, api } = await running();
  expect(summary(await move(author, "Archived", { outcome: "ship" }))).toEqual([400, "invalid-request"]);
  expect((await move(author, "Archived", { outcome: "ship", variant: "treatment" })).status).toBe(200);
  expect(await read(author)).toMatchObject({
    conclusion: { outcome: "ship", variant: "treatment", resultsDigest: null },
  });
  expect(await api.anonymous.get("/api/rules")).toMatchObject({ body: { experiments: [{ shipped: "treatment" }] } });
});

describe("the inbox", () => {
  test("lists what waits, for everybody or for the asker, with what was said of it", async () => {
    const { author, approver, viewer, api } = cast(reviewed);
    await write(author);
    await move(author, "PendingApproval");
    const proposal = firstProposal(await viewer.get(`${base}/proposals`));
    expect(proposal).toMatchObject({ experimentName: "checkout", targetState: "Approved" });
    const mine = async (who: Speaker) => (await who.get(`${base}/proposals?awaiting=me&state=open`)).body["proposals"];
    expect(await mine(author)).toEqual([]);
    expect(await mine(approver)).toMatchObject([{ experimentName: "checkout" }]);
    const path = `${base}/checkout/proposals/${proposal.id}`;
    expect(await approver.post(`${path}/comments`, { text: "why 50 %?" })).toMatchObject({
      status: 201,
      body: { proposal: { comments: [{ actor: "approver@example.com", text: "why 50 %?" }] } },
    });
    expect(summary(await viewer.post(`${path}/comments`, { text: "me too" }))).toEqual([403, "forbidden"]);
    expect(summary(await author.post(`${path}/comments`, { text: "" }))).toEqual([400, "invalid-request"]);
    expect(summary(await author.post(`${base}/checkout/proposals/none/comments`, { text: "x" }))).toEqual([
      404,
      "proposal-not-found",
    ]);
    expect(summary(await author.delete(path))).toEqual([409, "invalid-transition"]);
    await approve(approver);
    expect(await mine(approver)).toEqual([]);
    expect(await mine(api.as("second@example.com", "approver"))).toHaveLength(1);
  });
});

describe("dry runs", () => {
  const world: World = {
    ...reviewed,
    policies: [
      { type: "trafficLimit", maxTrafficPercentage: 5 },
      { type: "errorRate", maxErrorRate: 0.1 },
    ],
  };

  test("say what would stop a move, to a viewer too, and record nothing", async () => {
    const { author, viewer } = cast(world);
    await write(author);
    await move(author, "PendingApproval");
    const before = await viewer.get(`${base}/checkout/audit`);
    expect(await viewer.post(`${base}/checkout/approvals/evaluate`)).toMatchObject({
      status: 200,
      body: {
        currentState: "PendingApproval",
        targetState: "Approved",
        isApproved: false,
        evaluations: [{ gate: "manual", satisfied: false }],
      },
    });
    const asIf = { currentState: "approved", targetState: "running", telemetry: { worstErrorRate: 1 } };
    expect(await viewer.post(`${base}/checkout/policies/evaluate`, asIf)).toMatchObject({
      status: 200,
      body: {
        allCriticalPoliciesCompliant: false,
        // The ledger answers, so what the caller claims of errors is not believed.
        evaluations: [
          { policyName: "trafficLimit", isCompliant: false },
          { policyName: "errorRate", isCompliant: true },
        ],
      },
    });
    expect((await viewer.get(`${base}/checkout/audit`)).body).toEqual(before.body);
  });

  test("what policies said of real attempts stands in the record", async () => {
    const { author, viewer } = await running(world);
    expect(await viewer.get(`${base}/checkout/policies/evaluations`)).toMatchObject({
      body: {
        evaluations: [
          {},
          {},
          { outcome: "policy-violation", to: "Running", policies: [{ isCompliant: false }, { isCompliant: true }] },
        ],
      },
    });
    expect(summary(await author.post(`${base}/nothing/policies/evaluate`))).toEqual([404, "experiment-not-found"]);
  });
});

test("nobody may say in a body who they are, or what only the clock says", async () => {
  const { author } = await running();
  for (const [path, body] of [
    ["lifecycle/transition", { targetState: "Paused", actor: "system:guardrail" }],
    ["lifecycle/transition", { targetState: "Paused", guardrail: {} }],
    ["lifecycle/transition", { targetState: "Paused", breakGlass: true }],
    ["lifecycle/transition", { targetState: "Paused", onBehalfOf: {} }],
    ["ramp/advance", { due: 0 }],
    ["versions", { configuration: configuration(), provenance: {} }],
    ["versions/rollback", { targetVersion: 1, tenant: "other" }],
  ] as const) {
    expect(summary(await author.post(`${base}/checkout/${path}`, body))).toEqual([400, "invalid-request"]);
  }
});

test("what differs between versions, and how it was before", async () => {
  const { author, viewer } = await running();
  await write(author, { traffic: 50 });
  expect(await viewer.get(`${base}/checkout/versions/diff?fromVersion=1&toVersion=2`)).toMatchObject({
    status: 200,
    body: {
      changes: [{ kind: "modified", path: "/traffic", old: 100, new: 50 }],
      patch: [{ op: "replace", path: "/traffic", value: 50 }],
    },
  });
  expect(await viewer.get(`${base}/checkout/versions/diff`)).toMatchObject({ body: { fromVersion: 1, toVersion: 2 } });
  expect(summary(await viewer.get(`${base}/checkout/versions/diff?toVersion=9`))).toEqual([404, "version-not-found"]);
  expect(await viewer.get(`${base}/checkout/state?at=2`)).toMatchObject({
    body: { at: { seq: 2 }, state: { state: "Draft", latestVersion: 1, liveVersion: null } },
  });
  const now = encodeURIComponent(new Date(Date.now() + 1_000).toISOString());
  expect(await viewer.get(`${base}/checkout/state?at=${now}`)).toMatchObject({
    body: { state: { state: "Running", latestVersion: 2, traffic: 100 } },
  });
  for (const at of ["", "0", "yesterday", "-1", "2026-99-99"])
    expect(summary(await viewer.get(`${base}/checkout/state?at=${at}`))).toEqual([400, "invalid-request"]);
  expect(summary(await viewer.get(`${base}/checkout/state?at=2001-01-01`))).toEqual([404, "not-found"]);
});

const say = (who: Speaker, decision: string, changeDigest: string): Promise<Answer> =>
  who.post(`${base}/checkout/approvals`, { decision, changeDigest, reason: "said why" });
const waiting = async (who: Speaker) => firstProposal(await who.get(`${base}/checkout/proposals`));
const Ends = v.object({ events: v.array(v.object({ data: v.object({ proposal: v.string(), end: v.string() }) })) });
/** How proposals have ended, in their order. */
const endsOf = async (who: Speaker): Promise<readonly string[]> =>
  v
    .parse(Ends, (await who.get(`${base}/checkout/audit?types=ProposalEnded`)).body)
    .events.map(({ data: { end } }) => end);

test("a decline blocks the change until it is taken back; what was not said cannot be", async () => {
  const { api, author, approver, viewer } = cast(reviewed);
  const second = api.as("second@example.com", "approver");
  await write(author);
  await move(author, "PendingApproval");
  const { changeDigest } = await waiting(author);
  expect(summary(await say(approver, "withdraw", changeDigest))).toEqual([409, "approval-stale"]);
  expect(await say(approver, "decline", changeDigest)).toMatchObject({
    status: 201,
    body: { decision: "decline", reason: "said why", proposal: { declinedBy: ["approver@example.com"] } },
  });
  expect((await say(approver, "decline", changeDigest)).status).toBe(200);
  expect((await say(second, "approve", changeDigest)).status).toBe(201);
  expect(await move(author, "Approved")).toMatchObject({
    status: 409,
    body: { code: "approval-required", declinedBy: ["approver@example.com"], missing: [] },
  });
  expect(summary(await say(viewer, "withdraw", changeDigest))).toEqual([403, "forbidden"]);
  expect(await say(approver, "withdraw", changeDigest)).toMatchObject({
    status: 201,
    body: { decision: "withdraw", proposal: { declinedBy: [], approvals: [{ actor: "second@example.com" }] } },
  });
  expect((await say(second, "withdraw", changeDigest)).status).toBe(201);
  expect(summary(await move(author, "Approved"))).toEqual([409, "approval-required"]);
  await say(second, "approve", changeDigest);
  expect((await move(author, "Approved")).status).toBe(200);
  expect((await viewer.get(`${base}/checkout/approvals`)).body["approvals"]).toMatchObject(
    ["decline", "approve", "withdraw", "withdraw", "approve"].map((decision) => ({ decision, reason: "said why" })),
  );
});

describe("propose: true", () => {
  test("opens the proposal of a move that could be made, once, and makes nothing", async () => {
    const { author, viewer } = await running();
    // A move that there is not is no proposal either.
    expect(summary(await move(author, "Draft", { propose: true }))).toEqual([409, "invalid-transition"]);
    const asked = await move(author, "Paused", { propose: true, reason: "when you agree" });
    expect(asked).toMatchObject({
      status: 202,
      body: { state: "Running", proposal: { kind: "transition", targetState: "Paused", missing: [] } },
    });
    const again = await move(author, "Paused", { propose: true });
    expect([again.status, again.body["revision"]]).toEqual([202, asked.body["revision"]]);
    expect(await viewer.get(asked.headers.get("location") ?? "")).toMatchObject({
      status: 200,
      body: { proposedBy: "author@example.com" },
    });
    expect(await read(viewer)).toMatchObject({ state: "Running", proposals: [{}] });
    expect((await move(author, "Paused")).body).toMatchObject({ newState: "Paused" });
    expect(await endsOf(viewer)).toEqual(["committed", "committed"]);
  });

  test("and of a publication", async () => {
    const { author, viewer } = await running();
    await write(author, { traffic: 50 });
    expect(await author.post(`${base}/checkout/versions/2/publish`, { propose: true })).toMatchObject({
      status: 202,
      body: { proposal: { kind: "publish", version: 2 } },
    });
    expect(await read(viewer)).toMatchObject({ liveVersion: 1 });
    expect((await author.post(`${base}/checkout/versions/2/publish`)).status).toBe(200);
    expect(await read(viewer)).toMatchObject({ liveVersion: 2, proposals: [] });
  });
});

test("a proposal is taken back by whoever made it, once, and is none any more", async () => {
  const { api, author, viewer } = await running({ gates: [{ type: "manual", on: "publish" }] });
  await write(author, { traffic: 50 });
  await author.post(`${base}/checkout/versions/2/publish`);
  const { id, changeDigest } = await waiting(author);
  const path = `${base}/checkout/proposals/${id}`;
  expect(summary(await api.as("other@example.com", "editor,operator").delete(path))).toEqual([403, "gate-rejected"]);
  expect(summary(await viewer.delete(path))).toEqual([403, "forbidden"]);
  expect(await author.delete(path)).toMatchObject({ status: 200, body: { withdrawn: id } });
  expect((await viewer.get(`${base}/checkout/proposals`)).body["proposals"]).toEqual([]);
  for (const answer of [await author.delete(path), await viewer.get(path)])
    expect(summary(answer)).toEqual([404, "proposal-not-found"]);
  const late = await say(api.as("approver@example.com", "approver"), "approve", changeDigest);
  expect(summary(late)).toEqual([404, "proposal-not-found"]);
  expect(await endsOf(viewer)).toEqual(["committed", "withdrawn"]);
  expect((await author.post(`${base}/checkout/versions/2/publish`)).status).toBe(202);
});

test("what is rejected ends its proposal as rejected, and comes back as a draft with another", async () => {
  const { author, approver, viewer } = cast(reviewed);
  await write(author);
  await move(author, "PendingApproval");
  const { id } = await waiting(author);
  expect(await move(author, "Rejected", { reason: "not now" })).toMatchObject({
    status: 200,
    body: { newState: "Rejected", proposal: null },
  });
  expect(await endsOf(viewer)).toEqual(["rejected"]);
  expect(summary(await approve(approver))).toEqual([400, "invalid-request"]);
  expect((await read(viewer))["proposals"]).toEqual([]);
  expect(summary(await move(author, "Running"))).toEqual([409, "invalid-transition"]);
  await move(author, "Draft");
  await move(author, "PendingApproval");
  expect((await waiting(author)).id).not.toBe(id);
  expect(summary(await move(author, "Approved"))).toEqual([409, "approval-required"]);
});

test.each(["revert", "inconclusive"])("concluding as %s keeps nothing, and takes no variant", async (outcome) => {
  const { author, viewer, api } = await running({}, { surfaces: ["header"] });
  for (const [end, path] of [
    [{ outcome, variant: "treatment" }, "/variant"],
    [{ variant: "treatment" }, "/variant"],
    [{ outcome: "ship" }, "/variant"],
    [{ outcome: "ship", variant: "other" }, "/variant"],
    [{ outcome: "kept" }, "/outcome"],
  ] as const)
    expect(await move(author, "Archived", end)).toMatchObject({
      status: 400,
      body: { code: "invalid-request", errors: [{ path }] },
    });
  expect(await move(author, "Paused", { outcome })).toMatchObject({
    status: 400,
    body: { errors: [{ path: "/outcome" }] },
  });
  expect((await move(author, "Archived", { outcome, reason: "as measured" })).status).toBe(200);
  expect(await read(viewer)).toMatchObject({ state: "Archived", traffic: 0, surfaces: [], conclusion: { outcome } });
  expect((await viewer.get(`${base}/checkout/lifecycle/history`)).body["transitions"]).toMatchObject([
    {},
    {},
    {},
    { to: "Archived", reason: "as measured", conclusion: { outcome } },
  ]);
  expect((await api.anonymous.get("/api/rules")).body["experiments"]).toEqual([]);
});

test("the glass is broken to publish, too: past gates and policies, at once, and marked", async () => {
  const { api, author, viewer } = await running({
    ...reviewed,
    breakGlass: { roles: ["incident"] },
    policies: [{ type: "trafficLimit", maxTrafficPercentage: 10, on: ["publish"] }],
  });
  const incident = api.as("operator@example.com", "incident");
  await write(author, { traffic: 50 });
  const glass = (body: unknown) => incident.post(`${base}/checkout/break-glass`, body);
  for (const body of [
    { version: 2 },
    { version: 2, reason: "  " },
    { version: 2, targetState: "Paused", reason: "x" },
    { version: 0, reason: "x" },
  ])
    expect(summary(await glass(body))).toEqual([400, "invalid-request"]);
  expect(summary(await glass({ version: 9, reason: "x" }))).toEqual([404, "version-not-found"]);
  expect(summary(await author.post(`${base}/checkout/break-glass`, { version: 2, reason: "x" }))).toEqual([
    403,
    "forbidden",
  ]);
  expect(await glass({ version: 2, reason: "an emergency" })).toMatchObject({
    status: 200,
    body: { liveVersion: 2, state: "Running", actor: "operator@example.com" },
  });
  expect(await read(viewer)).toMatchObject({ liveVersion: 2, traffic: 50, proposals: [] });
  const { body } = await viewer.get(`${base}/checkout/audit?types=Published`);
  expect(body["events"]).toMatchObject([
    { data: { breakGlass: true, gates: [{ satisfied: false }], policies: [{ compliant: false }] } },
  ]);
});

describe("reading", () => {
  test("where an experiment is and can go, with 304 for who knows", async () => {
    const { author, viewer } = await running();
    for (const [path, member] of [
      ["state", "state"],
      ["allowed-transitions", "currentState"],
    ] as const) {
      const answer = await viewer.get(`${base}/checkout/lifecycle/${path}`);
      expect(answer).toMatchObject({
        status: 200,
        body: {
          experimentName: "checkout",
          [member]: "Running",
          allowedTransitions: ["Ramping", "Paused", "RolledBack", "Archived"],
        },
      });
      const etag = answer.headers.get("etag") ?? "";
      const known = { "if-none-match": etag };
      expect((await viewer.get(`${base}/checkout/lifecycle/${path}`, known)).status).toBe(304);
      await move(author, "Paused");
      expect(await viewer.get(`${base}/checkout/lifecycle/${path}`, known)).toMatchObject({
        status: 200,
        body: { [member]: "Paused" },
      });
      await move(author, "Running");
      expect(summary(await viewer.get(`${base}/nothing/lifecycle/${path}`))).toEqual([404, "experiment-not-found"]);
    }
  });

  test("the list by surface has the one that holds it, and nobody once it is let go", async () => {
    const { author, viewer } = await running({}, { surfaces: ["header", "footer"] });
    const other = { configuration: configuration({ surfaces: ["header"] }) };
    await author.post(`${base}/waits/versions`, other);
    const holding = async (query: string) => (await viewer.get(`${base}?${query}`)).body["experiments"];
    for (const surface of ["header", "footer"])
      expect(await holding(`surface=${surface}`)).toMatchObject([
        { experimentName: "checkout", surfaces: ["header", "footer"] },
      ]);
    for (const query of ["surface=sidebar", "surface=head", "surface=header&state=Draft"])
      expect(await holding(query)).toEqual([]);
    await move(author, "RolledBack");
    expect(await holding("surface=header")).toEqual([]);
  });

  test("what blocks a move is the asker's: roles, approvals, declines, content that was not approved", async () => {
    const { api, author, approver } = cast({
      gates: [
        { type: "manual", name: "content", from: "PendingApproval", to: "Approved" },
        { type: "roleBased", name: "launch", to: "Running", allowedRoles: ["release"] },
        { type: "roleBased", name: "launch-ramp", to: "Ramping", allowedRoles: ["release"] },
      ],
    });
    const release = api.as("release@example.com", "release");
    const blocked = async (who: Speaker) => (await read(who))["blockedBy"];
    await write(author);
    await move(author, "PendingApproval");
    const lacking = ["content: 0 of 1 approvals by approver"];
    expect(await blocked(author)).toMatchObject({ Approved: lacking, Rejected: [], Draft: [] });
    const { changeDigest } = await waiting(author);
    await say(approver, "decline", changeDigest);
    expect(await blocked(release)).toMatchObject({ Approved: [...lacking, "the change was declined"] });
    await say(approver, "approve", changeDigest);
    expect(await blocked(author)).toMatchObject({ Approved: [] });
    await move(author, "Approved");
    expect(await blocked(author)).toMatchObject({ Running: ["launch: one of the roles release"] });
    expect(await blocked(release)).toMatchObject({ Running: [] });
    await write(author, { traffic: 50 });
    expect(await blocked(release)).toMatchObject({
      Running: ["version 2 is not what was approved: it needs approval anew"],
    });
    expect((await author.get(`${base}/checkout`)).headers.get("vary")).toContain("Authorization");
  });
});
