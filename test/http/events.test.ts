import { Hono } from "hono";
import { describe, expect, test } from "vitest";
import { toCloudEvent } from "../../src/events/cloud-event.ts";
import type { EnvelopeType } from "../../src/events/envelope.ts";
import { decodeMessage, readMessage } from "../../src/events/message.ts";
import { withScope } from "../../src/http/access.ts";
import type { AppEnvironment } from "../../src/http/dependencies.ts";
import { developmentIdentity } from "../../src/http/development-identity.ts";
import { errorResponse } from "../../src/http/problem.ts";
import { eventsRoutes } from "../../src/http/routes/events.ts";

const eventId = (n: number): string => `019aa5b6-0000-7000-8000-${n.toString(16).padStart(12, "0")}`;

const exposure = (n: number, payload: object = {}) => ({
  eventId: eventId(n),
  timestamp: "2026-11-21T11:59:00.000Z",
  eventType: "Exposure" as const,
  payload: { experimentName: "checkout", variantKey: "control", subjectId: `user-${n}`, ...payload },
});

const createIngest = (
  sendMessages?: (messages: readonly string[]) => Promise<void>,
  off: readonly EnvelopeType[] = [],
) => {
  const calls: (readonly string[])[] = [];
  const app = new Hono<AppEnvironment>();
  app.onError((error) => errorResponse(error, () => {}));
  app.use("*", withScope);
  app.route(
    "/api/events",
    eventsRoutes({
      identity: developmentIdentity({ enabled: true }),
      dataPlane: { flushEvents: 1, flushBytes: 1, flushIntervalMs: 1, sampling: 1, off },
      sendMessages:
        sendMessages ??
        (async (messages) => {
          calls.push(messages);
        }),
    }),
  );
  const post = async (
    body: string | Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>,
    query = "",
    headers: Record<string, string> = {},
  ) => {
    const response = await app.request(`/api/events${query}`, {
      method: "POST",
      body,
      headers,
      ...(body instanceof ReadableStream ? { duplex: "half" } : {}),
    });
    const answer: unknown = await response.json();
    return { status: response.status, headers: response.headers, answer };
  };
  return { calls, post, sent: () => calls.flat().flatMap((message) => decodeMessage(message)) };
};

const scoped = (event: ReturnType<typeof exposure>, tenantId = "default", environment = "default") => ({
  ...event,
  payload: { ...event.payload, tenantId, environment },
});

const browser = { "x-proviso-key": "browser" };

test("a browser's key sends exposures, marked as such, and nothing else", async () => {
  const ingest = createIngest();
  const error = { ...exposure(2), eventType: "Error", payload: { ...exposure(2).payload, errorName: "TypeError" } };
  const body = JSON.stringify({ events: [exposure(1), error] });
  expect(await ingest.post(body, "", browser)).toMatchObject({
    status: 202,
    answer: { accepted: 1, rejected: [{ index: 1, path: "/eventType" }] },
  });
  expect((await ingest.post(body)).answer).toMatchObject({ accepted: 2, rejected: [] });
  expect(
    ingest.calls
      .flat()
      .map((text) => readMessage(text))
      .map(({ sender, events }) => [sender, events.length]),
  ).toEqual([
    ["browser", 1],
    ["server", 2],
  ]);
});

describe("POST /api/events", () => {
  test.each([
    ["an object with events", JSON.stringify({ events: [exposure(1), exposure(2)] }), 2],
    ["a bare list", JSON.stringify([exposure(1), exposure(2)]), 2],
    ["one event", JSON.stringify(exposure(1)), 1],
    ["an empty list", "[]", 0],
  ])("takes %s", async (_what, body, accepted) => {
    const { post, sent } = createIngest();
    expect(await post(body)).toMatchObject({ status: 202, answer: { accepted, rejected: [] } });
    expect(sent()).toEqual([exposure(1), exposure(2)].slice(0, accepted).map((event) => scoped(event)));
  });

  test.each([
    ["no JSON", "{"],
    ["nothing", ""],
    ["a number", "7"],
    ["null", "null"],
    ["events that are no list", '{"events":{}}'],
    ["bytes that are not UTF-8", new Uint8Array([0x5b, 0xff, 0x5d])],
  ])("400 for %s", async (_what, body) => {
    const { post, calls } = createIngest();
    expect(await post(body)).toMatchObject({ status: 400, answer: { code: "invalid-request" } });
    expect(calls).toEqual([]);
  });

  test("bad events are named by their place, the others go on", async () => {
    const { post, sent } = createIngest();
    const big = exposure(4, { attributes: { text: "x".repeat(33_000) } });
    const batch = [
      exposure(0),
      null,
      exposure(2, { subjectId: "" }),
      exposure(3),
      big,
      { ...exposure(5), eventType: "Click" },
    ];
    const { status, answer } = await post(JSON.stringify({ events: batch }));
    expect(status).toBe(202);
    expect(answer).toMatchObject({
      accepted: 2,
      rejected: [
        { index: 1, path: "" },
        { index: 2, path: "/payload/subjectId", message: "expected at least one character, found 0" },
        {
          index: 4,
          path: "",
          message: `the event has ${JSON.stringify(scoped(big)).length} bytes as JSON; at most 32768 are allowed`,
        },
        { index: 5, path: "/eventType" },
      ],
    });
    expect(sent()).toEqual([scoped(exposure(0)), scoped(exposure(3))]);
  });

  test("the scope is the request's; an event that names another one is rejected", async () => {
    const { post, sent } = createIngest();
    const batch = [
      exposure(0),
      exposure(1, { tenantId: "acme" }),
      exposure(2, { tenantId: "acme", environment: "production" }),
      exposure(3, { tenantId: "default" }),
      exposure(4, { environment: "staging" }),
    ];
    const { answer } = await post(JSON.stringify(batch), "?tenant=acme&environment=production");
    expect(answer).toMatchObject({
      accepted: 3,
      rejected: [
        { index: 3, path: "/payload/tenantId" },
        { index: 4, path: "/payload/environment" },
      ],
    });
    expect(sent()).toEqual([0, 1, 2].map((n) => scoped(exposure(n), "acme", "production")));
  });

  test("members that a newer minor version adds travel on to the consumer, with hostile names too", async () => {
    const { post, sent } = createIngest();
    const text = JSON.stringify({ ...exposure(1), schemaVersion: "1.4.0", novel: { a: 1 } }).replace(
      '"novel"',
      '"__proto__":{"polluted":true},"novel"',
    );
    expect(await post(text)).toMatchObject({ status: 202, answer: { accepted: 1 } });
    expect(JSON.stringify(sent()[0])).toContain('"novel":{"a":1}');
    expect(Object.hasOwn({}, "polluted")).toBe(false);
  });

  test("413 for more than 1,000 events, and for a body over the limit, declared or not", async () => {
    const { post, calls } = createIngest();
    const events = Array.from({ length: 1_001 }, (_, n) => exposure(n));
    expect(await post(JSON.stringify(events))).toMatchObject({
      status: 413,
      answer: { code: "payload-too-large", limitEvents: 1_000 },
    });
    expect(await post("[]", "", { "content-length": "9000000" })).toMatchObject({ status: 413 });
    let pulled = 0;
    const endless = new ReadableStream({
      pull(controller) {
        pulled += 1;
        controller.enqueue(new Uint8Array(1024 * 1024).fill(0x20));
      },
    });
    expect(await post(endless)).toMatchObject({ status: 413 });
    expect(pulled).toBeLessThan(20);
    expect(calls).toEqual([]);
  });

  test("a full batch is packed into few messages, in order, and no call is over the queue's limit", async () => {
    const { post, calls, sent } = createIngest();
    const events = Array.from({ length: 1_000 }, (_, n) =>
      exposure(n, { attributes: { filler: "☃".repeat(n % 7 === 0 ? 900 : 5) } }),
    );
    expect(await post(JSON.stringify({ events }))).toMatchObject({ status: 202, answer: { accepted: 1_000 } });
    expect(sent()).toEqual(events.map((event) => scoped(event)));
    expect(calls.flat().length).toBeLessThan(12);
    for (const call of calls) {
      expect(call.length).toBeLessThanOrEqual(100);
      expect(new TextEncoder().encode(call.join("")).length).toBeLessThanOrEqual(256_000);
    }
  });

  test("503 with Retry-After when the queue fails", async () => {
    const { post } = createIngest(() => Promise.reject(new Error("queue is down")));
    const { status, headers, answer } = await post(JSON.stringify([exposure(1)]));
    expect({ status, retryAfter: headers.get("retry-after") }).toEqual({ status: 503, retryAfter: "1" });
    expect(answer).toMatchObject({ code: "store-unavailable" });
    expect(JSON.stringify(answer)).not.toContain("queue is down");
  });

  test("a scope that is no name is refused", async () => {
    const { post } = createIngest();
    expect(await post("[]", "?tenant=a/b")).toMatchObject({ status: 400 });
  });
});

test("CloudEvents are taken beside envelopes, and go on as envelopes", async () => {
  const { post, sent } = createIngest();
  const body = JSON.stringify([
    toCloudEvent(exposure(1)),
    exposure(2),
    { ...toCloudEvent(exposure(3)), schemaversion: "2.0.0" },
  ]);
  const { status, answer } = await post(body, "", { "content-type": "application/cloudevents-batch+json" });
  expect({ status, answer }).toMatchObject({ status: 202, answer: { accepted: 2, rejected: [{ index: 2 }] } });
  expect(sent()).toEqual([{ ...scoped(exposure(1)), schemaVersion: "1.0.0" }, scoped(exposure(2))]);
});

test("an event that is nested too deep is refused by its place, whatever the depth", async () => {
  const { post, sent } = createIngest();
  // The event, its payload and the attributes are three levels themselves.
  const nested = (levels: number): unknown => JSON.parse(`${"[".repeat(levels)}${"]".repeat(levels)}`);
  const events = [61, 62, 2_000].map((levels, n) => exposure(n, { attributes: { a: nested(levels) } }));
  const message = "at most 64 levels of nesting";
  expect((await post(JSON.stringify({ events }))).answer).toEqual({
    accepted: 1,
    rejected: [
      { index: 1, path: "", message },
      { index: 2, path: "", message },
    ],
  });
  expect(sent()).toHaveLength(1);
});

test("types that are switched off are refused by their place, and say by what", async () => {
  const { post, sent } = createIngest(undefined, ["Outcome"]);
  const outcome = {
    ...exposure(1),
    eventType: "Outcome",
    payload: { experimentName: "checkout", subjectId: "user-1", metric: "purchase", kind: "binary", value: true },
  };
  const { answer } = await post(JSON.stringify([outcome, exposure(2)]));
  expect(answer).toEqual({
    accepted: 1,
    rejected: [{ index: 0, path: "/eventType", message: "Outcome events are switched off here (dataPlane.events)" }],
  });
  expect(sent()).toEqual([scoped(exposure(2))]);
});
