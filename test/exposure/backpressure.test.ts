/** Waiting for room: never past the deadline, never without a bound, and each place is given once. */
import { describe, expect, test } from "vitest";
import { createEventBuffer, type EventBufferOptions } from "../../src/events/buffer.ts";
import type { EnvelopeInput } from "../../src/events/envelope.ts";
import { encodeEvent } from "../../src/events/message.ts";
import { SinkError } from "../../src/events/sink-error.ts";
import { type BackpressureOptions, createBackpressure } from "../../src/exposure/backpressure.ts";
import { manualClock, settle } from "../events/clock.ts";
import { exposure } from "../events/fixtures.ts";

const setup = (options: Partial<EventBufferOptions & BackpressureOptions> = {}) => {
  const clock = manualClock();
  const arrived: EnvelopeInput[] = [];
  let isDown = true;
  let open = Infinity;
  const buffer = createEventBuffer({
    sink: {
      name: "queue",
      send(events) {
        if (isDown || open <= 0) return Promise.reject(new SinkError("queue overloaded"));
        open -= 1;
        arrived.push(...events);
        return Promise.resolve({ accepted: events.length, rejected: [] });
      },
      health: () => ({ status: "healthy", description: "" }),
    },
    now: clock.now,
    startTimer: clock.startTimer,
    random: () => 0,
    maxEvents: 2,
    flushEvents: 1,
    ...options,
  });
  const backpressure = createBackpressure({ blockMs: 500, now: clock.now, ...options, buffer });
  const comeBack = (sends = Infinity): void => {
    isDown = false;
    open = sends;
  };
  return { buffer, backpressure, clock, arrived, comeBack };
};

const bytesOf = (event: EnvelopeInput): number => {
  const encoded = encodeEvent(event);
  return "bytes" in encoded ? encoded.bytes : 0;
};

/** The answer of a promise and the time it came at; undefined while it has none. */
const watch = <T>(promise: Promise<T>, now: () => number): { answer?: T; at?: number } => {
  const seen: { answer?: T; at?: number } = {};
  void promise.then((answer) => Object.assign(seen, { answer, at: now() }));
  return seen;
};

describe("an outage of the queue for 100,000 offers", () => {
  test("holds nobody past the deadline and nothing beyond the limits; drops are counted exactly, and service resumes", async () => {
    const [bursts, size, blockMs] = [100, 1_000, 500];
    const { buffer, backpressure, clock, arrived, comeBack } = setup({
      maxEvents: 3_000,
      flushEvents: 500,
      maxBlocked: 100,
      blockMs,
    });
    let taken = 0;
    const waits: number[] = [];
    for (let burst = 0; burst < bursts; burst += 1) {
      const began = clock.now();
      const offers = Array.from({ length: size }, (_none, n) =>
        watch(backpressure.offer(exposure(burst * size + n)), clock.now),
      );
      await settle();
      expect(backpressure.blocked).toBe(burst < 3 ? 0 : 100);
      expect(buffer.health().events).toBeLessThanOrEqual(3_000);
      await clock.advance(blockMs);
      taken += offers.filter(({ answer }) => answer === true).length;
      for (const { at = Infinity } of offers) waits.push(at - began);
    }
    // Everybody has an answer: at once where there was room, or too many waited; otherwise at the deadline.
    expect([...new Set(waits)].toSorted((a, b) => a - b)).toEqual([0, blockMs]);
    expect(waits.filter((wait) => wait === blockMs)).toHaveLength((bursts - 3) * 100);
    expect(taken).toBe(3_000);
    expect(buffer.health()).toMatchObject({ events: 3_000, dropped: { overflow: bursts * size - 3_000 } });

    comeBack();
    await clock.advance(60_000);
    const last = watch(backpressure.offer(exposure(bursts * size)), clock.now);
    await clock.advance(2_000);
    expect(last.answer).toBe(true);
    expect(new Set(arrived.map(({ eventId }) => eventId)).size).toBe(3_001);
    expect(arrived).toHaveLength(3_001);
    expect(buffer.health()).toMatchObject({ status: "healthy", events: 0, bytes: 0 });
  });
});

describe("an offer to a full buffer", () => {
  test("waits for room, and gets it", async () => {
    const { buffer, backpressure, clock, comeBack } = setup();
    await Promise.all([backpressure.offer(exposure(0)), backpressure.offer(exposure(1))]);
    const third = watch(backpressure.offer(exposure(2)), clock.now);
    const waiting = watch(backpressure.room(), clock.now);
    await clock.advance(100);
    expect([third, waiting]).toEqual([{}, {}]);
    expect(backpressure.blocked).toBe(2);
    expect(buffer.health().dropped.overflow).toBe(0);
    comeBack();
    await clock.advance(300);
    expect([third.answer, waiting.answer]).toEqual([true, true]);
    expect(backpressure.blocked).toBe(0);
    expect(buffer.health().dropped.overflow).toBe(0);
  });

  test("gives up at the deadline, not a millisecond after it, and is counted", async () => {
    const { buffer, backpressure, clock } = setup();
    await Promise.all([backpressure.offer(exposure(0)), backpressure.offer(exposure(1))]);
    const began = clock.now();
    const third = watch(backpressure.offer(exposure(2)), clock.now);
    const waiting = watch(backpressure.room(), clock.now);
    await clock.advance(499);
    expect([third, waiting]).toEqual([{}, {}]);
    await clock.advance(1);
    expect(third).toEqual({ answer: false, at: began + 500 });
    expect(waiting).toEqual({ answer: false, at: began + 500 });
    expect(backpressure.blocked).toBe(0);
    expect(buffer.health().dropped.overflow).toBe(1);
  });

  test("of many that wait for few places, each place is given once, and the rest are dropped at the deadline", async () => {
    const { buffer, backpressure, clock, arrived, comeBack } = setup({
      maxEvents: 5,
      flushEvents: 5,
      flushIntervalMs: 10_000,
      backoffMs: 10,
      backoffMaxMs: 10,
    });
    for (let n = 0; n < 5; n += 1) buffer.add(exposure(n));
    await settle();
    const began = clock.now();
    const offers = Array.from({ length: 40 }, (_, n) => watch(backpressure.offer(exposure(5 + n)), clock.now));
    comeBack(1); // One batch of five leaves, and no other.
    await clock.advance(1_000);
    expect(offers.filter(({ answer }) => answer === true)).toHaveLength(5);
    expect(Math.max(...offers.map(({ at = Infinity }) => at - began))).toBe(500);
    expect(buffer.health()).toMatchObject({ events: 5, dropped: { overflow: 35 } });
    comeBack();
    await clock.advance(1_000);
    expect(arrived).toHaveLength(10);
  });

  test("is bounded in number: what waits is held, too", async () => {
    const { buffer, backpressure, clock } = setup({ maxBlocked: 3 });
    buffer.add(exposure(0));
    buffer.add(exposure(1));
    const offers = Array.from({ length: 10 }, (_, n) => watch(backpressure.offer(exposure(2 + n)), clock.now));
    await settle();
    expect(backpressure.blocked).toBe(3);
    expect(buffer.health().dropped.overflow).toBe(7);
    expect(offers.filter(({ answer }) => answer === false)).toHaveLength(7);
    await clock.advance(500);
    expect(backpressure.blocked).toBe(0);
    expect(buffer.health().dropped.overflow).toBe(10);
  });

  test("that could never fit waits in vain, and one that has no JSON form does not", async () => {
    const { backpressure, buffer, clock } = setup({ maxBytes: bytesOf(exposure(0)) - 1 });
    const offered = watch(backpressure.offer(exposure(0)), clock.now);
    await clock.advance(500);
    expect(offered.answer).toBe(false);
    const circular: Record<string, unknown> = {};
    circular["self"] = circular;
    expect(await backpressure.offer(exposure(0, { attributes: circular }))).toBe(false);
    expect(buffer.health().dropped).toEqual({ overflow: 1, oversize: 1, closed: 0 });
  });

  test("ends when the buffer is closed", async () => {
    const { buffer, backpressure, clock } = setup();
    buffer.add(exposure(0));
    buffer.add(exposure(1));
    const third = watch(backpressure.offer(exposure(2)), clock.now);
    await settle();
    const closing = buffer.close(100);
    await clock.advance(200);
    await closing;
    expect(third.answer).toBe(false);
    expect(buffer.health().dropped).toEqual({ overflow: 0, oversize: 0, closed: 3 });
  });
});
