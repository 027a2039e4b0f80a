import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createEncoder, type EncoderInput } from "../../cli/replay/encode.ts";
import { outcomeId } from "../../cli/replay/ids.ts";
import type { Row } from "../../cli/replay/rows.ts";
import { isEvent } from "../../src/events/validate.ts";

const at = Date.parse("2026-11-21T12:00:00.000Z");
const id = (n: number): string => `00000000-0000-7000-8000-${String(n).padStart(12, "0")}`;

const encoder = (changes: Partial<EncoderInput> = {}) => {
  let n = 0;
  return createEncoder({
    options: {
      ref: { tenant: "default", environment: "prod", experiment: "checkout" },
      subject: "id",
      variant: "arm",
      timestamp: undefined,
      outcomes: [
        { column: "bought", kind: "binary", metric: "purchase" },
        { column: "n", kind: "count", metric: "n" },
      ],
    },
    indexes: { subject: 0, variant: 1, timestamp: null, outcomes: [2, 3] },
    served: { version: 3, digest: "d".repeat(64), epoch: 2 },
    now: () => at,
    exposureId: () => id((n += 1)),
    ...changes,
  });
};
const row = (number: number, ...cells: string[]): Row => ({ number, cells });
const parsed = (encoded: ReturnType<ReturnType<typeof encoder>>): readonly unknown[] =>
  (encoded.events ?? []).map((text) => {
    const event: unknown = JSON.parse(text);
    return event;
  });

describe("a row becomes events", () => {
  test("an exposure, and an outcome for each cell that is not empty", () => {
    expect(parsed(encoder()(row(7, "u1", "treatment", "TRUE", "4")))).toEqual([
      {
        eventId: id(1),
        timestamp: "2026-11-21T12:00:00.000Z",
        eventType: "Exposure",
        payload: {
          experimentName: "checkout",
          tenantId: "default",
          environment: "prod",
          subjectId: "u1",
          variantKey: "treatment",
          version: 3,
          digest: "d".repeat(64),
          epoch: 2,
        },
      },
      {
        eventId: outcomeId("checkout", 7, "u1", "purchase"),
        timestamp: "2026-11-21T12:00:00.000Z",
        eventType: "Outcome",
        payload: {
          experimentName: "checkout",
          tenantId: "default",
          environment: "prod",
          subjectId: "u1",
          metric: "purchase",
          kind: "binary",
          value: true,
        },
      },
      {
        eventId: outcomeId("checkout", 7, "u1", "n"),
        timestamp: "2026-11-21T12:00:00.000Z",
        eventType: "Outcome",
        payload: {
          experimentName: "checkout",
          tenantId: "default",
          environment: "prod",
          subjectId: "u1",
          metric: "n",
          kind: "count",
          value: 4,
        },
      },
    ]);
    expect(encoder()(row(1, "u1", "a", "", " ")).events).toHaveLength(1);
  });

  test("a clock that is set back does not turn the order of the file", () => {
    const times = [at, at + 5, at - 60_000, at + 6];
    const encode = encoder({ now: () => times.shift() ?? at });
    const stamps = [1, 2, 3, 4].map(
      (n) => /"timestamp":"([^"]+)"/.exec(encode(row(n, "u", "a")).events?.[0] ?? "")?.[1],
    );
    expect(stamps).toEqual([
      "2026-11-21T12:00:00.000Z",
      "2026-11-21T12:00:00.005Z",
      "2026-11-21T12:00:00.005Z",
      "2026-11-21T12:00:00.006Z",
    ]);
  });

  test("a column of times is taken as it is, and the outcomes have the time of the exposure", () => {
    const input = {
      options: { ...options, timestamp: "at" },
      indexes: { subject: 0, variant: 1, timestamp: 4, outcomes: [2, 3] },
    };
    const events = parsed(encoder(input)(row(1, "u", "a", "1", "2", "2017-01-21 22:11:48.556739")));
    expect(events).toHaveLength(3);
    for (const event of events) expect(event).toMatchObject({ timestamp: "2017-01-21T22:11:48.556739Z" });
  });

  test("#row makes the number the subject", () => {
    const [event] = parsed(
      encoder({ indexes: { subject: null, variant: 1, timestamp: null, outcomes: [2, 3] } })(row(12, "", "a")),
    );
    expect(event).toMatchObject({ payload: { subjectId: "12" } });
  });

  test("whatever is in the cells, the events are ones that the ingest accepts, or the row is rejected", () => {
    const encode = encoder();
    const hostile = fc.oneof(
      fc.string({ unit: "binary", maxLength: 20 }),
      fc.constantFrom("__proto__", 'a"b\\', "'; --", "a/b:c%", "\u2028", "\u0000", "\ud800", "👍"),
    );
    fc.assert(
      fc.property(
        hostile,
        hostile,
        fc.constantFrom("1", "no", ""),
        fc.constantFrom("0", "12.5", ""),
        (who, arm, a, b) => {
          const encoded = encode(row(1, who, arm, a, b));
          if (encoded.events === undefined) return;
          const events = parsed(encoded);
          expect(events.every(isEvent)).toBe(true);
          expect(events[0]).toMatchObject({ payload: { subjectId: who, variantKey: arm } });
        },
      ),
    );
  });
});

const { options } = {
  options: {
    ref: { tenant: "default", environment: "prod", experiment: "checkout" },
    subject: "id",
    variant: "arm",
    outcomes: [
      { column: "bought", kind: "binary", metric: "purchase" },
      { column: "n", kind: "count", metric: "n" },
    ],
  },
} as const;

describe("a row that cannot be read is rejected as a whole", () => {
  test.each([
    [["", "a"], { column: "id", value: "", reason: "empty" }],
    [["u", ""], { column: "arm", value: "", reason: "empty" }],
    [["u", "a\tb"], { column: "arm", value: "a\tb", reason: "a variant key is printable characters only" }],
    [
      ["u", "a", "maybe"],
      { column: "bought", value: "maybe", reason: "not binary: expected true, false, 1, 0, yes or no" },
    ],
    [
      ["u", "a", "1", "-1"],
      { column: "n", value: "-1", reason: "not count: expected a number from 0 to 1000000000000000" },
    ],
    [["u\u0000", "a"], { column: "id", value: "u\u0000", reason: "text with U+0000 or half a surrogate pair" }],
    [["u".repeat(513), "a"], { column: "id", value: `${"u".repeat(80)}…`, reason: "longer than 512 characters" }],
  ])("%j", (cells, rejected) => {
    expect(encoder()(row(9, ...cells))).toEqual({ row: 9, rejected: { row: 9, ...rejected } });
  });

  test("a time that is none", () => {
    const input = {
      options: { ...options, timestamp: "at" },
      indexes: { subject: 0, variant: 1, timestamp: 2, outcomes: [] },
    };
    expect(encoder(input)(row(1, "u", "a", "soon")).rejected).toMatchObject({ column: "at", value: "soon" });
    expect(encoder(input)(row(1, "u", "a", "")).rejected).toMatchObject({ column: "at", reason: "empty" });
  });

  test("a row that the file itself has wrong", () => {
    const problem = { column: null, value: "1,2", reason: "2 cells instead of 4" };
    expect(encoder()({ number: 3, problem })).toEqual({ row: 3, rejected: { row: 3, ...problem } });
  });
});
