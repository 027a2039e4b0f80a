/** What of deliveries shows over HTTP: rules that were merged beforehand, and who does not take what they are given. */
import { describe, expect, test } from "vitest";
import { createApi, configuration } from "../support/api.ts";

const text = JSON.stringify({ ruleSetVersion: 1, tenant: "default", environment: "default", experiments: [] });

describe("GET /api/rules", () => {
  test("gives what was merged beforehand, of the scope that is asked for, and asks no store", async () => {
    const asked: unknown[] = [];
    const api = createApi(
      {},
      {
        publishedRules: (scope, known) => {
          asked.push([scope, known]);
          return Promise.resolve({ etag: '"e1"', text: known.includes('"e1"') ? null : text });
        },
      },
    );
    const first = await api.anonymous.get("/api/rules?tenant=acme");
    expect([first.status, first.headers.get("etag"), first.body]).toEqual([200, '"e1"', JSON.parse(text)]);
    expect(first.headers.get("content-type")).toBe("application/json");
    expect(first.headers.get("cache-control")).toBe("no-cache");
    for (const header of ['"e1"', 'W/"e1"', '"e0", W/"e1"', "*"])
      expect((await api.anonymous.get("/api/rules", { "if-none-match": header })).status).toBe(304);
    expect((await api.anonymous.get("/api/rules", { "if-none-match": '"e0"' })).status).toBe(200);
    expect(asked[0]).toEqual([{ tenant: "acme", environment: "default" }, [""]]);
  });

  test("lists the store where that cannot be had, under the ETag of the same rules", async () => {
    const listing = createApi();
    const failing = createApi(
      {},
      { store: listing.store, publishedRules: () => Promise.reject(new Error("the object is away")) },
    );
    await listing.as("ada", "editor").post("/api/governance/checkout/versions", { configuration: configuration() });
    const [one, other] = [await listing.anonymous.get("/api/rules"), await failing.anonymous.get("/api/rules")];
    expect([other.status, other.body, other.headers.get("etag")]).toEqual([200, one.body, one.headers.get("etag")]);
    expect(failing.reported).toMatchObject([{ message: "the object is away" }]);
  });
});

describe("GET /health", () => {
  test("names subscribers in trouble, and stays up", async () => {
    const api = createApi({}, { troubled: () => Promise.resolve(["notices:team", "rules:kv"]) });
    expect(await api.anonymous.get("/health")).toMatchObject({
      status: 200,
      body: {
        status: "degraded",
        dependencies: { memory: "healthy", "notices:team": "degraded", "rules:kv": "degraded" },
      },
    });
  });

  test("does not fail where nobody knows", async () => {
    const api = createApi({}, { troubled: () => Promise.reject(new Error("the object is away")) });
    expect(await api.anonymous.get("/health")).toMatchObject({ status: 200, body: { status: "healthy" } });
    expect(api.reported).toHaveLength(1);
  });
});
