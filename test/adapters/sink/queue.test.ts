import { expect, test } from "vitest";
import { queueSink, type QueueBinding } from "../../../adapters/sink/queue.ts";
import { decodeMessage, messageBytes, messageEvents } from "../../../src/events/message.ts";
import { utf8Length } from "../../../src/utf8.ts";
import { sinkSuite } from "../../conformance/sink.suite.ts";
import { exposure, exposures } from "../../events/fixtures.ts";

/** A queue that refuses what Cloudflare's refuses, and keeps each `sendBatch` call. */
const fakeQueue = () => {
  const calls: (readonly string[])[] = [];
  let failures = 0;
  const queue: QueueBinding = {
    sendBatch(batch) {
      const messages = [...batch];
      const bytes = messages.map(({ body }) => utf8Length(body));
      const total = bytes.reduce((sum, each) => sum + each, 0);
      if (messages.length === 0 || messages.length > 100) throw new RangeError(`${messages.length} messages`);
      if (total > 256_000 || bytes.some((each) => each > 128_000)) throw new RangeError(`${total} bytes`);
      if (messages.some(({ contentType }) => contentType !== "text")) throw new TypeError("content type");
      if (failures > 0) {
        failures -= 1;
        return Promise.reject(new Error("queue overloaded"));
      }
      calls.push(messages.map(({ body }) => body));
      return Promise.resolve();
    },
  };
  return {
    queue,
    calls,
    failNext: (times: number): void => {
      failures = times;
    },
  };
};

sinkSuite("queue", () => {
  const { queue, calls, failNext } = fakeQueue();
  return { sink: queueSink({ queue }), received: () => calls.flat().flatMap(decodeMessage), failNext };
});

test("packs many events into a message, and many messages into a call", async () => {
  const { queue, calls } = fakeQueue();
  await queueSink({ queue }).send(exposures(1_000));
  expect(calls.flat().map((body) => decodeMessage(body).length)).toEqual([200, 200, 200, 200, 200]);
  expect(calls.length).toBeLessThanOrEqual(2);
});

test("keeps to the limits of the queue with events of any size", async () => {
  const { queue, calls } = fakeQueue();
  const events = Array.from({ length: 900 }, (_, index) =>
    exposure(index, { rulePath: "日".repeat((index * 7_919) % 10_000) }),
  );
  expect(await queueSink({ queue }).send(events)).toEqual({ accepted: 900, rejected: [] });
  expect(calls.flat().flatMap(decodeMessage)).toEqual(events);
  expect(Math.max(...calls.flat().map(utf8Length))).toBeLessThanOrEqual(messageBytes);
  expect(Math.max(...calls.flat().map((body) => decodeMessage(body).length))).toBeLessThanOrEqual(messageEvents);
});
