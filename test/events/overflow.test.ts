/** What a full buffer does: an outage costs events, which are counted, and never memory or more time than was allowed. */
import { describe, expect, test } from "vitest";
import { createEventBuffer, type EventBufferOptions } from "../../src/events/buffer.ts";
import type { EnvelopeInput } from "../../src/events/envelope.ts";
import { SinkError } from "../../src/events/sink-error.ts";
import type { EventSink } from "../../src/events/sink.ts";
import { manualClock } from "./clock.ts";
import { exposure } from "./fixtures.ts";

const setup = (options: Partial<EventBufferOptions> = {}) => {
  const clock = manualClock();
  const arrived: EnvelopeInput[] = [];
  let isDown = true;
  const sink: EventSink = {
    name: "queue",
    send(events) {
      if (isDown) return Promise.reject(new SinkError("queue overloaded"));
      arrived.push(...events);
      return Promise.resolve({ accepted: events.length, rejected: [] });
    },
    health: () => ({ status: "healthy", description: "" }),
  };
  const buffer = createEventBuffer({ sink, now: clock.now, startTimer: clock.startTimer, random: () => 0, ...options });
  return { buffer, clock, arrived, comeBack: () => void (isDown = false) };
};

describe("an outage of the queue for 100,000 exposures", () => {
  test("is bounded by the limits, drops are counted exactly, and service resumes", async () => {
    const maxBytes = 512 * 1024;
    const { buffer, clock, arrived, comeBack } = setup({ maxEvents: 3_000, maxBytes });
    let taken = 0;
    let most = { events: 0, bytes: 0 };
    for (let n = 0; n < 100_000; n += 1) {
      // Sizes differ, so now one limit is met and now the other.
      if (buffer.add(exposure(n, { rulePath: "x".repeat((n * 7_919) % 300) }))) taken += 1;
      if (n % 100 !== 0) continue;
      if (n % 10_000 === 0) await clock.advance(1_000);
      const { events, bytes } = buffer.health();
      most = { events: Math.max(most.events, events), bytes: Math.max(most.bytes, bytes) };
    }
    expect(most.events).toBeLessThanOrEqual(3_000);
    expect(most.bytes).toBeLessThanOrEqual(maxBytes);
    expect(most.bytes).toBeGreaterThan(maxBytes * 0.9);
    const during = buffer.health();
    expect(during.dropped).toEqual({ overflow: 100_000 - taken, oversize: 0, closed: 0 });
    expect(during).toMatchObject({ events: taken });
    expect(during.description).toContain(`${100_000 - taken} dropped`);
    expect(during.failures).toBeGreaterThan(1);

    comeBack();
    await clock.advance(30_000);
    expect(buffer.health()).toMatchObject({ status: "healthy", events: 0, bytes: 0, sent: taken });
    for (let n = 0; n < 1_000; n += 1) expect(buffer.add(exposure(100_000 + n))).toBe(true);
    await clock.advance(2_000);
    expect(arrived).toHaveLength(taken + 1_000);
    expect(new Set(arrived.map(({ eventId }) => eventId)).size).toBe(taken + 1_000);
  });
});

describe("an event that is made when its batch goes", () => {
  test("is made once, however often it is sent", async () => {
    const { buffer, clock, arrived, comeBack } = setup();
    let times = 0;
    const make = () => {
      times += 1;
      return exposure(times);
    };
    buffer.defer({ bytes: 200, make }, clock.now());
    await clock.advance(3_000);
    expect(times).toBe(1);
    comeBack();
    await clock.advance(3_000);
    expect(arrived).toEqual([exposure(1)]);
  });

  test("and cannot be made, is dropped and counted, and keeps no other", async () => {
    const errors: unknown[] = [];
    const { buffer, clock, arrived, comeBack } = setup({ onError: (error) => errors.push(error) });
    comeBack();
    const make = (): never => {
      throw new Error("no id");
    };
    buffer.defer({ bytes: 200, make }, clock.now());
    expect(await buffer.flush()).toBe(false);
    buffer.defer({ bytes: 200, make }, clock.now());
    buffer.add(exposure(1));
    expect(await buffer.flush()).toBe(false);
    expect(arrived).toEqual([exposure(1)]);
    expect(buffer.health()).toMatchObject({ events: 0, bytes: 0, dropped: { oversize: 2 } });
    expect(errors).toEqual([new Error("no id"), new Error("no id")]);
  });
});
