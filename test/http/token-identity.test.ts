import { describe, expect, test } from "vitest";
import { sha256Hex } from "../../src/canonical.ts";
import { equalInConstantTime, parseTokens, tokenIdentity } from "../../src/http/token-identity.ts";
import { configuration, createApi } from "../support/api.ts";

const secrets = {
  ada: "ada-token-0123456789abcdef",
  acme: "acme-token-0123456789abcdef",
  key: "ingest-key-0123456789abcdef",
  rules: "rules-key-0123456789abcdef",
};
const tokens = parseTokens(
  JSON.stringify([
    { id: "ada", roles: ["editor", "operator"], sha256: sha256Hex(secrets.ada) },
    { id: "acme-admin", roles: ["admin"], sha256: sha256Hex(secrets.acme), tenant: "acme" },
    {
      id: "shop",
      kind: "service",
      roles: ["ingest"],
      sha256: sha256Hex(secrets.key),
      tenant: "acme",
      environment: "production",
    },
    { id: "edge", kind: "service", roles: ["evaluate"], sha256: sha256Hex(secrets.rules) },
  ]),
);
const api = () => createApi({}, { identity: tokenIdentity(tokens) }).anonymous;
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
const write = { configuration: configuration() };

describe("bearer tokens", () => {
  test("a known token is its person; headers that claim somebody are nothing", async () => {
    const speaker = api();
    const created = await speaker.post("/api/governance/checkout/versions", write, {
      ...bearer(secrets.ada),
      "x-proviso-actor": "root",
      "x-proviso-roles": "admin",
    });
    expect(created.status).toBe(201);
    expect((await speaker.get("/api/governance/checkout", bearer(secrets.ada))).body["updatedBy"]).toBe("ada");
  });

  test.each([
    ["nothing", {}],
    ["an unknown token", bearer("x".repeat(32))],
    ["its own hash", bearer(sha256Hex(secrets.ada))],
    ["another scheme", { authorization: `Basic ${secrets.ada}` }],
    ["too short", bearer("short")],
  ])("%s is refused, and the token is not repeated", async (_what, headers) => {
    const answer = await api().get("/api/governance", headers);
    expect(answer).toMatchObject({ status: 401, body: { code: "unauthenticated" } });
    expect(JSON.stringify(answer.body)).not.toContain(secrets.ada);
  });

  test("a pinned token stays in its scope", async () => {
    const speaker = api();
    expect(await speaker.get("/api/governance", bearer(secrets.acme))).toMatchObject({
      status: 403,
      body: { code: "forbidden" },
    });
    expect((await speaker.get("/api/governance?tenant=acme", bearer(secrets.acme))).status).toBe(200);
  });

  test("data-plane keys open their one door and nothing of governance", async () => {
    const speaker = api();
    const scope = "?tenant=acme&environment=production";
    expect((await speaker.post(`/api/events${scope}`, { events: [] }, bearer(secrets.key))).status).not.toBe(403);
    expect((await speaker.post("/api/events", { events: [] }, bearer(secrets.key))).status).toBe(403);
    expect((await speaker.get(`/api/rules${scope}`, bearer(secrets.key))).status).toBe(403);
    expect((await speaker.get("/api/rules", bearer(secrets.rules))).status).toBe(200);
    expect((await speaker.get("/api/rules")).status).toBe(401);
    for (const key of [secrets.key, secrets.rules])
      expect((await speaker.get(`/api/governance${scope}`, bearer(key))).status).toBe(403);
  });
});

test("a key that pages carry is a browser's for sending, and opens nothing else", async () => {
  const entry = (id: string, roles: readonly string[]) => ({
    id,
    kind: "service" as const,
    roles: [...roles],
    sha256: sha256Hex(`${id}-0123456789abcdef`),
  });
  const identity = tokenIdentity([entry("page", ["browser"]), entry("both", ["browser", "ingest"])]);
  const request = (id: string) => new Request("http://127.0.0.1/", { headers: bearer(`${id}-0123456789abcdef`) });
  expect(await identity.admit(request("page"), "ingest")).toMatchObject({ key: "page", sender: "browser" });
  expect(await identity.admit(request("both"), "ingest")).toMatchObject({ sender: "server" });
  await expect(identity.admit(request("page"), "evaluate")).rejects.toMatchObject({ code: "forbidden" });
  expect((await identity.authenticate(request("page"))).actor.roles).toEqual([]);
});

test.each(["/api/events", "/api/events/", "/api/%65vents", "/api/rules/", "/api/governance/"])(
  "%s asks for a token however it is written",
  async (path) => {
    const speaker = api();
    expect((await speaker.get(path)).status).not.toBe(200);
    expect((await speaker.post(path, { events: [] })).status).not.toBe(202);
  },
);

test.each(["first", "second", "third", "unknown"])("the %s token is compared with every entry", async (name) => {
  const looked = new Set<string>();
  const entries = ["first", "second", "third"].map((id) => ({
    id,
    kind: "human" as const,
    roles: ["viewer"],
    get sha256() {
      looked.add(id);
      return sha256Hex(`${id}-token-0123456789`);
    },
  }));
  const request = new Request("http://127.0.0.1/", { headers: bearer(`${name}-token-0123456789`) });
  const found = await tokenIdentity(entries)
    .authenticate(request)
    .then(({ actor }) => actor.id)
    .catch(() => "unknown");
  expect(found).toBe(name);
  expect([...looked]).toEqual(["first", "second", "third"]);
});

test("a hash that begins like a known one, or goes on after it, is another", () => {
  const hash = sha256Hex(secrets.ada);
  expect(equalInConstantTime(hash, hash)).toBe(true);
  for (let place = 0; place < hash.length; place += 1)
    expect(equalInConstantTime(hash, `${hash.slice(0, place)}x${hash.slice(place + 1)}`)).toBe(false);
  for (const other of ["", hash.slice(1), hash.slice(0, -1), `${hash}0`, `${hash}${hash}`]) {
    expect(equalInConstantTime(hash, other)).toBe(false);
    expect(equalInConstantTime(other, hash)).toBe(false);
  }
});

describe("the secret", () => {
  test.each([
    ["not JSON", "sw0rdfish"],
    ["no list", '{"id":"sw0rdfish"}'],
    ["no tokens", "[]"],
    ["a token in the clear", '[{"id":"ada","roles":["admin"],"token":"sw0rdfish","sha256":"sw0rdfish"}]'],
    ["no roles", `[{"id":"sw0rdfish","roles":[],"sha256":"${"0".repeat(64)}"}]`],
  ])("%s is refused without quoting it", (_what, secret) => {
    expect(() => parseTokens(secret)).toThrow(/^the secret with the tokens is not valid/);
    expect(() => parseTokens(secret)).not.toThrow(/sw0rdfish/);
  });
});
