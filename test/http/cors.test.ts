import { describe, expect, test } from "vitest";
import { cors, type CorsOptions } from "../../src/http/cors.ts";
import { isOrigin } from "../../src/http/origin.ts";
import { configuration, createApi } from "../support/api.ts";
import { createApp } from "../../src/http/app.ts";

const friend = "https://console.example.com";
const stranger = "https://evil.example.com";
const apiWith = (options?: CorsOptions) => createApi({}, options === undefined ? {} : { cors: options });
const admin = (options?: CorsOptions) => apiWith(options).as("ada", "admin");
const write = { configuration: configuration() };

/** The names of the CORS headers in an answer. */
const grants = (headers: Headers): string[] => [...headers.keys()].filter((name) => name.startsWith("access-control-"));

const preflight = (origin: string) => ({
  origin,
  "access-control-request-method": "POST",
  "access-control-request-headers": "authorization, idempotency-key",
});

/** The support API has no OPTIONS, so this asks the app itself. */
const ask = async (options: CorsOptions | undefined, method: string, path: string, headers: Record<string, string>) => {
  const app = createApp({
    ...unusable,
    ...(options === undefined ? {} : { cors: options }),
  });
  return app.fetch(new Request(`http://127.0.0.1${path}`, { method, headers }));
};
const never = (): never => {
  throw new Error("nobody must be asked");
};
const unusable: Parameters<typeof createApp>[0] = {
  store: {
    name: "none",
    load: never,
    commit: never,
    history: never,
    list: never,
    rules: never,
    personal: never,
    erase: never,
    archive: never,
    checkpoint: never,
    receipts: never,
    keepReceipts: never,
    sweep: never,
    positions: never,
    advance: never,
    check: never,
  },
  governor: never,
  policySet: { gates: [], policies: [] },
  identity: { authenticate: never, admit: never },
  ledger: never,
  sendMessages: never,
  now: () => 0,
  report: () => {},
};

describe("a preflight", () => {
  test.each(["/api/governance/checkout/lifecycle/transition", "/api/events", "/api/rules", "/api/nothing"])(
    "of an allowed origin to %s is answered before anybody is asked who they are",
    async (path) => {
      const { status, headers } = await ask(
        { origins: [friend], maxAgeSeconds: 60 },
        "OPTIONS",
        path,
        preflight(friend),
      );
      expect(status).toBe(204);
      expect(Object.fromEntries(headers)).toMatchObject({
        "access-control-allow-origin": friend,
        "access-control-allow-methods": "GET, HEAD, POST, PUT, DELETE",
        "access-control-allow-headers": "Authorization, Content-Type, If-Match, If-None-Match, Idempotency-Key",
        "access-control-max-age": "60",
        vary: "Origin",
        "cross-origin-resource-policy": "cross-origin",
      });
      expect(headers.has("access-control-allow-credentials")).toBe(false);
    },
  );

  test.each([
    [stranger],
    ["null"],
    [`${friend}.evil.example.com`],
    [`${friend}:8443`],
    ["http://console.example.com"],
    ["HTTPS://CONSOLE.EXAMPLE.COM"],
    ["*"],
    ["__proto__"],
  ])("of %s is refused and grants nothing", async (origin) => {
    for (const options of [undefined, { origins: [] }, { origins: [friend], credentials: true }]) {
      const response = await ask(options, "OPTIONS", "/api/events", preflight(origin));
      expect(response.status).toBe(403);
      expect(grants(response.headers)).toEqual([]);
    }
  });
});

describe("an answer", () => {
  test("of an app that allows none says nothing of origins", async () => {
    const { status, headers } = await admin().get("/api/governance", { origin: friend });
    expect(status).toBe(200);
    expect(grants(headers)).toEqual([]);
  });

  test("may be read by the page of an allowed origin, with what it needs, also when it is an error", async () => {
    const speaker = admin({ origins: [stranger, friend], credentials: true });
    for (const path of ["/api/governance", "/api/governance/nothing", "/health"]) {
      const { headers } = await speaker.get(path, { origin: friend });
      expect(headers.get("access-control-allow-origin")).toBe(friend);
      expect(headers.get("access-control-allow-credentials")).toBe("true");
      expect(headers.get("access-control-expose-headers")).toBe("ETag, Location, Retry-After");
    }
    const refused = await apiWith({ origins: [friend] }).anonymous.get("/api/governance", { origin: friend });
    expect(refused.status).toBe(401);
    expect(refused.headers.get("access-control-allow-origin")).toBe(friend);
  });

  test("varies by origin for everybody, beside what it varied by", async () => {
    const speaker = admin({ origins: [friend] });
    await speaker.post("/api/governance/checkout/versions", write);
    for (const headers of [{}, { origin: friend }, { origin: stranger }]) {
      const answer = await speaker.get("/api/governance/checkout", headers);
      expect(answer.headers.get("vary")).toContain("Origin");
      expect(answer.headers.get("vary")).toContain("Authorization");
    }
  });

  test("* is any origin, without credentials", async () => {
    const { headers } = await admin({ origins: ["*"] }).get("/api/governance", { origin: stranger });
    expect(headers.get("access-control-allow-origin")).toBe("*");
    expect(headers.has("access-control-allow-credentials")).toBe(false);
  });
});

describe("a change that a browser sends without a preflight", () => {
  const path = "/api/governance/checkout/versions";
  const plain = { "content-type": "text/plain" };

  test.each<[string, Record<string, string>, number]>([
    ["no browser", {}, 201],
    ["a page of this host", { origin: "http://127.0.0.1" }, 201],
    ["a page of this host behind TLS", { origin: "https://127.0.0.1" }, 201],
    [
      "a page of this host, as the browser says",
      { origin: "https://proxied.example.com", "sec-fetch-site": "same-origin" },
      201,
    ],
    ["an allowed page", { origin: friend, "sec-fetch-site": "cross-site" }, 201],
    ["a foreign page", { origin: stranger, "sec-fetch-site": "cross-site" }, 403],
    ["a foreign page of the same site", { origin: stranger, "sec-fetch-site": "same-site" }, 403],
    ["a foreign page in an old browser", { origin: stranger }, 403],
    ["a page without an origin", { origin: "null" }, 403],
    ["another port", { origin: "http://127.0.0.1:81" }, 403],
  ])("for %s", async (_what, headers, status) => {
    expect((await admin({ origins: [friend] }).post(path, write, { ...plain, ...headers })).status).toBe(status);
  });

  test("* does not cover one that comes with cookies", async () => {
    const speaker = admin({ origins: ["*"] });
    expect((await speaker.post(path, write, { origin: stranger, cookie: "CF_Authorization=x" })).status).toBe(403);
    expect((await speaker.post(path, write, { origin: stranger })).status).toBe(201);
  });

  test("events are not taken for a foreign page, also where everybody may send them", async () => {
    const api = apiWith();
    const answer = await api.anonymous.post("/api/events", { events: [] }, { ...plain, origin: stranger });
    expect(answer.status).toBe(403);
    expect(api.messages).toEqual([]);
  });
});

test("origins that are none are refused when the app is made", () => {
  for (const origin of ["console.example.com", `${friend}/`, "https://*.example.com", "null", ""])
    expect(() => cors({ origins: [origin] })).toThrow(TypeError);
  expect(() => cors({ origins: ["*"], credentials: true })).toThrow(TypeError);
});

test.each([
  ["https://a.example.com", true],
  ["http://127.0.0.1:8787", true],
  ["https://[2001:db8::1]:8443", true],
  ["https://a.example.com:443", false],
  ["https://a.example.com/", false],
  ["https://user@a.example.com", false],
  ["ftp://a.example.com", false],
  ["javascript:alert(1)", false],
  ["https://", false],
])("%s: %j", (text, expected) => {
  expect(isOrigin(text)).toBe(expected);
});
