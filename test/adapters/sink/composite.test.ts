import { describe, expect, test } from "vitest";
import { compositeSink } from "../../../adapters/sink/composite.ts";
import type { EnvelopeInput } from "../../../src/events/envelope.ts";
import { SinkError } from "../../../src/events/sink-error.ts";
import { trackHealth } from "../../../src/events/sink-health.ts";
import type { EventSink } from "../../../src/events/sink.ts";
import { sinkSuite } from "../../conformance/sink.suite.ts";
import { encodeBatch } from "../../../src/events/send.ts";
import { manualClock } from "../../events/clock.ts";
import { exposures } from "../../events/fixtures.ts";

/** A sink whose far side does as it is told. */
const part = (name: string) => {
  const arrived: EnvelopeInput[] = [];
  const tracker = trackHealth();
  let failures = 0;
  let hangs = false;
  const sink: EventSink = {
    name,
    async send(events) {
      const { encoded, rejected } = encodeBatch(events);
      if (hangs) await tracker.watch(new Promise(() => undefined));
      if (failures > 0) {
        failures -= 1;
        await tracker.watch(Promise.reject(new SinkError(`${name} is down`)));
      }
      await tracker.watch(Promise.resolve());
      arrived.push(...encoded.flatMap(({ index }) => events[index] ?? []));
      return { accepted: encoded.length, rejected };
    },
    health: () => tracker.health(),
  };
  return {
    sink,
    arrived,
    fail: (times: number) => void (failures = times),
    hang: () => void (hangs = true),
  };
};

sinkSuite("composite", () => {
  const [queue, archive] = [part("queue"), part("archive")];
  return {
    sink: compositeSink({ required: [queue.sink, archive.sink] }),
    // The second one is given everything, too, also when the first fails.
    received: () => (archive.arrived.length >= queue.arrived.length ? queue.arrived : []),
    failNext: queue.fail,
  };
});

/** The same with another that always fails: it must not be noticed. */
sinkSuite("composite, with one that never works beside it", () => {
  const [queue, broken] = [part("queue"), part("broken")];
  broken.fail(Infinity);
  return {
    sink: healthOf(compositeSink({ required: [queue.sink], others: [broken.sink], buffer: { attempts: Infinity } })),
    received: () => queue.arrived,
    failNext: queue.fail,
  };
});

/** Only what is required: the other's failing is looked at below. */
function healthOf(sink: ReturnType<typeof compositeSink>): EventSink {
  let failed = trackHealth();
  return {
    name: sink.name,
    send: (events) => failed.watch(sink.send(events)),
    health: () => failed.health(),
  };
}

const setUp = () => {
  const clock = manualClock();
  const [queue, otel, log] = [part("queue"), part("otel"), part("log")];
  const errors: string[] = [];
  const sink = compositeSink({
    required: [queue.sink],
    others: [otel.sink, log.sink],
    buffer: {
      now: clock.now,
      startTimer: clock.startTimer,
      random: () => 0,
      flushEvents: 1,
      maxEvents: 100,
      attempts: 3,
    },
    onError: (error, name) => errors.push(`${name}: ${error instanceof Error ? error.message : ""}`),
  });
  return { clock, queue, otel, log, errors, sink };
};

describe("sinks beside each other", () => {
  test("one that fails costs its own events, which it counts, and nobody else anything", async () => {
    const { clock, queue, otel, log, errors, sink } = setUp();
    otel.fail(Infinity);
    for (let n = 0; n < 5; n += 1) {
      expect(await sink.send(exposures(50))).toEqual({ accepted: 50, rejected: [] });
      await clock.advance(1_000);
    }
    expect([queue.arrived.length, otel.arrived.length, log.arrived.length]).toEqual([250, 0, 250]);
    expect(errors.every((line) => line.startsWith("otel: "))).toBe(true);
    const { status, description } = sink.health();
    expect(status).toBe("degraded");
    expect(description).toMatch(/^queue healthy: .*; otel unhealthy: 100 events wait; .*150 dropped.*; log healthy: /);
    otel.fail(0);
    await clock.advance(60_000);
    expect(otel.arrived).toHaveLength(100);
    expect(sink.health().status).toBe("healthy");
  });

  test("one that hangs is not waited for", async () => {
    const { queue, otel, log, sink, clock } = setUp();
    otel.hang();
    expect(await sink.send(exposures(10))).toEqual({ accepted: 10, rejected: [] });
    await clock.advance(10);
    expect([queue.arrived.length, log.arrived.length]).toEqual([10, 10]);
  });

  test("gets nothing of a batch that the required ones did not take, and all of it once they did", async () => {
    const { queue, log, sink, clock } = setUp();
    queue.fail(1);
    await expect(sink.send(exposures(5))).rejects.toThrow("queue is down");
    await clock.advance(10);
    expect(log.arrived).toEqual([]);
    expect(sink.health().status).toBe("degraded");
    await sink.send(exposures(5));
    await clock.advance(10);
    expect(log.arrived).toEqual(exposures(5));
  });

  test("a flush and a close reach them", async () => {
    const [queue, log] = [part("queue"), part("log")];
    const sink = compositeSink({ required: [queue.sink], others: [log.sink], buffer: { flushIntervalMs: 3_600_000 } });
    await sink.send(exposures(3));
    expect(await sink.flush()).toBe(true);
    expect(log.arrived).toHaveLength(3);
    await sink.send(exposures(3));
    await sink.close();
    expect(log.arrived).toHaveLength(6);
  });

  test("an event that one required sink refuses is refused, with the words of each", async () => {
    const refusing = (name: string, index: number, message: string): EventSink => ({
      name,
      send: async (events) => ({ accepted: events.length - 1, rejected: [{ index, message }] }),
      health: () => ({ status: "healthy", description: "" }),
    });
    const log = part("log");
    const sink = compositeSink({
      required: [refusing("a", 1, "too old"), refusing("b", 1, "too long"), refusing("c", 3, "no")],
      others: [log.sink],
      buffer: { flushEvents: 1 },
    });
    expect(await sink.send(exposures(4))).toEqual({
      accepted: 2,
      rejected: [
        { index: 1, message: "too old; b: too long" },
        { index: 3, message: "no" },
      ],
    });
    await sink.flush();
    expect(log.arrived).toEqual([exposures(4)[0], exposures(4)[2]]);
  });

  test("there is one at least", () => {
    expect(() => compositeSink({ required: [] })).toThrow(RangeError);
  });
});
