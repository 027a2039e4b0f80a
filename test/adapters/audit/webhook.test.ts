import { Webhook } from "standardwebhooks";
import * as v from "valibot";
import { expect, test } from "vitest";
import { webhookAudit } from "../../../adapters/audit/webhook.ts";
import { auditRecord } from "../../../src/audit/record.ts";
import { auditSuite } from "../../conformance/audit.suite.ts";
import { fullHistory, ref } from "../../notices/history.ts";
import { startReceiver } from "../../support/receiver.ts";

const secret = `whsec_${btoa("k".repeat(32))}`;
const Message = v.strictObject({
  type: v.literal("audit.events"),
  timestamp: v.pipe(v.string(), v.isoTimestamp()),
  data: v.strictObject({ records: v.array(v.unknown()) }),
});

auditSuite("webhook", async () => {
  const receiver = await startReceiver();
  const answered: number[] = [];
  return {
    sink: webhookAudit({ url: receiver.url, secret, development: true }),
    received: () =>
      receiver.arrived
        .filter((_, index) => !answered.includes(index))
        .flatMap(({ body }) => v.parse(Message, JSON.parse(body)).data.records),
    failNext(times) {
      const first = receiver.arrived.length;
      for (let index = 0; index < times; index += 1) {
        receiver.next.push(503);
        answered.push(first + index);
      }
    },
    close: () => receiver.close(),
  };
});

test("a batch is signed, keeps to its size, and has the same id when it comes again", async () => {
  const receiver = await startReceiver();
  try {
    const { events } = await fullHistory();
    const records = events.map((event) => auditRecord(ref, event, new Map(), "none"));
    const headers = { authorization: "Splunk token" };
    const sink = webhookAudit({ url: receiver.url, secret, development: true, headers, bodyBytes: 8_000 });
    await sink.write(records);
    const first = receiver.arrived.map((arrived) => arrived.headers["webhook-id"]);
    expect(first.length).toBeGreaterThan(2);
    await sink.write(records);
    expect(receiver.arrived.slice(first.length).map((arrived) => arrived.headers["webhook-id"])).toEqual(first);
    for (const { body, headers: given } of receiver.arrived) {
      expect(Buffer.byteLength(body)).toBeLessThanOrEqual(8_000);
      expect(given["authorization"]).toBe("Splunk token");
      const verified: unknown = new Webhook(secret).verify(body, {
        "webhook-id": String(given["webhook-id"]),
        "webhook-timestamp": String(given["webhook-timestamp"]),
        "webhook-signature": String(given["webhook-signature"]),
      });
      expect(v.is(Message, verified)).toBe(true);
    }
  } finally {
    await receiver.close();
  }
});
