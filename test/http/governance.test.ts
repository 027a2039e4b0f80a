import { describe, expect, test } from "vitest";
import { memoryStore } from "../../adapters/store/memory.ts";
import { configuration, createApi } from "../support/api.ts";

const base = "/api/governance/checkout";
const gates = [
  { type: "manual", from: "PendingApproval", to: "Approved" },
  { type: "quorum", from: "Approved", to: "Running", count: 2 },
] as const;

const people = (world: Parameters<typeof createApi>[0] = { gates }, changes?: Parameters<typeof createApi>[1]) => {
  const api = createApi(world, changes);
  return {
    ...api,
    ada: api.as("ada", "editor,operator"),
    bob: api.as("bob", "approver"),
    cy: api.as("cy", "approver"),
    viewer: api.as("vera", "viewer"),
  };
};

const digestOf = (answer: { body: Readonly<Record<string, unknown>> }): unknown => {
  const { proposal } = answer.body;
  return typeof proposal === "object" && proposal !== null && "changeDigest" in proposal
    ? proposal.changeDigest
    : undefined;
};

describe("from draft to running", () => {
  test("every change goes through its gates, and the record says who did what", async () => {
    const { ada, bob, cy, viewer } = people();
    const created = await ada.post(`${base}/versions`, { configuration: configuration(), changeDescription: "first" });
    expect(created).toMatchObject({
      status: 201,
      body: { experimentName: "checkout", version: 1, state: "Draft", revision: 1 },
    });
    expect(created.headers.get("location")).toBe(`${base}/versions/1`);

    const proposed = await ada.post(`${base}/lifecycle/transition`, {
      targetState: "pendingapproval",
      reason: "ready",
    });
    expect(proposed).toMatchObject({
      status: 200,
      body: { experimentName: "checkout", newState: "PendingApproval", actor: "ada", reason: "ready", revision: 2 },
    });

    expect(await ada.post(`${base}/lifecycle/transition`, { targetState: "Approved" })).toMatchObject({
      status: 409,
      body: {
        code: "approval-required",
        missing: ["manual: 0 of 1 approvals by approver"],
        proposal: { proposedBy: "ada" },
      },
    });
    const changeDigest = digestOf(proposed);
    expect(await bob.post(`${base}/approvals`, { decision: "approve", changeDigest, reason: "fine" })).toMatchObject({
      status: 201,
      body: { proposal: { missing: [] } },
    });
    expect(await ada.post(`${base}/lifecycle/transition`, { targetState: "Approved" })).toMatchObject({
      status: 200,
      body: { newState: "Approved" },
    });

    const held = await ada.post(`${base}/lifecycle/transition`, { targetState: "Running" });
    expect(held).toMatchObject({
      status: 202,
      body: {
        state: "Approved",
        proposal: { targetState: "Running", missing: ["quorum: 0 of 2 approvals by approver"] },
      },
    });
    expect(await viewer.get(held.headers.get("location") ?? "")).toMatchObject({
      status: 200,
      body: { changeDigest: digestOf(held) },
    });
    for (const approver of [bob, cy])
      expect(
        (await approver.post(`${base}/approvals`, { decision: "approve", changeDigest: digestOf(held) })).status,
      ).toBe(201);
    expect(await ada.post(`${base}/lifecycle/transition`, { targetState: "Running" })).toMatchObject({
      status: 200,
      body: { newState: "Running" },
    });

    expect(await viewer.get(base)).toMatchObject({
      status: 200,
      body: {
        experimentName: "checkout",
        tenant: "default",
        environment: "default",
        state: "Running",
        allowedTransitions: ["Ramping", "Paused", "RolledBack", "Archived"],
        latestVersion: 1,
        liveVersion: 1,
        epoch: 0,
        proposals: [],
        updatedBy: "ada",
      },
    });
    expect((await viewer.get(`${base}/lifecycle/history`)).body["transitions"]).toMatchObject([
      { from: "Draft", to: "PendingApproval", actor: "ada", reason: "ready" },
      { from: "PendingApproval", to: "Approved", actor: "ada", reason: null },
      { from: "Approved", to: "Running", actor: "ada" },
    ]);
    expect((await viewer.get(`${base}/approvals`)).body["approvals"]).toMatchObject([
      { decision: "approve", actor: "bob", reason: "fine" },
      { decision: "approve", actor: "bob" },
      { decision: "approve", actor: "cy" },
    ]);
    expect(await viewer.get(`${base}/audit/verify`)).toMatchObject({
      status: 200,
      body: { valid: true, firstInvalid: null },
    });
    expect((await viewer.get("/api/rules")).body["experiments"]).toMatchObject([
      {
        name: "checkout",
        state: "Running",
        version: 1,
        variants: [
          { key: "control", buckets: 5000 },
          { key: "treatment", buckets: 5000 },
        ],
      },
    ]);
  });

  test("versions are kept, newest findable, unknown ones are not", async () => {
    const { ada } = people();
    await ada.post(`${base}/versions`, { configuration: configuration() });
    await ada.post(`${base}/versions`, { configuration: configuration({ traffic: 25 }), changeDescription: "less" });
    expect(await ada.get(`${base}/versions/latest`)).toMatchObject({
      status: 200,
      body: { version: 2, createdBy: "ada", changeDescription: "less", configuration: { traffic: 25 } },
    });
    expect(await ada.get(`${base}/versions/1`)).toMatchObject({
      status: 200,
      body: { version: 1, configuration: { traffic: 100 } },
    });
    for (const version of ["3", "0", "-1", "1.0", "1e0", "x", "99999999999"]) {
      expect(await ada.get(`${base}/versions/${version}`)).toMatchObject({
        status: 404,
        body: { code: "version-not-found" },
      });
    }
    expect((await ada.get(`${base}/versions?limit=1`)).body).toMatchObject({ versions: [{ version: 1 }], next: 2 });
  });
});

describe("preconditions and retries", () => {
  test("ETag: 304 for who has it, 412 with the present one for who writes on an old one", async () => {
    const { ada } = people();
    const created = await ada.post(`${base}/versions`, { configuration: configuration() });
    const etag = created.headers.get("etag") ?? "";
    expect(etag).toMatch(/^"1-[0-9a-f]{16}"$/);
    expect((await ada.get(base, { "if-none-match": `W/${etag}` })).status).toBe(304);
    await ada.post(`${base}/versions`, { configuration: configuration() }, { "if-match": etag });
    const late = await ada.post(`${base}/versions`, { configuration: configuration() }, { "if-match": etag });
    expect(late).toMatchObject({
      status: 412,
      body: { code: "precondition-failed", current: (await ada.get(base)).headers.get("etag") },
    });
  });

  test("If-None-Match: * only creates", async () => {
    const { ada } = people();
    const create = () => ada.post(`${base}/versions`, { configuration: configuration() }, { "if-none-match": "*" });
    expect((await create()).status).toBe(201);
    expect(await create()).toMatchObject({ status: 409, body: { code: "experiment-exists" } });
  });

  test("an idempotency key gives the same answer, and refuses another body", async () => {
    const { ada } = people();
    const post = (traffic: number) =>
      ada.post(`${base}/versions`, { configuration: configuration({ traffic }) }, { "idempotency-key": "k-1" });
    const first = await post(50);
    expect(await post(50)).toMatchObject({ status: 201, body: first.body });
    expect(await post(51)).toMatchObject({ status: 422, body: { code: "idempotency-key-reused" } });
    expect((await ada.get(`${base}/versions`)).body["versions"]).toHaveLength(1);
    expect(
      await ada.post(`${base}/versions`, { configuration: configuration() }, { "idempotency-key": "" }),
    ).toMatchObject({ status: 400 });
  });

  test("a deployment may require both headers", async () => {
    const { ada } = people({}, { requireIdempotencyKey: true, requireIfMatch: true });
    expect(await ada.post(`${base}/versions`, { configuration: configuration() })).toMatchObject({
      status: 428,
      body: { code: "precondition-required" },
    });
    expect(
      (
        await ada.post(
          `${base}/versions`,
          { configuration: configuration() },
          { "idempotency-key": "k", "if-none-match": "*" },
        )
      ).status,
    ).toBe(201);
  });
});

describe("identity", () => {
  test("nobody without a name; nobody beyond their roles", async () => {
    const { anonymous, viewer, bob, ada, as } = people();
    expect(await anonymous.get(base)).toMatchObject({ status: 401, body: { code: "unauthenticated" } });
    expect(await viewer.post(`${base}/versions`, { configuration: configuration() })).toMatchObject({
      status: 403,
      body: { code: "forbidden" },
    });
    expect(await bob.post(`${base}/versions`, { configuration: configuration() })).toMatchObject({ status: 403 });
    await ada.post(`${base}/versions`, { configuration: configuration() });
    expect(await viewer.post(`${base}/lifecycle/transition`, { targetState: "PendingApproval" })).toMatchObject({
      status: 403,
      body: { code: "forbidden" },
    });
    expect(await ada.post(`${base}/approvals`, { decision: "approve", changeDigest: "0".repeat(64) })).toMatchObject({
      status: 403,
      body: { code: "forbidden" },
    });
    expect(await as("release-manager", "release").get(base)).toMatchObject({
      status: 403,
      body: { code: "forbidden" },
    });
  });

  test("a role that a gate names opens what the gate needs of it, and no more", async () => {
    const { ada, as } = people({
      gates: [
        { type: "manual", from: "PendingApproval", to: "Approved", roles: ["legal"] },
        { type: "roleBased", from: "Approved", to: "Running", allowedRoles: ["release"] },
      ],
    });
    const [legal, release] = [as("lee", "legal"), as("rae", "release")];
    await ada.post(`${base}/versions`, { configuration: configuration() });
    const changeDigest = digestOf(await ada.post(`${base}/lifecycle/transition`, { targetState: "PendingApproval" }));
    expect((await release.post(`${base}/approvals`, { decision: "approve", changeDigest })).status).toBe(403);
    expect((await legal.post(`${base}/approvals`, { decision: "approve", changeDigest })).status).toBe(201);
    expect((await legal.post(`${base}/lifecycle/transition`, { targetState: "Approved" })).status).toBe(403);
    expect((await ada.post(`${base}/lifecycle/transition`, { targetState: "Approved" })).status).toBe(200);
    expect((await ada.post(`${base}/lifecycle/transition`, { targetState: "Running" })).status).toBe(403);
    expect((await release.post(`${base}/lifecycle/transition`, { targetState: "Running" })).status).toBe(200);
    for (const speaker of [legal, release]) expect((await speaker.get(base)).status).toBe(200);
    expect((await legal.post(`${base}/versions`, { configuration: configuration() })).status).toBe(403);
  });

  test.each([
    ["system:guardrail", "editor", "human"],
    ["a\u0001b", "editor", "human"],
    ["", "editor", "human"],
    ["x".repeat(257), "editor", "human"],
    ["ada", "ed itor", "human"],
    ["ada", "editor", "robot"],
    ["ada", "__proto__", "human"],
  ])("headers that are not an identity are refused: %j %j %j", async (actor, roles, kind) => {
    expect(await createApi().as(actor, roles, kind).get(base)).toMatchObject({
      status: 401,
      body: { code: "unauthenticated" },
    });
  });

  test.each([
    { actor: "root" },
    { actor: "root", roles: ["admin"] },
    { tenant: "other" },
    { roles: ["approver"] },
    { __proto__x: 1 },
  ])("a body that claims %j is refused", async (claim) => {
    const { ada } = people();
    await ada.post(`${base}/versions`, { configuration: configuration() });
    expect(await ada.post(`${base}/lifecycle/transition`, { targetState: "PendingApproval", ...claim })).toMatchObject({
      status: 400,
      body: { code: "invalid-request" },
    });
    expect((await ada.get(base)).body["state"]).toBe("Draft");
  });

  test("development identity answers where it was switched on, and on loopback", async () => {
    const { developmentIdentity } = await import("../../src/http/development-identity.ts");
    const off = createApi({}, { identity: developmentIdentity({ enabled: false }) });
    expect(await off.as("ada", "admin").get(base)).toMatchObject({ status: 401 });
    const abroad = new Request("http://proviso.example.org/", { headers: { "x-proviso-actor": "ada" } });
    await expect(developmentIdentity({ enabled: true }).authenticate(abroad)).rejects.toMatchObject({
      code: "unauthenticated",
    });
  });
});

describe("hostile input", () => {
  test.each([
    ["not json", "{", 400, "invalid-request"],
    ["no body", "", 400, "invalid-request"],
    ["an array", "[]", 400, "invalid-request"],
    ["null", "null", 400, "invalid-request"],
    [
      "U+0000 in a text",
      JSON.stringify({ configuration: configuration({ description: "a\u0000b" }) }),
      400,
      "invalid-request",
    ],
    ["half a surrogate pair", '{"configuration":{"description":"\\ud800"}}', 400, "invalid-request"],
    ["a __proto__ member", '{"configuration":{"__proto__":{"x":1}}}', 400, "invalid-request"],
    [
      "too large",
      JSON.stringify({ configuration: configuration({ description: "x".repeat(600_000) }) }),
      413,
      "payload-too-large",
    ],
    ["another name", JSON.stringify({ configuration: configuration({ name: "other" }) }), 400, "invalid-request"],
    [
      "nesting without end",
      `{"configuration":${'{"a":'.repeat(20_000)}1${"}".repeat(20_000)}}`,
      400,
      "invalid-request",
    ],
    ["a number that is none", '{"configuration":{"traffic":1e400}}', 400, "invalid-request"],
    ["a member that every object has", '{"configuration":{"constructor":{"x":1}}}', 400, "invalid-request"],
    [
      "two controls",
      JSON.stringify({
        configuration: {
          variants: [
            { key: "a", control: true },
            { key: "b", control: true },
          ],
        },
      }),
      400,
      "invalid-request",
    ],
    ["unknown members", JSON.stringify({ configuration: configuration({ trafic: 5 }) }), 400, "invalid-request"],
  ])("%s: a problem document, and nothing happened", async (_what, body, status, code) => {
    const { ada, reported } = people();
    const answer = await ada.post(`${base}/versions`, body);
    expect(answer).toMatchObject({ status, body: { code, status } });
    expect(answer.headers.get("content-type")).toBe("application/problem+json");
    expect((await ada.get(base)).status).toBe(404);
    expect(reported).toEqual([]);
    expect(Reflect.get({}, "x")).toBeUndefined();
  });

  test("metadata that JSON cannot say, or that has no end, is refused like any other input", async () => {
    const { ada, reported } = people();
    await ada.post(`${base}/versions`, { configuration: configuration() });
    for (const metadata of [
      '{"a":1e400}',
      `${'{"a":'.repeat(7_000)}1${"}".repeat(7_000)}`,
      `${"[".repeat(64)}${"]".repeat(64)}`,
    ]) {
      const body = `{"targetState":"PendingApproval","metadata":{"m":${metadata}}}`;
      const answer = await ada.post(`${base}/lifecycle/transition`, body);
      expect(answer).toMatchObject({ status: 400, body: { code: "invalid-request" } });
    }
    expect(reported).toEqual([]);
  });

  test("a long list of errors is cut, and says so", async () => {
    const { ada } = people();
    const variants = Array.from({ length: 5_000 }, () => 1);
    const { body } = await ada.post(`${base}/versions`, { configuration: { variants } });
    expect(body["errors"]).toHaveLength(100);
    expect(body["errorCount"]).toBeGreaterThan(4_999);
    expect(JSON.stringify(body).length).toBeLessThan(30_000);
  });

  test.each(["proposals", "import", "erasures"])("%s is a route, so no experiment is called so", async (name) => {
    const { ada } = people();
    const answer = await ada.post(`/api/governance/${name}/versions`, { configuration: configuration() });
    expect(answer).toMatchObject({ status: 400 });
  });

  test("errors name every place at once", async () => {
    const { ada } = people();
    const bad = {
      variants: [
        { key: "", control: true },
        { key: "b", weight: -1 },
      ],
      traffic: 101,
      extra: 1,
    };
    const { body } = await ada.post(`${base}/versions`, { configuration: bad });
    const paths = (Array.isArray(body["errors"]) ? body["errors"] : []).map((error: unknown) =>
      typeof error === "object" && error !== null && "path" in error ? error.path : null,
    );
    expect(paths).toEqual(
      expect.arrayContaining([
        "/configuration/variants/0/key",
        "/configuration/variants/1/weight",
        "/configuration/traffic",
        "/configuration/extra",
      ]),
    );
  });

  test.each(["a:b", "a%2Fb", "..%2F..", "%00", "a'b", "__proto__", "x".repeat(129), "%E2%98%83", "a%20b"])(
    "no experiment is called %s",
    async (name) => {
      const { ada, reported } = people();
      expect(await ada.get(`/api/governance/${name}`)).toMatchObject({
        status: 404,
      });
      const created = await ada.post(`/api/governance/${name}/versions`, { configuration: configuration() });
      // A slash makes another path of it, which is no route.
      expect(created).toMatchObject({ status: created.body["code"] === "not-found" ? 404 : 400 });
      expect(reported).toEqual([]);
    },
  );

  test.each([
    "?tenant=a/b",
    "?environment=",
    "?tenant=__proto__",
    "?limit=-1",
    "?limit=1001",
    "?limit=0",
    "?limit=x",
    "?after=1e3",
    "?state=walking",
  ])("%s is refused", async (query) => {
    const { ada } = people();
    await ada.post(`${base}/versions`, { configuration: configuration() });
    const path = query.startsWith("?state") ? "/api/governance" : `${base}/lifecycle/history`;
    expect(await ada.get(`${path}${query}`)).toMatchObject({ status: 400, body: { code: "invalid-request" } });
  });

  test("an unexpected error says nothing of itself to the caller", async () => {
    const store = { ...memoryStore(), load: () => Promise.reject(new Error("password=hunter2")) };
    const { ada, reported } = people({}, { store });
    const answer = await ada.get(base);
    expect(answer).toMatchObject({ status: 500, body: { code: "internal" } });
    expect(JSON.stringify(answer.body)).not.toContain("hunter2");
    expect(reported).toHaveLength(1);
  });
});

describe("scopes", () => {
  test("tenants and environments never see each other", async () => {
    const { ada } = people();
    await ada.post(`${base}/versions?tenant=acme`, { configuration: configuration() });
    expect((await ada.get(`${base}?tenant=acme`)).body).toMatchObject({ tenant: "acme", environment: "default" });
    for (const query of ["", "?tenant=acme2", "?tenant=acme&environment=staging"])
      expect((await ada.get(`${base}${query}`)).status).toBe(404);
    expect((await ada.get("/api/governance")).body["experiments"]).toEqual([]);
    expect((await ada.get("/api/governance?tenant=acme")).body["experiments"]).toMatchObject([
      { experimentName: "checkout" },
    ]);
  });

  test("the list filters by state and pages by name", async () => {
    const { ada } = people({});
    for (const name of ["b", "a", "c"])
      await ada.post(`/api/governance/${name}/versions`, { configuration: configuration() });
    await ada.post("/api/governance/b/lifecycle/transition", { targetState: "PendingApproval" });
    const first = await ada.get("/api/governance?limit=2");
    expect(first.body["experiments"]).toMatchObject([{ experimentName: "a" }, { experimentName: "b" }]);
    expect((await ada.get(`/api/governance?limit=2&cursor=${String(first.body["next"])}`)).body).toMatchObject({
      experiments: [{ experimentName: "c" }],
      next: null,
    });
    expect((await ada.get("/api/governance?state=draft,Running")).body["experiments"]).toMatchObject([
      { experimentName: "a" },
      { experimentName: "c" },
    ]);
  });
});
