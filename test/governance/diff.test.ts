import * as fc from "fast-check";
import { applyPatch, type Operation } from "rfc6902";
import { describe, expect, test } from "vitest";
import { canonicalJson } from "../../src/canonical.ts";
import type { SettledConfiguration } from "../../src/experiment.ts";
import { diffConfigurations } from "../../src/governance/diff.ts";
import { configuration } from "../support/governance.ts";

const variant = (key: string, weight = 1, control = false) => ({ key, weight, ...(control ? { control } : {}) });
const base = configuration({
  variants: [variant("control", 1, true), variant("a"), variant("b")],
  surfaces: ["x", "y"],
});
const changes = (changed: Partial<SettledConfiguration>) => diffConfigurations(base, { ...base, ...changed }).changes;

describe("the list for people", () => {
  test.each([
    ["nothing", {}, []],
    ["a value", { traffic: 50 }, [{ kind: "modified", path: "/traffic", old: 100, new: 50 }]],
    ["a member that came", { owner: "payments" }, [{ kind: "added", path: "/owner", new: "payments" }]],
    [
      "a variant put first",
      { variants: [variant("c"), ...base.variants] },
      [{ kind: "added", path: "/variants/0", new: variant("c") }],
    ],
    [
      "a variant that went, and a weight",
      { variants: [variant("control", 1, true), variant("b", 3)] },
      [
        { kind: "removed", path: "/variants/1", old: variant("a") },
        { kind: "modified", path: "/variants/1/weight", old: 1, new: 3 },
      ],
    ],
    [
      "another order",
      { variants: base.variants.toReversed() },
      [{ kind: "modified", path: "/variants", old: ["control", "a", "b"], new: ["b", "a", "control"] }],
    ],
    ["a surface", { surfaces: ["y"] }, [{ kind: "removed", path: "/surfaces/0", old: "x" }]],
    [
      "hostile names",
      { labels: { "a/b~c": "1", "%27": "2" } },
      [{ kind: "added", path: "/labels", new: { "a/b~c": "1", "%27": "2" } }],
    ],
  ])("%s", (_title, changed, expected) => {
    expect(changes(changed)).toEqual(expected);
  });
});

const isOperation = (value: unknown): value is Operation =>
  typeof value === "object" && value !== null && "op" in value;
const arbitrary = fc.record({
  traffic: fc.integer({ min: 0, max: 100 }),
  labels: fc.dictionary(
    fc.string({ maxLength: 6 }).filter((key) => key !== "__proto__"),
    fc.string({ maxLength: 6 }),
    { maxKeys: 4 },
  ),
  surfaces: fc.uniqueArray(fc.constantFrom("x", "y", "z")),
  variants: fc
    .uniqueArray(fc.constantFrom("a", "b", "c", "d"), { minLength: 1 })
    .map((keys) => [variant("control", 1, true), ...keys.map((key, index) => variant(key, index))]),
});

test("the patch leads from one to the other, and the list is empty exactly when they are equal", () => {
  fc.assert(
    fc.property(arbitrary, arbitrary, (one, other) => {
      const before = { ...base, ...one };
      const after = { ...base, ...other };
      const diff = diffConfigurations(before, after);
      const patched: unknown = structuredClone(before);
      expect(applyPatch(patched, diff.patch.filter(isOperation)).filter((error) => error !== null)).toEqual([]);
      expect(canonicalJson(patched)).toBe(canonicalJson(after));
      expect(diff.changes.length === 0).toBe(canonicalJson(before) === canonicalJson(after));
      expect(Object.keys({})).toEqual([]);
    }),
  );
});
