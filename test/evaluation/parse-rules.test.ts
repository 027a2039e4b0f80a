import { describe, expect, test } from "vitest";
import * as bounds from "../../src/evaluation/bounds.ts";
import { parseRuleSet } from "../../src/evaluation/parse-rules.ts";
import { lifecycleStates } from "../../src/lifecycle.ts";
import { limits } from "../../src/limits.ts";
import { rule, ruleSet } from "./fixtures.ts";

const overTheWire = (value: unknown): unknown => JSON.parse(JSON.stringify(value));
const arm = { key: "a", buckets: 10_000, control: true };

test("a published rule set comes through as it was", () => {
  const experiments = lifecycleStates.map((state) => rule({ name: state, state }));
  const targeted = rule({ name: "targeted", targeting: { all: [{ attribute: "plan", equals: "pro" }] } });
  expect(parseRuleSet(overTheWire(ruleSet(...experiments, targeted)))).toEqual({
    tenant: "acme",
    environment: "production",
    experiments: [...experiments, targeted],
    unreadable: [],
  });
});

test("members of a newer server are ignored", () => {
  const experiments = [{ ...rule(), holdout: "h1" }];
  const newer = { ...ruleSet(), experiments, publishedAt: "2026-11-21T00:00:00Z" };
  expect(parseRuleSet(overTheWire(newer)).experiments).toHaveLength(1);
});

test.each([
  [null, "rule set: found null; expected an object"],
  ["<html>", 'rule set: found "<html>"; expected an object'],
  [[], "rule set: found []; expected an object"],
  [{}, "rule set /ruleSetVersion: found undefined; expected 1"],
  [{ ...ruleSet(), ruleSetVersion: 2 }, "rule set /ruleSetVersion: found 2; expected 1"],
  [{ ...ruleSet(), tenant: undefined }, "rule set: expected texts at /tenant and /environment"],
  [{ ...ruleSet(), experiments: {} }, "a list at /experiments"],
])("%j is no rule set", (input, message) => {
  expect(() => parseRuleSet(input)).toThrow(TypeError);
  expect(() => parseRuleSet(input)).toThrow(message);
});

describe("how events are to be sent", () => {
  const dataPlane = { flushEvents: 100, flushBytes: 65_536, flushIntervalMs: 1_000, sampling: 0.5 };

  test("comes through", () => {
    expect(parseRuleSet(overTheWire({ ...ruleSet(), dataPlane })).dataPlane).toEqual(dataPlane);
    expect(parseRuleSet({ ...ruleSet(), dataPlane: { ...dataPlane, sampling: 0 } }).dataPlane?.sampling).toBe(0);
  });

  test.each([
    null,
    [],
    {},
    { ...dataPlane, off: "Exposure" },
    { ...dataPlane, off: [1] },
    { ...dataPlane, sampling: 1.1 },
    { ...dataPlane, sampling: "1" },
    { ...dataPlane, flushEvents: 0 },
    { ...dataPlane, flushIntervalMs: -1 },
    { ...dataPlane, flushIntervalMs: 2 ** 31 },
  ])("is not guessed from %j", (wrong) => {
    expect(() => parseRuleSet({ ...ruleSet(), dataPlane: wrong })).toThrow("rule set /dataPlane: found");
  });
});

describe("one experiment that cannot be read takes no other with it", () => {
  test.each<readonly [change: Record<string, unknown>, message: string]>([
    [{ state: "Sleeping" }, '/experiments/1/state: found "Sleeping"; expected a lifecycle state'],
    [{ version: -1 }, "/experiments/1/version: found -1; expected a whole number"],
    [{ version: 1.5 }, "/experiments/1/version: found 1.5"],
    [{ epoch: "1" }, '/experiments/1/epoch: found "1"'],
    [{ digest: 7 }, "/experiments/1/digest: found 7; expected a text"],
    [{ hashVersion: 2 }, "/experiments/1/hashVersion: found 2; expected 1"],
    [{ salt: null }, "/experiments/1/salt: found null; expected a text"],
    [{ trafficBuckets: 10_001 }, "/experiments/1/trafficBuckets: found 10001; expected a whole number, 0 to 10000"],
    [{ variants: [] }, "/experiments/1/variants: found []"],
    [{ variants: [{ ...arm, control: false }] }, "/experiments/1/variants"],
    [{ variants: [{ ...arm, buckets: 9_999 }] }, "/experiments/1/variants"],
    [
      {
        variants: [
          { ...arm, buckets: 5_000 },
          { ...arm, buckets: 5_000, control: false },
        ],
      },
      "keys that differ",
    ],
    [
      {
        variants: [
          { ...arm, buckets: -1 },
          { key: "b", buckets: 10_001, control: false },
        ],
      },
      "/experiments/1/variants",
    ],
    [{ variants: [arm, { key: "b", buckets: 0, control: true }] }, "one control"],
    [{ targeting: { attribute: "a", resembles: "b" } }, "/experiments/1/targeting: found"],
    [{ targeting: null }, "/experiments/1/targeting: found null"],
    [{ assignmentPolicy: 1 }, "/experiments/1/assignmentPolicy"],
    [{ name: "good" }, '/experiments/1/name: "good" is there twice'],
  ])("%j", (change, message) => {
    const parsed = parseRuleSet(overTheWire(ruleSet(rule({ name: "good" }), { ...rule(), ...change })));
    expect(parsed.experiments.map(({ name }) => name)).toEqual(["good"]);
    expect(parsed.unreadable).toHaveLength(1);
    expect(parsed.unreadable[0]?.message).toContain(message);
    expect(parsed.unreadable[0]?.name).toBe(change["name"] ?? "checkout");
  });

  test("nor does one that is not even an object", () => {
    const parsed = parseRuleSet({ ...ruleSet(rule()), experiments: [7, null, rule()] });
    expect(parsed.experiments).toHaveLength(1);
    expect(parsed.unreadable.map(({ name }) => name)).toEqual(["", ""]);
  });

  test("and a targeting too deep for the stack is refused, not followed", () => {
    let targeting: unknown = { attribute: "a", exists: true };
    for (let depth = 0; depth < 5_000; depth += 1) targeting = { not: targeting };
    const parsed = parseRuleSet({ ...ruleSet(), experiments: [{ ...rule(), targeting }] });
    expect(parsed.unreadable).toHaveLength(1);
  });
});

test("the bounds of evaluation are those of the table", () => {
  expect({ ...bounds }).toEqual({
    subjectIdCharacters: limits.subjectIdCharacters,
    maxVariants: limits.variants,
    targetingDepth: limits.targetingDepth,
    eventBytes: limits.eventBytes,
    batchEvents: limits.batchEvents,
    batchBytes: limits.batchBytes,
    nameCharacters: limits.nameCharacters,
    outcomeMagnitude: limits.outcomeMagnitude,
  });
});
