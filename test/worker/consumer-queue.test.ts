import { env } from "cloudflare:workers";
import { expect, test, vi } from "vitest";
import type { EnvelopeInput } from "../../src/events/envelope.ts";
import { encodeMessages } from "../../src/events/message.ts";
import { idOf, newRef, stubOf } from "./ledger-support.ts";

test("events sent to the queue are counted by the ledger, sent twice they are counted once", async () => {
  const ref = newRef();
  const events = Array.from({ length: 500 }, (_, n): EnvelopeInput => {
    const payload = { experimentName: ref.experiment, subjectId: `user-${n % 100}` };
    const head = { eventId: idOf(n), timestamp: new Date(1_790_000_000_000 + n).toISOString() };
    return n < 200
      ? { ...head, eventType: "Exposure", payload: { ...payload, variantKey: n % 2 === 0 ? "a" : "b", epoch: 1 } }
      : { ...head, eventType: "Outcome", payload: { ...payload, metric: "spend", kind: "continuous", value: 0.1 } };
  });
  for (let time = 0; time < 2; time += 1) {
    await env.EVENTS.sendBatch(Array.from(encodeMessages(events), (body) => ({ body, contentType: "text" })));
  }
  await vi.waitFor(async () => expect((await stubOf(ref).counts()).received).toBe(1_000), { timeout: 10_000 });
  expect(await stubOf(ref).counts()).toMatchObject({
    arms: [
      { variant: "a", epoch: 1, subjects: 50 },
      { variant: "b", epoch: 1, subjects: 50 },
    ],
    exposures: 200,
    repeats: 100,
    crossovers: 0,
    outcomes: 300,
    metrics: [
      {
        metric: "spend",
        kind: "continuous",
        unexposed: 0,
        arms: [
          { variant: "a", observed: 50, sum: "15", sumOfSquares: "4.5" },
          { variant: "b", observed: 50, sum: "15", sumOfSquares: "4.5" },
        ],
      },
    ],
  });
});
