import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { ConfigurationSchema } from "../src/experiment.ts";
import { GateSchema } from "../src/governance/gates/schema.ts";
import { differ, exactlyOne } from "../src/list-checks.ts";

const issuesOf = (schema: v.GenericSchema, value: unknown): readonly string[] => {
  const result = v.safeParse(schema, value);
  return (result.issues ?? []).map((issue) => `${v.getDotPath(issue) ?? ""}: ${issue.message}`);
};

const Item = v.strictObject({
  key: v.string("text"),
  weight: v.optional(v.number("number")),
  flag: v.optional(v.unknown()),
});
const Items = v.pipe(v.array(Item), differ("keys that differ", "key"), exactlyOne("one flag", "flag"));
const Names = v.pipe(v.array(v.string("text")), differ("names that differ"));

describe("differ", () => {
  test("says nothing of items that differ, also by case", () => {
    expect(issuesOf(Names, ["a", "A", "b", ""])).toEqual([]);
  });

  test("names each later one of two equal", () => {
    expect(issuesOf(Names, ["a", "b", "a", "a", "b"])).toEqual([
      "2: names that differ",
      "3: names that differ",
      "4: names that differ",
    ]);
  });

  test("runs while other members and items are wrong", () => {
    expect(issuesOf(Items, [{ key: "a", weight: "x", flag: true }, { key: "a" }, { key: 1 }, null])).toEqual([
      "0.weight: number",
      "2.key: text",
      "3: Invalid type: Expected Object but received null",
      "1.key: keys that differ",
    ]);
  });

  test("is not confused by what a prototype has, nor by other values than lists", () => {
    expect(issuesOf(Names, ["__proto__", "constructor", "toString"])).toEqual([]);
    expect(issuesOf(Names, "aa")).toHaveLength(1);
    expect(issuesOf(Names, { 0: "a", 1: "a", length: 2 })).toHaveLength(1);
  });
});

describe("exactlyOne", () => {
  const flagged = (...flags: readonly unknown[]): readonly string[] =>
    issuesOf(
      Items,
      flags.map((flag, index) => ({ key: `k${index}`, ...(flag === undefined ? {} : { flag }) })),
    );

  test.each([[[true]], [[undefined, true, false]]])("%j is one", (flags) => {
    expect(flagged(...flags)).toEqual([]);
  });

  test.each([[[]], [[undefined]], [[false, false]], [[true, true]]])("%j is not", (flags) => {
    expect(flagged(...flags)).toEqual([": one flag"]);
  });

  test("waits while a flag is no boolean: another error says so", () => {
    expect(flagged("true", undefined)).toEqual([]);
  });
});

describe("the schemas that use them", () => {
  const variants = [{ key: "control", control: true }, { key: "b" }];

  test("a configuration reports the later of two equal keys beside another error", () => {
    const value = { name: "a", variants: [...variants, { key: "b", weight: "x" }] };
    expect(issuesOf(ConfigurationSchema, value)).toContain("variants.2.key: variant keys that differ");
    expect(issuesOf(ConfigurationSchema, value)).toHaveLength(2);
  });

  test.each([
    ["a number that JSON text can hold and JSON cannot", Number("1e400")],
    ["a lone surrogate", "\uD800"],
  ])("a configuration refuses %s and does not throw", (_, payload) => {
    const value = { name: "a", variants: [{ key: "control", control: true, payload }, { key: "b" }] };
    expect(issuesOf(ConfigurationSchema, value)).toEqual([": finite numbers, and text without lone surrogates"]);
  });

  test("a gate on the brake is refused beside another error", () => {
    const issues = issuesOf(GateSchema, { type: "quorum", to: "paused", count: "two" });
    expect(issues.some((issue) => issue.startsWith("to: a state other than Paused"))).toBe(true);
    expect(issues.some((issue) => issue.startsWith("count: "))).toBe(true);
  });
});
