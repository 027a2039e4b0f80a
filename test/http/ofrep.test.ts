/** OFREP 0.2, held to its published OpenAPI document: https://github.com/open-feature/protocol. */
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { bucket } from "../../src/evaluation/bucket.ts";
import { tokenIdentity } from "../../src/http/token-identity.ts";
import { configuration, createApi, type Speaker } from "../support/api.ts";

/** `evaluationSuccess` and `evaluationFailure`; the protocol's `value` may be anything. */
const Success = v.strictObject({
  key: v.string(),
  reason: v.picklist(["STATIC", "TARGETING_MATCH", "SPLIT", "DISABLED", "UNKNOWN", "DEFAULT", "STALE"]),
  variant: v.string(),
  value: v.unknown(),
  metadata: v.record(v.string(), v.union([v.boolean(), v.string(), v.number()])),
});
const errorCode = v.picklist(["PARSE_ERROR", "TARGETING_KEY_MISSING", "INVALID_CONTEXT", "GENERAL", "FLAG_NOT_FOUND"]);
const Failure = v.looseObject({ key: v.string(), errorCode, errorDetails: v.string() });
const Bulk = v.strictObject({ flags: v.array(v.union([Success, Failure])) });

const subjectIn = (variant: "control" | "treatment"): string => {
  const wanted = variant === "control" ? (at: number) => at < 5_000 : (at: number) => at >= 5_000;
  const found = Array.from({ length: 100 }, (_, n) => `user-${n}`).find((id) =>
    wanted(bucket("pepper", "variant", id)),
  );
  return found ?? "";
};

const start = async (who: Speaker, name: string, changes: Record<string, unknown> = {}) => {
  const at = `/api/governance/${name}`;
  await who.post(`${at}/versions`, { configuration: configuration(changes) });
  for (const targetState of ["PendingApproval", "Approved", "Running"]) {
    await who.post(`${at}/lifecycle/transition`, { targetState });
  }
};
const setUp = async () => {
  const api = createApi();
  const author = api.as("author@example.com", "editor,operator");
  await start(author, "checkout", { targeting: { attribute: "country", in: ["CA"] } });
  await start(author, "search", {
    variants: [
      { key: "control", control: true },
      { key: "treatment", payload: { depth: 3 } },
    ],
  });
  return { api, author, app: api.as("app@example.com", "evaluate"), flags: "/ofrep/v1/evaluate/flags" };
};

describe("POST /ofrep/v1/evaluate/flags/{key}", () => {
  test("answers with value, variant, reason and what served it", async () => {
    const { app, flags } = await setUp();
    const context = { targetingKey: subjectIn("treatment"), country: "CA" };
    const answer = await app.post(`${flags}/checkout`, { context });
    expect(answer.status).toBe(200);
    expect(v.parse(Success, answer.body)).toMatchObject({
      key: "checkout",
      variant: "treatment",
      value: "treatment",
      reason: "TARGETING_MATCH",
      metadata: { version: 1, epoch: 0, exposed: true },
    });
    const payload = await app.post(`${flags}/search`, { context: { targetingKey: subjectIn("treatment") } });
    expect(payload.body).toMatchObject({ value: { depth: 3 }, reason: "SPLIT" });
    const elsewhere = await app.post(`${flags}/checkout`, { context: { ...context, country: "FR" } });
    expect(elsewhere.body).toMatchObject({ variant: "control", reason: "DEFAULT" });
  });

  test("a brake works with the next question", async () => {
    const { app, author, flags } = await setUp();
    await author.post("/api/governance/search/lifecycle/transition", { targetState: "Paused" });
    const answer = await app.post(`${flags}/search`, { context: { targetingKey: subjectIn("treatment") } });
    expect(answer.body).toMatchObject({ variant: "control", reason: "DISABLED" });
  });

  test.each([
    ["no such flag", "nothing", { targetingKey: "u" }, 404, "FLAG_NOT_FOUND"],
    ["what cannot be a name", "a%2Fb", { targetingKey: "u" }, 404, "FLAG_NOT_FOUND"],
    ["no subject", "search", {}, 400, "TARGETING_KEY_MISSING"],
    ["a subject that is no text", "search", { targetingKey: 7 }, 400, "TARGETING_KEY_MISSING"],
    ["a subject that no store could keep", "search", { targetingKey: "x".repeat(513) }, 400, "INVALID_CONTEXT"],
  ])("refuses %s in the protocol's words", async (_, key, context, status, code) => {
    const { app, flags } = await setUp();
    const answer = await app.post(`${flags}/${key}`, { context });
    expect(answer.status).toBe(status);
    expect(v.parse(Failure, answer.body)).toMatchObject({ key: decodeURIComponent(key), errorCode: code });
  });

  test("is for applications that may evaluate", async () => {
    const { anonymous } = createApi({}, { identity: tokenIdentity([]) });
    for (const path of ["", "/search"]) {
      const answer = await anonymous.post(`/ofrep/v1/evaluate/flags${path}`, { context: { targetingKey: "u" } });
      expect(answer.status).toBe(401);
    }
  });

  test("sees its own scope only", async () => {
    const { app, flags } = await setUp();
    const answer = await app.post(`${flags}/search?tenant=other`, { context: { targetingKey: "u" } });
    expect(answer.status).toBe(404);
  });
});

describe("POST /ofrep/v1/evaluate/flags", () => {
  test("answers with every flag, and with 304 while nothing changes for this subject", async () => {
    const { app, author, flags } = await setUp();
    const context = { targetingKey: subjectIn("treatment"), country: "CA" };
    const first = await app.post(flags, { context });
    expect(v.parse(Bulk, first.body).flags.map(({ key }) => key)).toEqual(["checkout", "search"]);
    const etag = first.headers.get("etag") ?? "";
    expect(etag).toMatch(/^"[0-9a-f]{32}"$/);
    const again = await app.post(flags, { context }, { "if-none-match": etag });
    expect([again.status, again.headers.get("etag")]).toEqual([304, etag]);
    const other = await app.post(flags, { context: { ...context, country: "FR" } }, { "if-none-match": etag });
    expect(other.status).toBe(200);
    await author.post("/api/governance/checkout/lifecycle/transition", { targetState: "Paused" });
    const after = await app.post(flags, { context }, { "if-none-match": etag });
    expect(after.status).toBe(200);
    expect(after.body).toMatchObject({ flags: [{ key: "checkout", reason: "DISABLED" }, { key: "search" }] });
  });

  test("says of each flag what is wrong with it", async () => {
    const { app, flags } = await setUp();
    const answer = await app.post(flags, {});
    expect(answer.status).toBe(200);
    const parsed = v.parse(v.object({ flags: v.array(Failure) }), answer.body);
    expect(parsed.flags.map((flag) => flag.errorCode)).toEqual(["TARGETING_KEY_MISSING", "TARGETING_KEY_MISSING"]);
  });
});
