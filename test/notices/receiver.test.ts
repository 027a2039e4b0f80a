/** The receiving end: each message once, whoever sends it again; hostile requests end at the door. */
import { expect, test } from "vitest";
import { type WebhookMessage, webhookMemory, webhookReceiver } from "../../src/notices/receiver.ts";
import { parseSecrets, signWebhook } from "../../src/notices/signature.ts";

const secret = `whsec_${btoa("k".repeat(32))}`;
const time = 1_795_000_000;

const bodyOf = (data: unknown = 1): string =>
  JSON.stringify({ type: "experiment.committed", timestamp: "2026-11-25T00:00:00.000Z", data });

const requestOf = async (id: string, body: string, more: { at?: number; method?: string } = {}): Promise<Request> =>
  new Request("https://example.com/hook", {
    method: more.method ?? "POST",
    headers: { ...(await signWebhook(parseSecrets(secret), id, more.at ?? time, body)) },
    ...(more.method === "GET" ? {} : { body }),
  });

const setUp = (handle: (message: WebhookMessage) => void | Promise<void> = () => undefined) => {
  const handled: WebhookMessage[] = [];
  const reported: unknown[] = [];
  let clock = time * 1_000;
  const receive = webhookReceiver({
    secret,
    now: () => clock,
    maxBytes: 1_000,
    report: (error) => reported.push(error),
    handle: async (message) => {
      await handle(message);
      handled.push(message);
    },
  });
  const send = async (...args: Parameters<typeof requestOf>): Promise<number> =>
    (await receive(await requestOf(...args))).status;
  return { receive, send, handled, reported, wait: (ms: number) => void (clock += ms) };
};

test("a message is handled once; sent again, with the same signature or a new one, it is answered", async () => {
  const { send, handled, wait } = setUp();
  expect(await send("a", bodyOf("x"))).toBe(204);
  expect(await send("a", bodyOf("x"))).toBe(200);
  wait(10_000);
  expect(await send("a", bodyOf("x"), { at: time + 10 })).toBe(200);
  expect(handled).toEqual([
    { id: "a", type: "experiment.committed", timestamp: "2026-11-25T00:00:00.000Z", data: "x" },
  ]);
  expect(await send("b", bodyOf("x"), { at: time + 10 })).toBe(204);
});

test("one that could not be handled comes again", async () => {
  let fails = true;
  const { send, handled, reported } = setUp(() => {
    if (fails) throw new Error("the database is away");
  });
  expect(await send("a", bodyOf())).toBe(500);
  expect(handled).toEqual([]);
  expect(reported).toMatchObject([{ message: "the database is away" }]);
  fails = false;
  expect(await send("a", bodyOf())).toBe(204);
  expect(handled).toHaveLength(1);
});

test("one that comes again while it is being handled is put off", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const { receive, send, handled } = setUp(() => promise);
  const first = send("a", bodyOf());
  await new Promise((done) => setTimeout(done, 5));
  const second = await receive(await requestOf("a", bodyOf()));
  expect([second.status, second.headers.get("retry-after")]).toEqual([409, "1"]);
  resolve();
  expect(await first).toBe(204);
  expect(await send("a", bodyOf())).toBe(200);
  expect(handled).toHaveLength(1);
});

test("a replay after the tolerance is too old, whatever is still remembered", async () => {
  const { send, wait } = setUp();
  await send("a", bodyOf());
  wait(301_000);
  expect(await send("a", bodyOf())).toBe(401);
});

test("what is not signed, not a message, too long or no POST ends at the door", async () => {
  const { receive, send, handled } = setUp();
  const unsigned = new Request("https://example.com/hook", { method: "POST", body: bodyOf() });
  expect((await receive(unsigned)).status).toBe(401);
  const forged = new Request(await requestOf("a", bodyOf()), { body: bodyOf("other"), method: "POST" });
  expect((await receive(forged)).status).toBe(401);
  for (const body of ["", "null", "[]", "{", '"text"', '{"type":1,"timestamp":"x","data":1}', '{"type":"a"}'])
    expect(await send("a", body)).toBe(400);
  expect(await send("a", bodyOf("x".repeat(1_001)))).toBe(413);
  expect(await send("a", bodyOf(), { method: "GET" })).toBe(405);
  const response = await receive(new Request("https://example.com/hook"));
  expect([response.status, response.headers.get("allow")]).toEqual([405, "POST"]);
  expect(handled).toEqual([]);
});

test("bytes that are no text are no message", async () => {
  const { receive, handled } = setUp();
  const bytes = new Uint8Array([0x7b, 0xff, 0x7d]);
  const headers = await signWebhook(parseSecrets(secret), "a", time, "");
  const response = await receive(new Request("https://example.com/hook", { method: "POST", headers, body: bytes }));
  expect(response.status).toBe(401);
  expect(handled).toEqual([]);
});

test("members of a message cannot reach its prototype", async () => {
  const { send, handled } = setUp();
  const body = '{"type":"a","timestamp":"t","data":{"__proto__":{"polluted":true}},"__proto__":{"data":1}}';
  expect(await send("a", body)).toBe(204);
  expect(Object.keys(handled[0] ?? {})).toEqual(["id", "type", "timestamp", "data"]);
  expect(Reflect.get({}, "polluted")).toBeUndefined();
});

test("the memory holds so many and no more; the oldest make room", async () => {
  const memory = webhookMemory(3);
  for (const id of ["a", "b", "c", "d"]) await memory.add(id);
  expect(["a", "b", "c", "d"].map((id) => memory.has(id))).toEqual([false, true, true, true]);
});

test("a secret that is none is refused at once", () => {
  expect(() => webhookReceiver({ secret: "hunter2", handle: () => undefined })).toThrow(TypeError);
});
