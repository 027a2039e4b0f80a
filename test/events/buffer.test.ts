import { describe, expect, test, vi } from "vitest";
import { createEventBuffer, type EventBufferOptions } from "../../src/events/buffer.ts";
import type { EnvelopeInput } from "../../src/events/envelope.ts";
import { encodeEvent } from "../../src/events/message.ts";
import { SinkError } from "../../src/events/sink-error.ts";
import type { EventSink, SinkReceipt } from "../../src/events/sink.ts";
import type { StartTimer } from "../../src/events/timer.ts";
import { limits } from "../../src/limits.ts";
import { manualClock, settle } from "./clock.ts";
import { exposure, exposures } from "./fixtures.ts";

const acceptAll = (events: readonly EnvelopeInput[]): Promise<SinkReceipt> =>
  Promise.resolve({ accepted: events.length, rejected: [] });

const setup = (options: Partial<EventBufferOptions> = {}) => {
  const clock = manualClock();
  const batches: (readonly EnvelopeInput[])[] = [];
  const errors: unknown[] = [];
  let answer: EventSink["send"] = acceptAll;
  const sink: EventSink = {
    name: "far side",
    send(events) {
      batches.push(events);
      return answer(events);
    },
    health: () => ({ status: "healthy", description: "" }),
  };
  const buffer = createEventBuffer({
    sink,
    now: clock.now,
    startTimer: clock.startTimer,
    random: () => 0,
    onError: (error) => errors.push(error),
    ...options,
  });
  return {
    buffer,
    clock,
    batches,
    errors,
    add: (events: readonly EnvelopeInput[]): boolean[] => events.map((event) => buffer.add(event)),
    sizes: () => batches.map((batch) => batch.length),
    answerWith: (next: EventSink["send"]): void => {
      answer = next;
    },
  };
};

const down = (): Promise<never> => Promise.reject(new SinkError("503"));
const bytesOf = (event: EnvelopeInput): number => {
  const encoded = encodeEvent(event);
  return "bytes" in encoded ? encoded.bytes : 0;
};

describe("a batch goes", () => {
  test("when enough events wait", async () => {
    const { add, sizes } = setup({ flushEvents: 3 });
    add(exposures(2));
    await settle();
    expect(sizes()).toEqual([]);
    add([exposure(2)]);
    await settle();
    expect(sizes()).toEqual([3]);
  });

  test("when they have enough bytes", async () => {
    const { add, sizes } = setup({ flushBytes: 3 * bytesOf(exposure(0)) });
    add(exposures(2));
    await settle();
    expect(sizes()).toEqual([]);
    add([exposure(2)]);
    await settle();
    expect(sizes()).toEqual([3]);
  });

  test("when the oldest has waited long enough, and not before", async () => {
    const { add, sizes, clock } = setup({ flushIntervalMs: 1_000 });
    add([exposure(0)]);
    await clock.advance(600);
    add([exposure(1)]);
    await clock.advance(399);
    expect(sizes()).toEqual([]);
    await clock.advance(1);
    expect(sizes()).toEqual([2]);
    await clock.advance(10_000);
    expect(sizes()).toEqual([2]);
  });

  test("by settings that change from batch to batch, where somebody tells them", async () => {
    let flushEvents: number | undefined = 2;
    const { add, sizes, clock } = setup({
      // Told a time as well, which is not heard: it is set here.
      flushIntervalMs: 50,
      flushSettings: () => (flushEvents === undefined ? undefined : { flushEvents, flushIntervalMs: 1 }),
    });
    add(exposures(2));
    await settle();
    flushEvents = 3;
    add(exposures(2));
    await clock.advance(2);
    expect(sizes()).toEqual([2]);
    flushEvents = undefined;
    add(exposures(1));
    await settle();
    add(exposures(3));
    await clock.advance(49);
    expect(sizes()).toEqual([2, 3]);
    await clock.advance(1);
    expect(sizes()).toEqual([2, 3, 3]);
  });

  test("after its default time, where undefined is said", async () => {
    const { add, sizes, clock } = setup({
      flushSettings: () => ({ flushEvents: undefined, flushIntervalMs: undefined }),
    });
    add([exposure(0)]);
    await clock.advance(999);
    expect(sizes()).toEqual([]);
    expect(clock.pending()).toHaveLength(1);
    await clock.advance(1);
    expect(sizes()).toEqual([1]);
  });

  test("after a time that no timer can count, which is waited for in parts", async () => {
    const start = vi.fn<StartTimer>();
    const { add, sizes, clock } = setup({
      flushIntervalMs: 2 ** 32,
      startTimer: (...timer) => {
        start(...timer);
        return clock.startTimer(...timer);
      },
    });
    add([exposure(0)]);
    await clock.advance(2 ** 32 - 1);
    expect(sizes()).toEqual([]);
    await clock.advance(1);
    expect(sizes()).toEqual([1]);
    const delays = start.mock.calls.map(([, delay]) => delay);
    expect(Math.max(...delays)).toBe(2 ** 31 - 1);
    expect(delays.length).toBeLessThan(6);
  });

  test("when it is flushed", async () => {
    const { add, buffer, batches } = setup();
    add(exposures(2));
    expect(await buffer.flush()).toBe(true);
    expect(batches).toEqual([exposures(2)]);
    expect(await buffer.flush()).toBe(true);
    expect(batches).toHaveLength(1);
  });

  test("when an event comes after its time although the timer died with the request that set it", async () => {
    const { add, sizes, clock } = setup({ flushIntervalMs: 1_000 });
    add([exposure(0)]);
    await settle();
    clock.advanceWithoutTimers(1_000);
    add([exposure(1)]);
    await settle();
    expect(sizes()).toEqual([2]);
  });

  test("after the application's call, never inside it", async () => {
    const { add, sizes } = setup({ flushEvents: 1 });
    add([exposure(0)]);
    expect(sizes()).toEqual([]);
    await settle();
    expect(sizes()).toEqual([1]);
  });

  test("in order, one at a time, with at most 1,000 events", async () => {
    const { add, buffer, batches, sizes, answerWith } = setup();
    let under = 0;
    let most = 0;
    answerWith(async (events) => {
      under += 1;
      most = Math.max(most, under);
      await settle();
      under -= 1;
      return acceptAll(events);
    });
    add(exposures(2_500));
    expect(await buffer.flush()).toBe(true);
    expect(sizes()).toEqual([1_000, 1_000, 500]);
    expect(batches.flat()).toEqual(exposures(2_500));
    expect(most).toBe(1);
  });

  test("within the bytes of a batch", async () => {
    const large = Array.from({ length: 600 }, (_, index) => exposure(index, { rulePath: "x".repeat(30_000) }));
    const { add, buffer, batches } = setup({ maxBytes: 64 * 1024 * 1024, flushBytes: Infinity, flushEvents: Infinity });
    add(large);
    expect(await buffer.flush()).toBe(true);
    expect(batches.flat()).toEqual(large);
    for (const batch of batches) {
      expect(batch.reduce((sum, event) => sum + bytesOf(event), 0)).toBeLessThanOrEqual(limits.batchBytes);
    }
  });
});

describe("the buffer is bounded", () => {
  test("in events, the batch under way included: what comes on top is dropped, counted and told once", async () => {
    const { add, buffer, errors, answerWith } = setup({ maxEvents: 5, flushEvents: 3 });
    const { promise, resolve } = Promise.withResolvers<SinkReceipt>();
    answerWith(() => promise);
    expect(add(exposures(3))).toEqual([true, true, true]);
    await settle();
    expect(add(exposures(5).slice(3))).toEqual([true, true]);
    expect(add([exposure(5), exposure(6)])).toEqual([false, false]);
    expect(buffer.health()).toMatchObject({ status: "degraded", events: 5, dropped: { overflow: 2 } });
    expect(errors).toHaveLength(1);
    resolve({ accepted: 3, rejected: [] });
    await settle();
    expect(buffer.health()).toMatchObject({ status: "healthy", events: 2, sent: 3 });
    expect(add([exposure(7)])).toEqual([true]);
  });

  test("in bytes", () => {
    const size = bytesOf(exposure(0));
    const { add, buffer } = setup({ maxBytes: 3 * size + 1 });
    expect(add(exposures(4))).toEqual([true, true, true, false]);
    expect(buffer.health()).toMatchObject({ events: 3, bytes: 3 * size, dropped: { overflow: 1 } });
  });

  test("through an outage of any length: memory stays, drops are counted, nothing is lost twice", async () => {
    const { add, buffer, clock, answerWith } = setup({ maxEvents: 100, flushEvents: 10 });
    answerWith(down);
    let added = 0;
    for (let minute = 0; minute < 120; minute += 1) {
      added += add(exposures(10)).length;
      await clock.advance(60_000);
      const { events, dropped, sent } = buffer.health();
      expect(events).toBeLessThanOrEqual(100);
      expect(events + dropped.overflow + sent).toBe(added);
    }
    expect(buffer.health().status).toBe("unhealthy");
    expect(clock.pending().length).toBeLessThanOrEqual(1);
    answerWith(acceptAll);
    await clock.advance(60_000);
    expect(buffer.health()).toMatchObject({ status: "healthy", events: 0, failures: 0 });
  });

  test.each([15, 35, 120, 600])("an outage of %d s loses nothing while there is room", async (seconds) => {
    const { add, buffer, batches, clock, answerWith } = setup({ random: () => 1 - Number.EPSILON });
    answerWith(down);
    for (let second = 0; second < seconds; second += 1) {
      add([exposure(second)]);
      await clock.advance(1_000);
    }
    answerWith(acceptAll);
    batches.length = 0;
    await clock.advance(60_000);
    expect(batches.flat()).toEqual(exposures(seconds));
    const dropped = { overflow: 0, oversize: 0, closed: 0 };
    expect(buffer.health()).toMatchObject({ status: "healthy", events: 0, bytes: 0, sent: seconds, dropped });
  });

  test("an endless outage keeps the first events that fit, and counts every other", async () => {
    const { add, buffer, clock, batches, answerWith } = setup({ maxEvents: 100, flushEvents: 10 });
    answerWith(down);
    const events = exposures(2_000);
    for (let index = 0; index < events.length; index += 1) {
      add(events.slice(index, index + 1));
      await clock.advance(20_000);
    }
    expect(buffer.health()).toMatchObject({ events: 100, dropped: { overflow: 1_900, oversize: 0, closed: 0 } });
    expect(buffer.health().failures).toBeGreaterThan(1_100);
    answerWith(acceptAll);
    batches.length = 0;
    expect(await Promise.race([buffer.close(), clock.advance(60_000)])).toBeUndefined();
    expect(batches.flat()).toEqual(events.slice(0, 100));
    expect(buffer.health()).toMatchObject({ events: 0, bytes: 0, sent: 100, dropped: { closed: 0 } });
  });

  test("one event over its limit, or that is no JSON, is refused loudly and spoils no batch", async () => {
    const { add, buffer, errors, batches } = setup();
    const circular: Record<string, unknown> = {};
    circular["self"] = circular;
    const oversize = exposure(1, { rulePath: "x".repeat(limits.eventBytes) });
    expect(add([exposure(0), oversize, exposure(2, { attributes: circular }), exposure(3)])).toEqual([
      true,
      false,
      false,
      true,
    ]);
    expect(errors.map(String)).toEqual([
      expect.stringMatching(/RangeError: the event has \d+ bytes as JSON; at most 32768/),
      expect.stringMatching(/no JSON form/),
    ]);
    expect(buffer.health().dropped.oversize).toBe(2);
    await buffer.flush();
    expect(batches).toEqual([[exposure(0), exposure(3)]]);
  });
});

test("a send does not begin another: its request may be over, and would take the other with it", async () => {
  const { add, buffer, sizes, clock, answerWith } = setup({ flushEvents: 2 });
  const first = Promise.withResolvers<SinkReceipt>();
  answerWith(() => first.promise);
  add(exposures(2));
  await settle();
  add(exposures(4).slice(2));
  answerWith(acceptAll);
  first.resolve({ accepted: 2, rejected: [] });
  await settle();
  expect(sizes()).toEqual([2]);
  await clock.advance(0);
  expect(sizes()).toEqual([2, 2]);
  expect(buffer.health()).toMatchObject({ events: 0, sent: 4 });
});

describe("a failed send", () => {
  test("is tried again as it is: the same events, the same ids", async () => {
    const { add, buffer, batches, clock, answerWith } = setup({ backoffMs: 100 });
    answerWith(down);
    add(exposures(2));
    const flushed = buffer.flush();
    await settle();
    answerWith(acceptAll);
    await clock.advance(100);
    expect(await flushed).toBe(true);
    expect(batches).toHaveLength(2);
    expect(batches[1]).toBe(batches[0]);
    expect(buffer.health()).toMatchObject({ status: "healthy", sent: 2, events: 0 });
  });

  test.each([
    [0, [50, 100, 200, 400, 500, 500]],
    [1 - Number.EPSILON, [100, 200, 400, 800, 1_000, 1_000]],
  ])("waits twice as long each time, to a bound, spread by chance (%d)", async (chance, waits) => {
    const options = { backoffMs: 100, backoffMaxMs: 1_000, attempts: 100, random: () => chance };
    const { add, batches, clock, answerWith } = setup({ ...options, flushEvents: 1 });
    const at: number[] = [];
    answerWith(() => {
      at.push(clock.now());
      return down();
    });
    add([exposure(0)]);
    await clock.advance(4_000);
    const gaps = at.slice(1).map((time, index) => Math.round(time - (at[index] ?? 0)));
    expect(gaps.slice(0, waits.length)).toEqual(waits);
    expect(batches.every((batch) => batch === batches[0])).toBe(true);
  });

  test("waits as long as the far side asks, within reason", async () => {
    const { add, batches, clock, answerWith } = setup({ flushEvents: 1 });
    answerWith(() => Promise.reject(new SinkError("429", { retryAfterMs: 20_000 })));
    add([exposure(0)]);
    await clock.advance(19_999);
    expect(batches).toHaveLength(1);
    answerWith(() => Promise.reject(new SinkError("429", { retryAfterMs: 86_400_000 })));
    await clock.advance(1);
    expect(batches).toHaveLength(2);
    answerWith(acceptAll);
    await clock.advance(300_000);
    expect(batches).toHaveLength(3);
  });

  test("is kept after its attempts, and the next batch is not hurried", async () => {
    const { add, buffer, sizes, clock, errors, answerWith } = setup({ attempts: 3, backoffMs: 100, flushEvents: 2 });
    answerWith(down);
    add(exposures(2));
    await settle();
    add([exposure(2)]);
    await clock.advance(150);
    expect(sizes()).toEqual([2, 2, 2]);
    expect(buffer.health()).toMatchObject({ status: "unhealthy", events: 3, dropped: { overflow: 0 } });
    expect(errors).toHaveLength(3);
    answerWith(acceptAll);
    await clock.advance(199);
    expect(sizes()).toHaveLength(3);
    await clock.advance(1_000);
    expect(sizes()).toEqual([2, 2, 2, 2, 1]);
    expect(buffer.health()).toMatchObject({ status: "healthy", events: 0, sent: 3, failures: 0 });
  });

  test("that throws instead of rejecting is a failed send", async () => {
    const { add, buffer, answerWith, clock } = setup({ flushEvents: 1 });
    answerWith(() => {
      throw new TypeError("broken sink");
    });
    add([exposure(0)]);
    await settle();
    expect(buffer.health()).toMatchObject({ failures: 1, lastError: "broken sink", events: 1 });
    answerWith(acceptAll);
    await clock.advance(1_000);
    expect(buffer.health().sent).toBe(1);
  });

  test("that never settles is a failed send after its time", async () => {
    const { add, buffer, batches, clock, answerWith } = setup({ sendTimeoutMs: 5_000, backoffMs: 100, flushEvents: 1 });
    const late = Promise.withResolvers<SinkReceipt>();
    answerWith(() => late.promise);
    add([exposure(0)]);
    await clock.advance(4_999);
    expect(buffer.health().failures).toBe(0);
    await clock.advance(1);
    expect(buffer.health()).toMatchObject({ failures: 1, lastError: "far side: no answer within 5000 ms" });
    // It arrives after all, before the retry: it is not sent again.
    late.resolve({ accepted: 1, rejected: [] });
    await clock.advance(60_000);
    expect(batches).toHaveLength(1);
    expect(buffer.health()).toMatchObject({ status: "healthy", sent: 1, events: 0 });
  });

  test("is counted once when it fails after it was given up", async () => {
    const { add, buffer, clock, answerWith } = setup({ sendTimeoutMs: 5_000, backoffMs: 100, flushEvents: 1 });
    const late = Promise.withResolvers<SinkReceipt>();
    answerWith(() => late.promise);
    add([exposure(0)]);
    await clock.advance(5_000);
    late.reject(new Error("too late to matter"));
    await settle();
    expect(buffer.health()).toMatchObject({ failures: 1, lastError: "far side: no answer within 5000 ms" });
  });
});

test("events that the sink refuses are counted, told and not sent again", async () => {
  const { add, buffer, batches, errors, answerWith, clock } = setup();
  answerWith(() => Promise.resolve({ accepted: 1, rejected: [{ index: 1, message: "no such variant" }] }));
  add(exposures(2));
  expect(await buffer.flush()).toBe(true);
  await clock.advance(60_000);
  expect(batches).toHaveLength(1);
  expect(buffer.health()).toMatchObject({ status: "healthy", sent: 1, rejected: 1, events: 0 });
  expect(errors.map(String)).toEqual(["Error: far side: 1 events refused, the first: no such variant"]);
});

describe("flush", () => {
  test("waits for what was there, not for what comes later", async () => {
    const { add, buffer, answerWith } = setup();
    const first = Promise.withResolvers<SinkReceipt>();
    const second = Promise.withResolvers<SinkReceipt>();
    const answers = [first.promise, second.promise];
    answerWith(() => answers.shift() ?? down());
    add([exposure(0)]);
    let flushed = false;
    const flush = buffer.flush().then((sent) => {
      flushed = true;
      return sent;
    });
    await settle();
    add([exposure(1)]);
    const later = buffer.flush();
    first.resolve({ accepted: 1, rejected: [] });
    await settle();
    expect(flushed).toBe(true);
    expect(await flush).toBe(true);
    second.resolve({ accepted: 1, rejected: [] });
    expect(await later).toBe(true);
  });

  test("in an outage resolves to false instead of waiting for its end, and the next one too", async () => {
    const { add, buffer, clock, answerWith } = setup({ attempts: 3, backoffMs: 100 });
    answerWith(down);
    add(exposures(2));
    const flushed = buffer.flush();
    await clock.advance(1_000);
    expect(await flushed).toBe(false);
    add([exposure(2)]);
    const again = buffer.flush();
    await clock.advance(500);
    expect(await again).toBe(false);
    expect(buffer.health()).toMatchObject({ events: 3, dropped: { overflow: 0, closed: 0 } });
  });

  test("many times over in an outage waits for nothing and holds nothing", async () => {
    const { add, buffer, clock, batches, answerWith } = setup({ attempts: 2, backoffMs: 1_000 });
    answerWith(down);
    add(exposures(2));
    const first = buffer.flush();
    await clock.advance(500);
    expect(await first).toBe(false);
    add([exposure(2)]);
    const results = await Promise.all(Array.from({ length: 100 }, () => buffer.flush()));
    expect(new Set(results)).toEqual(new Set([false]));
    expect(batches).toHaveLength(2);
    expect(clock.pending().every(({ holdsProcess }) => !holdsProcess)).toBe(true);
  });

  test("by many at once sends once, and tells all of them", async () => {
    const { add, buffer, batches } = setup();
    const flushes = exposures(20).map((event) => {
      add([event]);
      return buffer.flush();
    });
    expect(new Set(await Promise.all(flushes))).toEqual(new Set([true]));
    expect(batches.map((batch) => batch.length)).toEqual([1, 19]);
  });

  test("goes on in the request that waits, although the one whose send was under way has ended with it", async () => {
    const { add, buffer, clock, answerWith, batches } = setup({ sendTimeoutMs: 5_000, backoffMs: 100 });
    const dead = Promise.withResolvers<SinkReceipt>();
    answerWith(() => dead.promise);
    add([exposure(0)]);
    void buffer.flush();
    await settle();
    clock.advanceWithoutTimers(1_000);
    answerWith(acceptAll);
    add([exposure(1)]);
    const flushed = buffer.flush();
    await clock.advance(5_000);
    expect(await flushed).toBe(true);
    expect(batches).toEqual([[exposure(0)], [exposure(0)], [exposure(1)]]);
  });

  test("in a request that finds the last one's timers dead, sets its own", async () => {
    const { add, buffer, clock, answerWith, batches } = setup({ backoffMs: 1_000 });
    answerWith(down);
    add([exposure(0)]);
    void buffer.flush();
    await settle();
    clock.advanceWithoutTimers(100);
    answerWith(acceptAll);
    const flushed = buffer.flush();
    await clock.advance(1_000);
    expect(await flushed).toBe(true);
    expect(batches).toHaveLength(2);
  });
});

describe("timers", () => {
  test("hold a process only while somebody waits for a flush", async () => {
    const { add, buffer, clock, answerWith } = setup({ backoffMs: 1_000 });
    add([exposure(0)]);
    await settle();
    expect(clock.pending().map(({ holdsProcess }) => holdsProcess)).toEqual([false]);
    answerWith(down);
    const flushed = buffer.flush();
    await settle();
    expect(clock.pending().some(({ holdsProcess }) => holdsProcess)).toBe(true);
    answerWith(acceptAll);
    await clock.advance(1_000);
    expect(await flushed).toBe(true);
    expect(clock.pending()).toEqual([]);
  });
});

describe("waitUntil", () => {
  test("gives the runtime a flush to wait for, and nothing when there is nothing to send", async () => {
    const { add, buffer, batches } = setup();
    const promises: Promise<unknown>[] = [];
    const context = { waitUntil: (promise: Promise<unknown>) => void promises.push(promise) };
    buffer.waitUntil(context);
    expect(promises).toEqual([]);
    add(exposures(2));
    buffer.waitUntil(context);
    expect(await Promise.all(promises)).toEqual([true]);
    expect(batches).toEqual([exposures(2)]);
  });
});

describe("close", () => {
  test("sends what is held and takes no more", async () => {
    const { add, buffer, batches, clock } = setup();
    add(exposures(2));
    await buffer.close();
    expect(batches).toEqual([exposures(2)]);
    expect(add([exposure(2)])).toEqual([false]);
    expect(buffer.health()).toMatchObject({ events: 0, dropped: { closed: 1 } });
    expect(clock.pending()).toEqual([]);
  });

  test("in an outage ends in time, and counts what it left", async () => {
    const { add, buffer, clock, answerWith } = setup({ attempts: 1_000 });
    answerWith(down);
    add(exposures(3));
    const flushed = buffer.flush();
    const closed = buffer.close(5_000);
    await clock.advance(5_000);
    await closed;
    expect(await flushed).toBe(false);
    expect(buffer.health()).toMatchObject({ events: 0, bytes: 0, sent: 0, dropped: { closed: 3 } });
    expect(clock.pending()).toEqual([]);
    await clock.advance(600_000);
    expect(buffer.health()).toMatchObject({ events: 0, sent: 0 });
  });

  test("in an outage known to be one tries once more and waits no longer", async () => {
    const { add, buffer, clock, batches, answerWith } = setup({ attempts: 2, backoffMs: 100, flushEvents: 1 });
    answerWith(down);
    add([exposure(0)]);
    await clock.advance(10_000);
    const before = batches.length;
    await buffer.close();
    expect(batches).toHaveLength(before + 1);
    expect(buffer.health()).toMatchObject({ events: 0, sent: 0, dropped: { closed: 1 } });
  });

  test("tries at once, whatever the wait was", async () => {
    const { add, buffer, clock, batches, answerWith } = setup({ backoffMs: 20_000, flushEvents: 1 });
    answerWith(down);
    add([exposure(0)]);
    await clock.advance(1);
    answerWith(acceptAll);
    await buffer.close();
    expect(batches).toHaveLength(2);
    expect(buffer.health().sent).toBe(1);
  });
});

test("a reporter that throws disturbs nothing", async () => {
  const { add, buffer, answerWith, clock } = setup({
    flushEvents: 1,
    onError() {
      throw new Error("reporter");
    },
  });
  answerWith(down);
  add([exposure(0)]);
  await settle();
  answerWith(acceptAll);
  await clock.advance(1_000);
  expect(buffer.health().sent).toBe(1);
});
