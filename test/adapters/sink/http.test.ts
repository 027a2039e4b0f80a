import { once } from "node:events";
import { createServer } from "node:http";
import { text } from "node:stream/consumers";
import { describe, expect, test } from "vitest";
import * as v from "valibot";
import { httpSink } from "../../../adapters/sink/http.ts";
import { SinkError } from "../../../src/events/sink-error.ts";
import type { FetchRequest, Fetcher } from "../../../src/fetcher.ts";
import { limits } from "../../../src/limits.ts";
import { sinkSuite } from "../../conformance/sink.suite.ts";
import { exposure, exposures } from "../../events/fixtures.ts";

const BodySchema = v.strictObject({ events: v.array(v.unknown()) });
const url = "https://experiments.example/";

/** The ingest route as the contract has it, with its limits; answers in turn what it is told, then 202. */
const fakeServer = (...answers: readonly (() => Response)[]) => {
  const requests: { readonly url: string; readonly request: FetchRequest }[] = [];
  const bodies: (readonly unknown[])[] = [];
  const queued = [...answers];
  const fetch: Fetcher = (target, request) => {
    requests.push({ url: target, request });
    const answer = queued.shift();
    if (answer !== undefined) return Promise.resolve(answer());
    const body = request.body ?? "";
    const { events } = v.parse(BodySchema, JSON.parse(body));
    const tooLarge = new TextEncoder().encode(body).length > limits.batchBytes || events.length > limits.batchEvents;
    if (tooLarge) return Promise.resolve(new Response("too large", { status: 413 }));
    bodies.push(events);
    return Promise.resolve(Response.json({ accepted: events.length, rejected: [] }, { status: 202 }));
  };
  const failNext = (times: number): void => {
    queued.push(...Array.from({ length: times }, () => () => new Response("down", { status: 503 })));
  };
  return { fetch, requests, bodies, failNext };
};

sinkSuite("http", () => {
  const { fetch, bodies, failNext } = fakeServer();
  return { sink: httpSink({ url, fetch }), received: () => bodies.flat(), failNext };
});

describe("the request", () => {
  test("is a POST of JSON to the ingest route, with the caller's headers", async () => {
    const { fetch, requests } = fakeServer();
    await httpSink({ url, fetch, headers: { authorization: "Bearer k", "content-type": "text/plain" } }).send([
      exposure(0),
    ]);
    expect(requests).toHaveLength(1);
    expect(requests[0]?.url).toBe("https://experiments.example/api/events");
    expect(requests[0]?.request).toMatchObject({
      method: "POST",
      headers: { authorization: "Bearer k", "content-type": "application/json" },
      body: JSON.stringify({ events: [exposure(0)] }),
    });
  });

  test("is one for each thousand events", async () => {
    const { fetch, bodies } = fakeServer();
    await httpSink({ url, fetch }).send(exposures(2_001));
    expect(bodies.map((events) => events.length)).toEqual([1_000, 1_000, 1]);
  });

  test.each(["", "not a url", "file:///etc/passwd"])("cannot go to %j", (target) => {
    expect(() => httpSink({ url: target })).toThrow(TypeError);
  });
});

describe("the answer", () => {
  const receipt = (body: unknown) => () => Response.json(body, { status: 202 });

  test("names refused events by their places in the whole batch, local refusals included", async () => {
    const { fetch } = fakeServer(
      receipt({ accepted: 998, rejected: [1, 999].map((index) => ({ index, message: `bad ${index}` })) }),
      receipt({ accepted: 0, rejected: [{ index: 0, message: "bad 0" }] }),
    );
    const oversize = exposure(0, { rulePath: "x".repeat(limits.eventBytes) });
    const { accepted, rejected } = await httpSink({ url, fetch }).send([oversize, ...exposures(1_001)]);
    expect(accepted).toBe(998);
    expect(rejected.map(({ index, message }) => [index, message.slice(0, 9)])).toEqual([
      [0, "the event"],
      [2, "bad 1"],
      [1_000, "bad 999"],
      [1_001, "bad 0"],
    ]);
  });

  test("413 halves the batch until it fits, and refuses the one event that does not", async () => {
    const large = "exposure-413";
    const fetch: Fetcher = (_, request) => {
      const { events } = v.parse(BodySchema, JSON.parse(request.body ?? ""));
      const tooLarge = events.length > 2 || JSON.stringify(events).includes(large);
      return Promise.resolve(
        tooLarge
          ? new Response("too large", { status: 413 })
          : Response.json({ accepted: events.length, rejected: [] }, { status: 202 }),
      );
    };
    const events = exposures(7).with(4, exposure(4, { rulePath: large }));
    const { accepted, rejected } = await httpSink({ url, fetch }).send(events);
    expect(accepted).toBe(6);
    expect(rejected).toEqual([{ index: 4, message: expect.stringContaining("answered 413: too large") as unknown }]);
  });

  test.each([400, 422])("%d refuses the batch for good", async (status) => {
    const { fetch } = fakeServer(() => new Response("no", { status }));
    const result = await httpSink({ url, fetch }).send(exposures(2));
    expect(result).toMatchObject({ accepted: 0, rejected: [{ index: 0 }, { index: 1 }] });
    expect(result.rejected[0]?.message).toBe(`https://experiments.example/api/events: answered ${status}: no`);
  });

  test.each([401, 403, 404, 408, 429, 500, 502, 503])("%d may be sent again", async (status) => {
    const { fetch } = fakeServer(() => new Response("later", { status }));
    const failure = httpSink({ url, fetch }).send(exposures(2));
    await expect(failure).rejects.toThrow(SinkError);
    await expect(failure).rejects.toThrow(`answered ${status}: later`);
  });

  const now = Date.UTC(2026, 10, 21, 10, 0, 0);
  test.each([
    ["30", 30_000],
    ["0", 0],
    ["Sat, 21 Nov 2026 10:01:00 GMT", 60_000],
    ["Sat, 21 Nov 2026 09:00:00 GMT", 0],
    ["soon", undefined],
    [undefined, undefined],
  ])("with Retry-After: %s waits %s ms", async (value, expected) => {
    for (const status of [429, 503]) {
      const headers = value === undefined ? {} : { "retry-after": value };
      const { fetch } = fakeServer(() => new Response("", { status, headers }));
      const failure = httpSink({ url, fetch, now: () => now }).send(exposures(1));
      // A step at a time: each has its own server.
      await expect(failure).rejects.toMatchObject({ retryAfterMs: expected });
    }
  });

  test.each([
    "",
    "<html>",
    "{}",
    '{"accepted":"1","rejected":[]}',
    '{"accepted":1,"rejected":[{"index":"0"}]}',
    "null",
  ])("200 with %j is no receipt: it may be sent again", async (body) => {
    const { fetch } = fakeServer(() => new Response(body, { status: 200 }));
    await expect(httpSink({ url, fetch }).send(exposures(1))).rejects.toThrow("answered 200 without a receipt");
  });

  test("a place that is not in the batch is ignored", async () => {
    const { fetch } = fakeServer(receipt({ accepted: 1, rejected: [{ index: 7, message: "?" }] }));
    expect(await httpSink({ url, fetch }).send(exposures(1))).toEqual({ accepted: 1, rejected: [] });
  });

  test("a network that fails may work later", async () => {
    const cause = new TypeError("fetch failed");
    const failure = httpSink({ url, fetch: () => Promise.reject(cause) }).send(exposures(1));
    await expect(failure).rejects.toMatchObject({ name: "SinkError", cause });
    await expect(failure).rejects.toThrow("https://experiments.example/api/events: fetch failed");
  });

  test("that takes too long is given up", async () => {
    const fetch: Fetcher = (_, { signal }) =>
      new Promise((__, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason));
      });
    await expect(httpSink({ url, fetch, timeoutMs: 1 }).send(exposures(1))).rejects.toThrow(SinkError);
  });
});

test("over a real connection, with the platform's own fetch", async () => {
  const arrived: unknown[] = [];
  const server = createServer((request, response) => {
    const answer = async (): Promise<void> => {
      arrived.push([request.method, request.url, JSON.parse(await text(request))]);
      response.writeHead(202, { "content-type": "application/json" });
      response.end(JSON.stringify({ accepted: 1, rejected: [{ index: 1, message: "no" }] }));
    };
    void answer();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" ? address?.port : undefined;
  try {
    const sink = httpSink({ url: `http://127.0.0.1:${port}/base/` });
    const rejected = [{ index: 1, message: "no" }];
    expect(await sink.send(exposures(2))).toEqual({ accepted: 1, rejected });
    expect(arrived).toEqual([["POST", "/base/api/events", { events: exposures(2) }]]);
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

test("what a page sends on its way out is kept alive, in parts that a browser takes", async () => {
  const bodies: { readonly bytes: number; readonly keepalive: boolean | undefined }[] = [];
  const sink = httpSink({
    url: "https://experiments.example",
    keepalive: true,
    fetch: async (_, { body = "", keepalive }) => {
      bodies.push({ bytes: new TextEncoder().encode(body).length, keepalive });
      return Response.json({ accepted: body.split('"eventId"').length - 1, rejected: [] });
    },
  });
  const events = Array.from({ length: 300 }, (_, n) => exposure(n, { rulePath: "日".repeat(200) }));
  expect(await sink.send(events)).toEqual({ accepted: 300, rejected: [] });
  expect(bodies.length).toBeGreaterThan(3);
  expect(Math.max(...bodies.map(({ bytes }) => bytes))).toBeLessThan(64 * 1024);
  expect(bodies.every(({ keepalive }) => keepalive === true)).toBe(true);
});
