import { Hono } from "hono";
import { expect, test } from "vitest";
import { secured, securityHeaders } from "../../src/http/security-headers.ts";
import { createApi } from "../support/api.ts";

const expected = {
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "x-frame-options": "DENY",
  "cross-origin-resource-policy": "same-origin",
};

test.each([
  ["/health", "viewer", 200],
  ["/api/governance", "viewer", 200],
  ["/api/governance/nothing", "viewer", 404],
  ["/api/governance?tenant=a/b", "viewer", 400],
  ["/api/governance", "stranger", 403],
  ["/nowhere", "viewer", 404],
])("%s as %s is %d, and shown in no page", async (path, role, status) => {
  const answer = await createApi().as("ada", role).get(path);
  expect(answer.status).toBe(status);
  expect(Object.fromEntries(answer.headers)).toMatchObject(expected);
  expect(answer.headers.has("strict-transport-security")).toBe(false);
  expect(answer.headers.get("cache-control") === "no-store").toBe(status >= 400);
});

test("401 has a challenge", async () => {
  const answer = await createApi().anonymous.get("/api/governance");
  expect([answer.status, answer.headers.get("www-authenticate")]).toEqual([401, "Bearer"]);
});

test("what broke has the headers too", async () => {
  const { as } = createApi(
    {},
    { identity: { authenticate: () => Promise.reject(new Error("x")), admit: async () => ({}) } },
  );
  const answer = await as("ada", "viewer").get("/api/governance");
  expect(answer.status).toBe(500);
  expect(Object.fromEntries(answer.headers)).toMatchObject(expected);
});

test("a route may say what its own page may do, and transport security is for https", async () => {
  const app = new Hono();
  app.use(securityHeaders);
  app.get("/", (context) => context.html("<p>", 200, { "content-security-policy": "default-src 'self'" }));
  const { headers } = await app.request("https://proviso.example.com/");
  expect(headers.get("content-security-policy")).toBe("default-src 'self'");
  expect(headers.get("x-content-type-options")).toBe("nosniff");
  expect(headers.get("strict-transport-security")).toBe("max-age=31536000");
});

test("an answer that no app made has them as well", () => {
  const response = secured(new Request("https://proviso.example.com/"), new Response("{}", { status: 500 }));
  expect(Object.fromEntries(response.headers)).toMatchObject({ ...expected, "cache-control": "no-store" });
});
