import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { allocateBuckets } from "../../src/evaluation/allocation.ts";
import { compileRule } from "../../src/evaluation/assign.ts";
import type { Attributes } from "../../src/evaluation/targeting.ts";
import { lifecycleStates } from "../../src/lifecycle.ts";
import { rule, subjectFor } from "./fixtures.ts";

const inCanada = { attribute: "country", equals: "CA" };
const ids = Array.from({ length: 5_000 }, (_, index) => `user-${index}`);

describe("the answer", () => {
  const assign = compileRule(rule());

  test("of a randomised subject has everything an exposure needs", () => {
    const treated = subjectFor((id) => assign(id).variant === "treatment");
    expect(assign(treated)).toEqual({
      experiment: "checkout",
      variant: "treatment",
      control: false,
      payload: { layout: "one-page" },
      reason: "SPLIT",
      version: 3,
      digest: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
      epoch: 1,
      exposed: true,
      rulePath: "/variants/1",
      subjectType: "user",
      assignmentPolicy: "bestEffort",
    });
    const controlled = subjectFor((id) => assign(id).variant === "control");
    expect(assign(controlled)).toMatchObject({
      control: true,
      reason: "SPLIT",
      exposed: true,
      rulePath: "/variants/0",
    });
  });

  test("cannot be changed, nor can its payload, and the rule's payload stays free", () => {
    const payload = { layout: { columns: [1, 2] } };
    const frozen = compileRule(rule({ variants: [{ key: "a", buckets: 10_000, control: true, payload }] }))("user-1");
    expect(Object.isFrozen(frozen)).toBe(true);
    expect(() => Object.assign(frozen, { variant: "b" })).toThrow(TypeError);
    const served: unknown = frozen.payload;
    expect(served).toEqual(payload);
    expect(() => Reflect.set(Object(Reflect.get(Object(served), "layout")), "columns", [])).not.toThrow();
    expect(frozen.payload).toEqual({ layout: { columns: [1, 2] } });
    payload.layout.columns.push(3);
    expect(frozen.payload).toEqual({ layout: { columns: [1, 2] } });
  });

  test("is the same for the same subject, in any instance", () => {
    const other = compileRule(rule());
    expect(ids.map((id) => assign(id).variant)).toEqual(ids.map((id) => other(id).variant));
  });
});

describe("lifecycle", () => {
  test.each(lifecycleStates)("%s", (state) => {
    const assign = compileRule(rule({ state }));
    const serving = state === "Running" || state === "Ramping";
    const answers = ids.map((id) => assign(id));
    expect(answers.some(({ variant }) => variant === "treatment")).toBe(serving);
    expect(answers.every(({ exposed }) => exposed === serving)).toBe(true);
    expect(new Set(answers.map(({ reason }) => reason))).toEqual(new Set([serving ? "SPLIT" : "DISABLED"]));
  });

  test("comes before targeting and traffic", () => {
    const paused = compileRule(rule({ state: "Paused", targeting: inCanada, trafficBuckets: 0 }));
    expect(paused("user-1")).toMatchObject({ reason: "DISABLED", rulePath: "/state", control: true, exposed: false });
  });
});

describe("targeting", () => {
  const assign = compileRule(rule({ targeting: inCanada, trafficBuckets: 5_000 }));

  test("decides who may be randomised", () => {
    const inside = subjectFor((id) => assign(id, { country: "CA" }).exposed);
    expect(assign(inside, { country: "CA" })).toMatchObject({ reason: "TARGETING_MATCH", exposed: true });
    const stopped = { control: true, reason: "DEFAULT", rulePath: "/targeting", exposed: false };
    expect(assign(inside, { country: "US" })).toMatchObject(stopped);
    expect(assign(inside)).toMatchObject(stopped);
  });

  test("comes before traffic", () => {
    const outside = subjectFor((id) => !assign(id, { country: "CA" }).exposed);
    expect(assign(outside, { country: "CA" })).toMatchObject({ reason: "DEFAULT", rulePath: "/trafficBuckets" });
    expect(assign(outside, { country: "US" })).toMatchObject({ reason: "DEFAULT", rulePath: "/targeting" });
  });
});

const shareAt = (trafficBuckets: number): number =>
  ids.filter((id) => compileRule(rule({ trafficBuckets }))(id).exposed).length / ids.length;

describe("traffic", () => {
  test("lets the stated share in: 0 nobody, 10,000 everybody", () => {
    expect(shareAt(0)).toBe(0);
    expect(shareAt(10_000)).toBe(1);
    expect(shareAt(2_500)).toBeCloseTo(0.25, 1);
  });

  test("raised lets subjects in and moves none that are, for any rise and any weights", () => {
    const traffic = fc.integer({ min: 0, max: 10_000 });
    const weights = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 2, maxLength: 5 });
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), weights, traffic, traffic, (salt, relative, a, b) => {
        const variants = allocateBuckets(relative).map((buckets, index) => ({
          key: `v${index}`,
          buckets,
          control: index === 0,
        }));
        const before = compileRule(rule({ salt, variants, trafficBuckets: Math.min(a, b) }));
        const after = compileRule(rule({ salt, variants, trafficBuckets: Math.max(a, b) }));
        const enrolled = ids.slice(0, 300).filter((id) => before(id).exposed);
        expect(enrolled.map((id) => after(id).variant)).toEqual(enrolled.map((id) => before(id).variant));
        expect(enrolled.every((id) => after(id).exposed)).toBe(true);
      }),
      { numRuns: 50 },
    );
  });

  test("does not tilt the arms: those inside a tenth of it split evenly", () => {
    const assign = compileRule(rule({ trafficBuckets: 1_000 }));
    const arms = Array.from({ length: 100_000 }, (_, index) => assign(`user-${index}`)).filter(
      ({ exposed }) => exposed,
    );
    const treated = arms.filter(({ variant }) => variant === "treatment").length;
    expect(arms.length).toBeGreaterThan(9_500);
    // Four standard errors of a fair coin.
    expect(Math.abs(treated - arms.length / 2)).toBeLessThan(2 * Math.sqrt(arms.length));
  });
});

describe("variants", () => {
  test("without buckets get nobody", () => {
    const variants = [
      { key: "none", buckets: 0, control: false },
      { key: "control", buckets: 10_000, control: true },
      { key: "also none", buckets: 0, control: false },
    ];
    const assign = compileRule(rule({ variants }));
    expect(new Set(ids.map((id) => assign(id).variant))).toEqual(new Set(["control"]));
  });

  test("a hundred of them each get somebody", () => {
    const variants = Array.from({ length: 100 }, (_, index) => ({
      key: `v${index}`,
      buckets: 100,
      control: index === 50,
    }));
    const assign = compileRule(rule({ variants }));
    expect(new Set(ids.map((id) => assign(id).variant)).size).toBe(100);
  });

  test("without a control cannot be compiled", () => {
    expect(() => compileRule(rule({ variants: [{ key: "a", buckets: 10_000, control: false }] }))).toThrow(
      "rule of checkout: no control variant",
    );
  });
});

describe("stale rules", () => {
  const targeting = { any: [inCanada, { attribute: "country", exists: false }] };
  const fresh = compileRule(rule({ trafficBuckets: 5_000, targeting }));
  const stale = compileRule(rule({ trafficBuckets: 5_000, targeting }), true);

  test("decide as before, and say that they are stale", () => {
    const answers = ids.map((id) => stale(id));
    expect(new Set(answers.map(({ reason }) => reason))).toEqual(new Set(["STALE"]));
    expect(answers).toEqual(ids.map((id) => ({ ...fresh(id), reason: "STALE" })));
    expect(stale("user-1", { country: "US" })).toMatchObject({ reason: "STALE", rulePath: "/targeting" });
  });

  test("still call an error an error", () => {
    expect(stale("").reason).toBe("ERROR");
  });
});

describe("what is wrong is control with a reason, never an exception", () => {
  const assign = compileRule(rule({ targeting: { not: inCanada } }));
  // As a page's JavaScript would call it, past the types.
  const loosely = (subjectId: unknown, attributes?: unknown): unknown =>
    Reflect.apply(assign, undefined, [subjectId, attributes]);

  test.each([
    ["", "TARGETING_KEY_MISSING"],
    [undefined, "TARGETING_KEY_MISSING"],
    [null, "TARGETING_KEY_MISSING"],
    [42, "TARGETING_KEY_MISSING"],
    [{}, "TARGETING_KEY_MISSING"],
    ["x".repeat(513), "INVALID_CONTEXT"],
    ["user-\ud800", "INVALID_CONTEXT"],
    ["user-\u0000", "INVALID_CONTEXT"],
  ])("subject id %j", (subjectId, errorCode) => {
    expect(loosely(subjectId)).toMatchObject({ variant: "control", reason: "ERROR", errorCode, exposed: false });
  });

  test("a subject id of 512 characters is still one", () => {
    expect(assign("x".repeat(512)).reason).toBe("TARGETING_MATCH");
  });

  const throwing: Attributes = {
    get country(): never {
      throw new Error("no");
    },
  };
  const hostile = new Proxy<Attributes>(
    {},
    {
      getOwnPropertyDescriptor() {
        throw new Error("no");
      },
    },
  );
  test.each([
    ["null", null],
    ["a text", "country=CA"],
    ["a number", 7],
    ["a getter that throws", throwing],
    ["a proxy that throws", hostile],
  ])("attributes: %s", (_, attributes) => {
    expect(loosely("user-1", attributes)).toMatchObject({
      variant: "control",
      reason: "ERROR",
      errorCode: "INVALID_CONTEXT",
      exposed: false,
    });
  });

  test("whatever is passed", () => {
    fc.assert(
      fc.property(fc.anything(), fc.anything({ withNullPrototype: true }), (subjectId, attributes) => {
        expect(loosely(subjectId, attributes)).toHaveProperty("variant");
      }),
      { numRuns: 1_000 },
    );
  });
});
