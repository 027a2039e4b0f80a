import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { EnvelopeInput } from "../../src/events/envelope.ts";
import {
  decodeMessage,
  encodeEvent,
  encodeMessages,
  messageBytes,
  messageEvents,
  packMessages,
} from "../../src/events/message.ts";
import { limits } from "../../src/limits.ts";
import { exposure } from "./fixtures.ts";

const bytes = (text: string): number => new TextEncoder().encode(text).length;

const sized = (size: number) => ({ text: "x".repeat(size), bytes: size });

/** Events in each message, of so many events. */
const counts = (events: number): number[] =>
  Array.from(
    encodeMessages(Array.from({ length: events }, (_, index) => exposure(index))),
    (message) => decodeMessage(message).length,
  );

describe("encodeMessages", () => {
  test("and decodeMessage are each other's opposite, in order", () => {
    const sizes = fc.array(fc.integer({ min: 0, max: 3_000 }), { maxLength: 450 });
    fc.assert(
      fc.property(sizes, fc.constantFrom("x", "é", "日", "😀", '"', "\n"), (lengths, unit) => {
        const events = lengths.map((length, index) => exposure(index, { rulePath: unit.repeat(length) }));
        const messages = [...encodeMessages(events)];
        expect(messages.flatMap(decodeMessage)).toEqual(events);
        for (const message of messages) {
          expect(bytes(message)).toBeLessThanOrEqual(messageBytes);
          expect(decodeMessage(message).length).toBeLessThanOrEqual(messageEvents);
        }
      }),
      { numRuns: 30 },
    );
  });

  test("puts 200 events into one message, and the next into another", () => {
    expect(counts(0)).toEqual([]);
    expect(counts(1)).toEqual([1]);
    expect(counts(200)).toEqual([200]);
    expect(counts(201)).toEqual([200, 1]);
  });

  test("fills a message to its last byte, and not beyond", () => {
    // Four events and a fifth that is as long as what is left, then one byte longer.
    const wrapper = bytes('{"v":1,"events":[]}');
    const four = [sized(30_000), sized(30_000), sized(30_000), sized(10_000)];
    const left = messageBytes - wrapper - 100_000 - 4;
    const fits = [...packMessages([...four, sized(left)])];
    expect(fits.map(bytes)).toEqual([messageBytes]);
    expect([...packMessages([...four, sized(left + 1)])]).toHaveLength(2);
  });

  test("keeps lone surrogates as JSON escapes them", () => {
    const events = [exposure(1, { subjectId: "\ud800" })];
    expect([...encodeMessages(events)].flatMap(decodeMessage)).toEqual(events);
  });

  test("names the event that cannot be sent", () => {
    const large = exposure(1, { rulePath: "x".repeat(limits.eventBytes) });
    expect(() => [...encodeMessages([exposure(0), large])]).toThrow(
      /^event 1: the event has 33\d\d\d bytes as JSON; at most 32768/,
    );
  });
});

describe("encodeEvent", () => {
  test("measures in UTF-8", () => {
    const event = exposure(1, { rulePath: "日😀é" });
    const text = JSON.stringify(event);
    expect(encodeEvent(event)).toEqual({ text, bytes: bytes(text) });
  });

  test("takes an event of exactly the limit", () => {
    const room = limits.eventBytes - bytes(JSON.stringify(exposure(1, { rulePath: "" })));
    expect(encodeEvent(exposure(1, { rulePath: "x".repeat(room) }))).toMatchObject({ bytes: limits.eventBytes });
    expect(encodeEvent(exposure(1, { rulePath: "x".repeat(room + 1) }))).toHaveProperty("message");
  });

  const circular: Record<string, unknown> = {};
  circular["self"] = circular;
  test.each([
    ["a bigint", { n: 1n }],
    ["a circle", circular],
  ])("refuses %s", (_, attributes) => {
    expect(encodeEvent(exposure(1, { attributes }))).toHaveProperty(
      "message",
      expect.stringMatching(/^the event has no JSON form: ./),
    );
  });

  test("refuses an event whose toJSON makes nothing of it", () => {
    const event: EnvelopeInput & { toJSON(): undefined } = { ...exposure(1), toJSON: () => undefined };
    expect(encodeEvent(event)).toEqual({ message: "the event has no JSON form" });
  });
});

describe("decodeMessage", () => {
  test("leaves the events as they are", () => {
    expect(decodeMessage('{"v":1,"events":[1,"two",null,{"eventType":"?"}],"later":true}')).toEqual([
      1,
      "two",
      null,
      { eventType: "?" },
    ]);
    expect(decodeMessage('{"v":1,"events":[]}')).toEqual([]);
  });

  test.each([
    ["", "not JSON"],
    ["{", "not JSON"],
    ["\ufffd\u0000", "not JSON"],
    ["null", "expected"],
    ["[]", "expected"],
    ['"text"', "expected"],
    ['{"v":1}', 'expected {"v":1,"events":[…]}'],
    ['{"v":2,"events":[]}', 'expected version 1, found "2"'],
    ['{"v":"1","events":[]}', "expected version 1"],
    ['{"v":1,"events":{}}', '"events" is not a list'],
  ])("refuses %j", (text, message) => {
    expect(() => decodeMessage(text)).toThrow(TypeError);
    expect(() => decodeMessage(text)).toThrow(message);
  });

  test("shows no more than the beginning of what it refuses", () => {
    expect(() => decodeMessage("x".repeat(1_000_000))).toThrow(/^.{0,200}$/);
  });
});
