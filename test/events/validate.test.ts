import * as fc from "fast-check";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { type EnvelopeInput, EnvelopeSchema } from "../../src/events/envelope.ts";
import { isEvent, parseEvent } from "../../src/events/validate.ts";
import { everyType } from "./fixtures.ts";

const exposure = {
  eventId: "019AA5B6-1111-7222-8333-444455556666",
  timestamp: "2026-11-21T08:39:12.123Z",
  eventType: "Exposure",
  payload: { experimentName: "checkout", variantKey: "treatment", subjectId: "user-1", epoch: 2, digest: "ab" },
};
const outcome = {
  eventId: "019aa5b6-1111-7222-8333-444455556666",
  timestamp: "2026-11-21T08:39:12Z",
  eventType: "Outcome",
  payload: { experimentName: "checkout", subjectId: "user-1", metric: "purchase", kind: "binary", value: true },
};

/** Values that are right for one member and wrong for another, and some that are right for none. */
const oddValue = fc.constantFrom<unknown>(
  undefined,
  null,
  true,
  false,
  0,
  -0,
  1,
  -1,
  2,
  0.5,
  Number.NaN,
  Infinity,
  2 ** 53,
  1e15,
  1.000001e15,
  "",
  " ",
  "a",
  "A-b_c.d",
  ".a",
  "a/b",
  "a:b",
  "a%b",
  "a'b",
  "ключ",
  "__proto__",
  "constructor",
  "\u0000",
  "\ud800",
  "a\n",
  "x".repeat(64),
  "x".repeat(65),
  "x".repeat(128),
  "x".repeat(129),
  "x".repeat(512),
  "x".repeat(513),
  "1.0.0",
  "1.7.0",
  "2.0.0",
  "binary",
  "count",
  "continuous",
  "duration",
  "Exposure",
  "Outcome",
  "Error",
  "Click",
  "2026-02-30T00:00:00Z",
  "2026-13-01T00:00:00Z",
  "2026-01-01T24:00:00Z",
  "2026-01-01T00:00Z",
  "2026-01-01T00:00:00.123456789Z",
  "2026-01-01T00:00:00+05:30",
  "2026-01-01T00:00:00",
  "00000000-0000-0000-0000-000000000000",
  "ABCDEF00-0000-0000-0000-000000000000",
  "abcdef00-0000-0000-0000-00000000000",
  {},
  { a: { b: [1] } },
  [],
  JSON.parse('{"__proto__":1,"a":2}'),
  { constructor: 1 },
  { prototype: 1 },
);

const members = [
  "eventId",
  "timestamp",
  "eventType",
  "schemaVersion",
  "correlationId",
  "metadata",
  "payload",
  "unknownMember",
] as const;
const payloadMembers = [
  "experimentName",
  "subjectId",
  "tenantId",
  "environment",
  "variantKey",
  "subjectType",
  "timestamp",
  "selectionReason",
  "assignmentPolicy",
  "isRepeatExposure",
  "rulePath",
  "attributes",
  "version",
  "digest",
  "epoch",
  "weight",
  "metric",
  "kind",
  "value",
  "unknownMember",
] as const;

const changes = (names: readonly string[]) =>
  fc.dictionary(fc.constantFrom(...names), oddValue, { maxKeys: 3, noNullPrototype: true });

const almostEvent = fc
  .record({
    base: fc.constantFrom(exposure, outcome),
    envelope: fc.oneof({ weight: 3, arbitrary: fc.constant({}) }, { weight: 2, arbitrary: changes(members) }),
    payload: changes(payloadMembers),
  })
  .map(({ base, envelope, payload }) => ({ ...base, payload: { ...base.payload, ...payload }, ...envelope }));

describe("schema versions", () => {
  test.each(everyType().map((event): [string, EnvelopeInput] => [event.eventType, event]))(
    "of %s: a newer minor version is taken, without what it adds; another major version is not",
    (_, event) => {
      const known = parseEvent(event);
      const newer = { ...event, schemaVersion: "1.9.3", added: 1, payload: { ...event.payload, added: { deep: [1] } } };
      const parsed = parseEvent(newer);
      expect(known.ok && parsed.ok && { ...parsed.event, schemaVersion: "1.0.0" }).toEqual(known.ok && known.event);
      for (const schemaVersion of ["0.9.0", "2.0.0", "1", "1.0", "10.0.0"]) {
        expect(parseEvent({ ...event, schemaVersion })).toMatchObject({
          ok: false,
          problems: [{ path: "/schemaVersion" }],
        });
      }
    },
  );

  test("a duration is in milliseconds, and not below 0", () => {
    const lasting = (value: unknown) => ({ ...outcome, payload: { ...outcome.payload, kind: "duration", value } });
    expect(isEvent(lasting(12.5))).toBe(true);
    expect(isEvent(lasting(-1))).toBe(false);
    expect(isEvent(lasting(Number.NaN))).toBe(false);
  });
});

describe("events from outside", () => {
  test("the quick check and the schema never disagree", () => {
    let accepted = 0;
    fc.assert(
      fc.property(fc.oneof(almostEvent, fc.anything()), (input) => {
        const schema = v.safeParse(EnvelopeSchema, input);
        const parsed = parseEvent(input);
        expect(isEvent(input)).toBe(schema.success);
        expect({ ok: parsed.ok, event: parsed.ok ? parsed.event : null }).toEqual({
          ok: schema.success,
          event: schema.success ? schema.output : null,
        });
        if (parsed.ok) accepted += 1;
      }),
      { numRuns: 20_000 },
    );
    expect(accepted).toBeGreaterThan(1_000);
  });

  test("ids are lower-cased and defaults filled in", () => {
    const parsed = parseEvent(exposure);
    expect(parsed).toMatchObject({
      ok: true,
      event: { eventId: exposure.eventId.toLowerCase(), schemaVersion: "1.0.0", payload: { epoch: 2, weight: 1 } },
    });
  });

  test("what is wrong is located, and quoted only in part", () => {
    const parsed = parseEvent({
      ...outcome,
      timestamp: "yesterday",
      payload: { ...outcome.payload, subjectId: "s".repeat(10_000) },
    });
    const problems = parsed.ok ? [] : parsed.problems;
    expect([...new Set(problems.map((problem) => problem.path))]).toEqual(["/timestamp", "/payload/subjectId"]);
    expect(Math.max(...problems.map((problem) => problem.message.length))).toBeLessThan(400);
  });

  test.each([
    ["another major version", { ...exposure, schemaVersion: "2.0.0" }, "/schemaVersion"],
    ["an unknown type", { ...exposure, eventType: "Click" }, "/eventType"],
    [
      "half a surrogate pair",
      { ...exposure, payload: { ...exposure.payload, subjectId: "\udc00" } },
      "/payload/subjectId",
    ],
    ["U+0000", { ...exposure, payload: { ...exposure.payload, subjectId: "a\u0000b" } }, "/payload/subjectId"],
    ["not an object", 7, ""],
  ])("refuses %s", (_what, input, path) => {
    expect(parseEvent(input)).toMatchObject({ ok: false, problems: [{ path }] });
  });
});
