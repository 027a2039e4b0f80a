import * as fc from "fast-check";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { compileRule } from "../../src/evaluation/assign.ts";
import type { EventBuffer } from "../../src/events/buffer.ts";
import { EnvelopeSchema, schemaVersion, type EnvelopeInput } from "../../src/events/envelope.ts";
import { createRecorder, type OutcomeInput, type RecorderOptions } from "../../src/events/exposure.ts";
import { NameSchema } from "../../src/scope.ts";
import { rule, subjectFor } from "../evaluation/fixtures.ts";

interface Added {
  readonly event: EnvelopeInput;
  readonly bytes: number | undefined;
}

const start = Date.UTC(2026, 10, 21, 10);

const setup = (options: Partial<RecorderOptions> = {}) => {
  const added: Added[] = [];
  const errors: unknown[] = [];
  let id = 0;
  const buffer: Pick<EventBuffer, "add" | "defer"> = {
    add: (event) => added.push({ event, bytes: undefined }) > 0,
    defer: (item) => added.push({ event: item.make(), bytes: item.bytes }) > 0,
  };
  const recorder = createRecorder({
    buffer: { ...unused, ...buffer },
    scope: () => ({ tenant: "acme", environment: "production" }),
    sampling: () => 1,
    off: () => [],
    rememberedExposures: 1_000,
    now: () => start,
    id() {
      id += 1;
      return `0197a3c4-7d1e-7c3a-9f0b-${id.toString(16).padStart(12, "0")}`;
    },
    onError: (error) => errors.push(error),
    ...options,
  });
  return { recorder, added, errors, events: () => added.map(({ event }) => event) };
};

const unexpected = (): never => {
  throw new Error("the recorder only adds");
};
const unused: EventBuffer = {
  add: unexpected,
  defer: unexpected,
  fits: unexpected,
  change: unexpected,
  flush: unexpected,
  waitUntil: unexpected,
  health: unexpected,
  close: unexpected,
};

const assign = compileRule(rule());
const treated = subjectFor((id) => assign(id).variant === "treatment");

describe("an exposure", () => {
  test("says who was served what, by which approved configuration, and why", () => {
    const { recorder, events } = setup();
    recorder.exposure(assign(treated), treated);
    expect(events()).toEqual([
      {
        eventId: "0197a3c4-7d1e-7c3a-9f0b-000000000001",
        timestamp: "2026-11-21T10:00:00.000Z",
        eventType: "Exposure",
        schemaVersion,
        payload: {
          experimentName: "checkout",
          variantKey: "treatment",
          subjectId: treated,
          subjectType: "user",
          tenantId: "acme",
          environment: "production",
          selectionReason: "SPLIT",
          assignmentPolicy: "bestEffort",
          isRepeatExposure: false,
          rulePath: "/variants/1",
          version: 3,
          digest: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
          epoch: 1,
        },
      },
    ]);
  });

  test("of a subject that was not randomised is none", () => {
    const { recorder, events } = setup();
    recorder.exposure(compileRule(rule({ state: "Paused" }))(treated), treated);
    recorder.exposure(compileRule(rule({ trafficBuckets: 0 }))(treated), treated);
    recorder.exposure(assign(""), "");
    expect(events()).toEqual([]);
  });

  test("is a repeat when the experiment, epoch, subject and variant were there before", () => {
    const { recorder, events } = setup();
    const next = compileRule(rule({ epoch: 2 }));
    const other = compileRule(rule({ name: "search" }));
    const swapped = compileRule(
      rule({
        variants: [
          { key: "treatment", buckets: 5_000, control: false },
          { key: "control", buckets: 5_000, control: true },
        ],
      }),
    );
    for (const each of [assign, assign, compileRule(rule({ version: 4 })), next, other, swapped, assign]) {
      recorder.exposure(each(treated), treated);
    }
    const repeats = events().map((event) => event.eventType === "Exposure" && event.payload.isRepeatExposure);
    expect(repeats).toEqual([false, true, true, false, false, false, true]);
  });

  test("leaves the scope to the server where there is none", () => {
    const { recorder, events } = setup({ scope: () => ({ tenant: "", environment: "" }) });
    recorder.exposure(assign(treated), treated);
    expect(events()[0]?.payload).not.toHaveProperty("tenantId");
    expect(events()[0]?.payload).not.toHaveProperty("environment");
  });

  test("passes the schema, and knows its exact size, for any subject the evaluation takes", () => {
    const { recorder, added } = setup();
    const keys = fc.constantFrom("control", "größe", 'a"b', "日本", "😀");
    fc.assert(
      fc.property(fc.string({ unit: "binary", minLength: 1, maxLength: 60 }), keys, (subjectId, key) => {
        added.length = 0;
        const assignment = compileRule(rule({ variants: [{ key, buckets: 10_000, control: true }] }))(subjectId);
        recorder.exposure(assignment, subjectId);
        recorder.exposure(assignment, subjectId);
        expect(added).toHaveLength(assignment.exposed ? 2 : 0);
        for (const { event, bytes } of added) {
          expect(bytes).toBe(new TextEncoder().encode(JSON.stringify(event)).length);
          expect(v.is(EnvelopeSchema, event)).toBe(true);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe("sampling", () => {
  test("keeps the stated share of subjects, in both arms alike, with the weight that makes up for it", () => {
    const { recorder, events } = setup({ sampling: () => 0.1 });
    const subjects = Array.from({ length: 20_000 }, (_, index) => `user-${index}`);
    for (const subject of subjects) recorder.exposure(assign(subject), subject);
    const arms = Map.groupBy(events(), (event) => (event.eventType === "Exposure" ? event.payload.variantKey : ""));
    // Four standard errors around 1,000 an arm.
    expect(Math.abs((arms.get("control")?.length ?? 0) - 1_000)).toBeLessThan(127);
    expect(Math.abs((arms.get("treatment")?.length ?? 0) - 1_000)).toBeLessThan(127);
    expect(events().every((event) => event.eventType === "Exposure" && event.payload.weight === 10)).toBe(true);
  });

  test("keeps outcomes and failures of exactly the subjects whose exposures it keeps, in any process", () => {
    const exposing = setup({ sampling: () => 0.3 });
    const telling = setup({ sampling: () => 0.3 });
    for (let index = 0; index < 500; index += 1) {
      const subject = `user-${index}`;
      exposing.recorder.exposure(assign(subject), subject);
      telling.recorder.outcome("checkout", { subject, metric: "purchase", kind: "binary", value: true });
      telling.recorder.failure(assign(subject), subject, new Error("x"));
    }
    const subjectsOf = (all: readonly EnvelopeInput[]): ReadonlySet<string | undefined> =>
      new Set(all.map(({ payload }) => payload.subjectId));
    const exposed = subjectsOf(exposing.events());
    expect(exposed.size).toBeGreaterThan(100);
    expect(exposed.size).toBeLessThan(200);
    expect(subjectsOf(telling.events().filter(({ eventType }) => eventType === "Outcome"))).toEqual(exposed);
    expect(subjectsOf(telling.events().filter(({ eventType }) => eventType === "Error"))).toEqual(exposed);
  });
});

describe("a failure", () => {
  test("is an Error event in the assigned arm", () => {
    const { recorder, events } = setup();
    recorder.failure(assign(treated), treated, new RangeError("too much"), "control");
    expect(events()).toEqual([
      {
        eventId: "0197a3c4-7d1e-7c3a-9f0b-000000000001",
        timestamp: "2026-11-21T10:00:00.000Z",
        eventType: "Error",
        schemaVersion,
        payload: {
          experimentName: "checkout",
          variantKey: "treatment",
          subjectId: treated,
          tenantId: "acme",
          environment: "production",
          errorName: "RangeError",
          message: "too much",
          fallback: "control",
        },
      },
    ]);
    expect(v.is(EnvelopeSchema, events()[0])).toBe(true);
  });

  test.each([
    ["a text", "no", { errorName: "string", message: "no" }],
    ["nothing", undefined, { errorName: "undefined", message: "undefined" }],
    ["a long message", new Error("😀".repeat(2_000)), { errorName: "Error", message: "😀".repeat(512) }],
    [
      "a message cut through a character",
      new Error(`a${"😀".repeat(2_000)}`),
      { message: `a${"😀".repeat(511)}\ufffd` },
    ],
  ])("thrown as %s can be sent", (_, error, payload) => {
    const { recorder, events } = setup();
    recorder.failure(assign(treated), treated, error);
    expect(events()[0]?.payload).toMatchObject(payload);
    expect(events()[0]?.payload).not.toHaveProperty("fallback");
    expect(v.is(EnvelopeSchema, events()[0])).toBe(true);
  });

  test("of a subject that was not randomised is none", () => {
    const { recorder, events } = setup();
    recorder.failure(compileRule(rule({ state: "Paused" }))(treated), treated, new Error("x"));
    expect(events()).toEqual([]);
  });
});

describe("an outcome", () => {
  const purchase: OutcomeInput = { subject: "user-1", metric: "purchase", kind: "binary", value: true };

  test.each<OutcomeInput>([
    purchase,
    { ...purchase, value: 0 },
    { subject: "user-1", metric: "rounds", kind: "count", value: 0 },
    { subject: "user-1", metric: "rounds", kind: "count", value: 1e15 },
    { subject: "user-1", metric: "margin", kind: "continuous", value: -12.5 },
  ])("%j is taken", (outcome) => {
    const { recorder, events } = setup();
    expect(recorder.outcome("checkout", outcome)).toBe(true);
    const { metric, kind, value } = outcome;
    expect(events()[0]).toMatchObject({
      eventType: "Outcome",
      timestamp: "2026-11-21T10:00:00.000Z",
      payload: { experimentName: "checkout", subjectId: "user-1", tenantId: "acme", metric, kind, value },
    });
    expect(v.is(EnvelopeSchema, events()[0])).toBe(true);
  });

  test("may bring its own id and time", () => {
    const { recorder, events } = setup();
    const own = { eventId: "11111111-2222-4333-8444-555555555555", timestamp: "2026-11-20T09:00:00Z" };
    recorder.outcome("checkout", { ...purchase, ...own });
    expect(events()[0]).toMatchObject(own);
  });

  test.each<readonly [string, string, unknown]>([
    ["an experiment that is no name", "experiment", { ...purchase }],
    ["a metric that is no name", "metric", { ...purchase, metric: "a b" }],
    ["no subject", "subject", { ...purchase, subject: "" }],
    ["a subject that is too long", "subject", { ...purchase, subject: "x".repeat(513) }],
    ["a subject that no store keeps", "subject", { ...purchase, subject: "\ud800" }],
    ["a binary value that is neither", "value", { ...purchase, value: 2 }],
    ["a count below zero", "value", { ...purchase, kind: "count", value: -1 }],
    ["NaN", "value", { ...purchase, kind: "continuous", value: NaN }],
    ["Infinity", "value", { ...purchase, kind: "continuous", value: Infinity }],
    ["a value that is too large", "value", { ...purchase, kind: "count", value: 1.1e15 }],
    ["a number as text", "value", { ...purchase, kind: "count", value: "5" }],
    ["nothing at all", "", undefined],
  ])("with %s is refused, told, and not thrown", (_, part, outcome) => {
    const { recorder, events, errors } = setup();
    const name = part === "experiment" ? "a/b" : "checkout";
    const tell = (experiment: string, input: OutcomeInput): boolean => recorder.outcome(experiment, input);
    expect(Reflect.apply(tell, undefined, [name, outcome])).toBe(false);
    expect(events()).toEqual([]);
    expect(errors.map(String)).toEqual([expect.stringContaining(part)]);
  });

  test("takes the names that the schema takes", () => {
    const names = fc.oneof(fc.string({ unit: "binary", maxLength: 5 }), fc.stringMatching(/^[\w.-]{1,130}$/));
    fc.assert(
      fc.property(names, (metric) => {
        expect(setup().recorder.outcome("checkout", { ...purchase, metric })).toBe(v.is(NameSchema, metric));
      }),
    );
  });
});

test("what is injected may throw: nothing reaches the application", () => {
  const broken = { now: unexpected, id: unexpected };
  for (const [name, option] of Object.entries(broken)) {
    const { recorder, errors } = setup({ [name]: option });
    recorder.exposure(assign(treated), treated);
    recorder.failure(assign(treated), treated, new Error("x"));
    expect(recorder.outcome("checkout", { subject: "u", metric: "m", kind: "count", value: 1 })).toBe(false);
    expect(errors).toHaveLength(3);
  }
});
