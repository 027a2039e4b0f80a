/** Webhooks over real HTTP: signed, in order, at least once under one id; and nowhere but to their address. */
import { Webhook } from "standardwebhooks";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createOutbox } from "../../src/delivery/outbox.ts";
import { createPoster, isPostAddress } from "../../src/delivery/post.ts";
import { SinkError } from "../../src/events/sink-error.ts";
import type { GovernanceStore } from "../../src/governance/store.ts";
import { noticeOf } from "../../src/notices/notice.ts";
import { noticeWebhook, type NoticeWebhookOptions } from "../../src/notices/webhook.ts";
import { type HttpReceiver, startReceiver } from "../support/receiver.ts";
import { fullHistory, ref } from "./history.ts";

const secret = `whsec_${btoa("k".repeat(32))}`;

let receiver: HttpReceiver;
beforeEach(async () => {
  receiver = await startReceiver();
});
afterEach(() => receiver.close());

const history = await fullHistory();
const notices = history.events.flatMap((event) => noticeOf(ref, event, history.people) ?? []);

const setUp = (
  more: Partial<NoticeWebhookOptions> = {},
  store: Pick<GovernanceStore, "history" | "positions" | "advance"> = withoutPositions(),
) => {
  let time = history.now();
  const now = () => time;
  const reported: unknown[] = [];
  const webhook = noticeWebhook({ name: "team", url: receiver.url, secret, development: true, now, ...more });
  const outbox = createOutbox({
    store,
    subscribers: [webhook],
    now,
    random: () => 1,
    report: (error) => reported.push(error),
  });
  return { outbox, reported, store, wait: (ms: number) => void (time += ms) };
};

/** The same history for every test, and positions of its own. */
const withoutPositions = () => {
  const positions = new Map<string, number>();
  return {
    history: (...asked: Parameters<GovernanceStore["history"]>) => history.store.history(...asked),
    positions: () => Promise.resolve(positions),
    advance: (_ref: unknown, name: string, seq: number) => Promise.resolve(void positions.set(name, seq)),
  };
};

const idsOf = (): readonly unknown[] => receiver.arrived.map(({ headers }) => headers["webhook-id"]);
const ids = notices.map(({ id }) => id);

test("one request for each notice, in order, signed so that any library of the standard verifies it", async () => {
  const { outbox } = setUp({ link: "https://console.example/{tenant}/{environment}/{experiment}" });
  expect(await outbox.drain(ref)).toBeNull();
  expect(idsOf()).toEqual(ids);
  const first = receiver.arrived[0];
  expect(first).toMatchObject({ path: "/hook", headers: { "content-type": "application/json" } });
  expect(JSON.parse(first?.body ?? "")).toEqual({
    type: "experiment.committed",
    timestamp: notices[0]?.at,
    data: { ...notices[0], link: "https://console.example/default/default/checkout" },
  });
  for (const { body, headers } of receiver.arrived) {
    const signed = {
      "webhook-id": String(headers["webhook-id"]),
      "webhook-timestamp": String(headers["webhook-timestamp"]),
      "webhook-signature": String(headers["webhook-signature"]),
    };
    const library = new Webhook(secret);
    const made = library.sign(signed["webhook-id"], new Date(history.now()), body);
    expect(signed["webhook-signature"]).toBe(made);
  }
});

test("in Slack's shape, and only what is asked for", async () => {
  const { outbox } = setUp({ format: "slack", kinds: ["denied"], secret: undefined });
  await outbox.drain(ref);
  expect(receiver.arrived).toHaveLength(2);
  // What was held for want of evidence was denied to whoever asked, and is told as held.
  expect(receiver.arrived.map(({ body }) => /^\{"text":"(\w+): checkout: .*","blocks":\[/.exec(body)?.[1])).toEqual([
    "Denied",
    "Held",
  ]);
  expect(receiver.arrived[0]?.headers["webhook-signature"]).toBeUndefined();
});

test.each([500, 400, 404, 410, 429, 302, "reset" as const])(
  "after %s it comes again under the same id, and nothing goes before it",
  async (failure) => {
    const { outbox, reported, wait } = setUp();
    receiver.next.push(204, failure);
    const again = await outbox.drain(ref);
    expect(idsOf()).toEqual(ids.slice(0, 2));
    expect(reported).toHaveLength(1);
    wait((again ?? 0) - history.now());
    expect(await outbox.drain(ref)).toBeNull();
    expect(idsOf()).toEqual([ids[0], ids[1], ...ids.slice(1)]);
  },
);

test("it comes again with a fresh signature", async () => {
  const { outbox, wait } = setUp();
  receiver.next.push(500);
  await outbox.drain(ref);
  wait(600_000);
  await outbox.drain(ref);
  const [first, second] = receiver.arrived.map(({ headers }) => Number(headers["webhook-timestamp"]));
  expect((second ?? 0) - (first ?? 0)).toBe(600);
});

test("the process dies between delivery and position: the same id comes again", async () => {
  const store = withoutPositions();
  const dying = { ...store, advance: () => new Promise<never>(() => undefined) };
  void setUp({}, dying).outbox.drain(ref);
  await expect.poll(idsOf).toEqual([ids[0]]);
  await setUp({}, store).outbox.drain(ref);
  expect(idsOf()).toEqual([ids[0], ...ids]);
});

test("a receiver that asks for a pause gets it", async () => {
  const { outbox } = setUp();
  receiver.next.push({ status: 429, headers: { "retry-after": "120" } });
  expect(await outbox.drain(ref)).toBe(history.now() + 120_000);
});

test("what happened too long ago is no news: a webhook that was away goes on with what is", async () => {
  const { outbox, wait } = setUp({ maxAgeMs: 3_600_000 });
  receiver.next.push(500);
  await outbox.drain(ref);
  wait(3_600_000 - 60_000);
  expect(await outbox.drain(ref)).toBeNull();
  const late = notices.filter(({ at }) => Date.parse(at) >= history.now() - 60_000).map(({ id }) => id);
  expect(late.length).toBeLessThan(ids.length);
  expect(idsOf()).toEqual([ids[0], ...late]);
});

describe("what could be turned against us", () => {
  test("a redirect is not followed", async () => {
    const other = await startReceiver();
    try {
      const { outbox, reported } = setUp();
      receiver.next.push({ status: 307, headers: { location: other.url } });
      await outbox.drain(ref);
      expect(other.arrived).toEqual([]);
      expect(String(reported[0])).toContain("answered 307: redirects are not followed");
    } finally {
      await other.close();
    }
  });

  test("an answer without end is not read, and not repeated", async () => {
    const { outbox, reported } = setUp();
    receiver.next.push({ status: 500, headers: {}, body: "leaked ".repeat(1_000_000) });
    await outbox.drain(ref);
    expect(String(reported[0])).not.toContain("leaked");
  });

  test("one that never answers is given up", async () => {
    const { outbox, reported } = setUp({ timeoutMs: 20 });
    receiver.next.push("hang");
    await outbox.drain(ref);
    expect(String(reported[0])).toContain("did not answer within 20 ms");
  });

  test("errors name no address", async () => {
    const address = receiver.url;
    await receiver.close();
    const { outbox, reported } = setUp({ url: address });
    await outbox.drain(ref);
    receiver = await startReceiver();
    expect(String(reported[0])).toContain("could not be reached");
    expect(String(reported[0])).not.toContain(new URL(address).port);
  });

  test.each([
    ["https://example.com/hook", true, true],
    ["https://10.0.0.1/hook?a=b", true, true],
    ["http://127.0.0.1:1/hook", false, true],
    ["http://localhost/hook", false, true],
    ["http://[::1]:8080/", false, true],
    ["http://127.0.0.1.example.com/", false, false],
    ["http://example.com/hook", false, false],
    ["https://user:password@example.com/", false, false],
    ["https://user@example.com/", false, false],
    ["ftp://example.com/", false, false],
    ["file:///etc/passwd", false, false],
    ["javascript:alert(1)", false, false],
    ["example.com", false, false],
    ["", false, false],
  ])("%s: in a deployment %s, during development %s", (address, deployed, development) => {
    expect([isPostAddress(address, false), isPostAddress(address, true)]).toEqual([deployed, development]);
  });

  test("an address that nothing may be posted to is refused at once, and not shown", () => {
    const url = "http://internal.example/secret-token";
    expect(() => createPoster({ url, now: Date.now })).toThrow("the address is none: https, without a password");
    expect(() => noticeWebhook({ name: "a", url })).toThrow(TypeError);
  });
});

test("a failure is a SinkError", async () => {
  const post = createPoster({ url: receiver.url, development: true, now: Date.now });
  receiver.next.push(503);
  await expect(post("{}", {})).rejects.toThrow(SinkError);
});
