/**
 * What every event sink must do. An adapter's test calls {@link sinkSuite} with a way to make the sink and to look at its
 * far side; `sinks-complete.test.ts` fails for an adapter whose test does not.
 */
import { describe, expect, test } from "vitest";
import { createEventBuffer } from "../../src/events/buffer.ts";
import type { EnvelopeInput } from "../../src/events/envelope.ts";
import type { EventSink } from "../../src/events/sink.ts";
import { limits } from "../../src/limits.ts";
import { everyType, exposure, exposures } from "../events/fixtures.ts";

export interface SinkUnderTest {
  readonly sink: EventSink;
  /** What the far side has, in order of arrival, one entry for each arrival. */
  readonly received: () => readonly unknown[];
  /** What the far side shows of an event, where that is not the event itself: a sink may keep less of it, on purpose. */
  readonly shows?: (event: EnvelopeInput) => unknown;
  /** Makes the far side fail the next so many times that it is asked. A sink without one has to say so. */
  readonly failNext: ((times: number) => void) | "there is no far side";
}

const shown = (events: readonly EnvelopeInput[], { shows = (event) => event }: SinkUnderTest): readonly unknown[] =>
  events.map(shows);

const distinct = (events: readonly unknown[]): readonly unknown[] => [
  ...new Map(events.map((event) => [JSON.stringify(event), event])).values(),
];

const failingSuite = (make: () => SinkUnderTest): void => {
  const setup = (): SinkUnderTest & { readonly fail: (times: number) => void } => {
    const made = make();
    const { failNext } = made;
    if (typeof failNext === "string") throw new TypeError(failNext);
    return { ...made, fail: failNext };
  };

  test("rejects a whole batch when the far side fails, and says so in its health until it works again", async () => {
    const made = setup();
    const { sink, received, fail } = made;
    fail(1);
    await expect(sink.send(exposures(2_500))).rejects.toThrow(Error);
    expect(sink.health().status).toBe("degraded");
    fail(2);
    await expect(sink.send(exposures(1))).rejects.toThrow(Error);
    await expect(sink.send(exposures(1))).rejects.toThrow(Error);
    expect(sink.health().status).toBe("unhealthy");
    expect(sink.health().description.length).toBeGreaterThan(0);
    expect(await sink.send(exposures(2_500))).toEqual({ accepted: 2_500, rejected: [] });
    expect(sink.health().status).toBe("healthy");
    expect(distinct(received())).toEqual(shown(exposures(2_500), made));
  });

  test("loses nothing behind a buffer that retries", async () => {
    const made = setup();
    const { sink, received, fail } = made;
    const errors: unknown[] = [];
    const buffer = createEventBuffer({ sink, onError: (error) => errors.push(error), backoffMs: 1, backoffMaxMs: 1 });
    fail(3);
    for (const event of exposures(1_500)) buffer.add(event);
    expect(await buffer.flush()).toBe(true);
    expect(errors).toHaveLength(3);
    expect(distinct(received())).toEqual(shown(exposures(1_500), made));
    expect(buffer.health()).toMatchObject({ status: "healthy", sent: 1_500, events: 0 });
  });
};

export const sinkSuite = (name: string, make: () => SinkUnderTest): void => {
  describe(`event sink: ${name}`, () => {
    test("has a short name", () => {
      expect(make().sink.name).toMatch(/^[a-z][a-z0-9-]{0,31}$/);
    });

    test("accepts a batch, in order, without changing it", async () => {
      const made = make();
      const { sink, received } = made;
      const events = exposures(3);
      const before = structuredClone(events);
      expect(await sink.send(events)).toEqual({ accepted: 3, rejected: [] });
      expect(received()).toEqual(shown(before, made));
      expect(events).toEqual(before);
    });

    test("accepts every type of event", async () => {
      const made = make();
      const { sink, received } = made;
      const events = everyType();
      expect(await sink.send(events)).toEqual({ accepted: 5, rejected: [] });
      expect(received()).toEqual(shown(events, made));
    });

    test("carries any text", async () => {
      const made = make();
      const { sink, received } = made;
      const texts = ["日本語", "😀", "a\u0000b", "\u2028\u2029", '"\\\n', "\ud800", "\ufeff", "<script>", "__proto__"];
      const events = texts.map((text, index) =>
        exposure(index, { rulePath: text, attributes: { [`k${text}`]: text } }),
      );
      expect(await sink.send(events)).toEqual({ accepted: texts.length, rejected: [] });
      expect(received()).toEqual(shown(events, made));
    });

    test.each([1, 1_000, 2_500])("takes %d events", async (count) => {
      const made = make();
      const { sink, received } = made;
      expect(await sink.send(exposures(count))).toEqual({ accepted: count, rejected: [] });
      expect(received()).toEqual(shown(exposures(count), made));
    });

    test("takes a thousand events of the largest size", async () => {
      const made = make();
      const { sink, received } = made;
      const room = limits.eventBytes - JSON.stringify(exposure(0, { rulePath: "" })).length - 8;
      const events = Array.from({ length: 1_000 }, (_, index) => exposure(index, { rulePath: "x".repeat(room) }));
      expect(await sink.send(events)).toEqual({ accepted: 1_000, rejected: [] });
      expect(received().length).toBe(1_000);
    });

    test("names by their places the events that cannot be sent, and sends the others", async () => {
      const made = make();
      const { sink, received } = made;
      const circular: Record<string, unknown> = {};
      circular["self"] = circular;
      const oversize = exposure(1, { rulePath: "é".repeat(limits.eventBytes / 2) });
      const receipt = await sink.send([exposure(0), oversize, exposure(2), exposure(3, { attributes: circular })]);
      expect(receipt.accepted).toBe(2);
      expect(receipt.rejected.map(({ index }) => index)).toEqual([1, 3]);
      expect(receipt.rejected[0]?.message).toMatch(/^the event has 3\d{4} bytes as JSON; at most 32768 are allowed$/);
      expect(receipt.rejected[1]?.message).toMatch(/no JSON form/);
      expect(received()).toEqual(shown([exposure(0), exposure(2)], made));
    });

    test("sends nothing when no event of a batch can be sent", async () => {
      const made = make();
      const { sink, received } = made;
      const receipt = await sink.send([exposure(0, { rulePath: "x".repeat(limits.eventBytes) })]);
      expect(receipt).toMatchObject({ accepted: 0, rejected: [{ index: 0 }] });
      expect(received()).toEqual([]);
    });

    test("takes a batch again: the same events, and no others, are there", async () => {
      const made = make();
      const { sink, received } = made;
      const first = await sink.send(exposures(5));
      expect(await sink.send(exposures(5))).toEqual(first);
      expect(distinct(received())).toEqual(shown(exposures(5), made));
    });

    test("tells of its health in a sentence", async () => {
      const { sink } = make();
      expect(sink.health().status).toBe("healthy");
      await sink.send(exposures(1));
      expect(sink.health().status).toBe("healthy");
      expect(sink.health().description.length).toBeGreaterThan(0);
    });

    if (make().failNext !== "there is no far side") failingSuite(make);
  });
};
