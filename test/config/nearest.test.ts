import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { editDistance, nearest } from "../../src/config/nearest.ts";

describe("edit distance", () => {
  test.each([
    ["", "", 0],
    ["", "abc", 3],
    ["abc", "", 3],
    ["kitten", "sitting", 3],
    ["flase", "false", 1],
    ["ab", "ba", 1],
    ["ca", "abc", 3],
  ])("%j to %j is %i", (a, b, distance) => {
    expect(editDistance(a, b)).toBe(distance);
  });

  test("is symmetric, zero only for equals, and bounded by the longer text", () => {
    const word = fc.string({ maxLength: 12, unit: fc.constantFrom("a", "b", "c") });
    fc.assert(
      fc.property(word, word, (a, b) => {
        const distance = editDistance(a, b);
        expect(distance).toBe(editDistance(b, a));
        expect(distance === 0).toBe(a === b);
        expect(distance).toBeLessThanOrEqual(Math.max(a.length, b.length));
        expect(distance).toBeGreaterThanOrEqual(Math.abs(a.length - b.length));
      }),
    );
  });
});

describe("nearest", () => {
  const policyKeys = ["type", "name", "severity", "to", "maxTrafficPercentage", "minStableTime"];
  test.each([
    ["runing", ["Running", "Ramping"], "Running"],
    ["ROLLED_BACK", ["Running", "RolledBack"], "RolledBack"],
    ["max-traffic-percentage", policyKeys, "maxTrafficPercentage"],
    ["maxTraffic", policyKeys, "maxTrafficPercentage"],
    ["maxTrafficPercent", policyKeys, "maxTrafficPercentage"],
    ["toState", policyKeys, "to"],
    ["roles", ["allowedRoles", "name"], "allowedRoles"],
    ["manul", ["automatic", "manual"], "manual"],
    ["d2", ["memory", "d1"], "d1"],
  ])("%s of %j is %s", (written, allowed, meant) => {
    expect(nearest(written, allowed)).toBe(meant);
  });

  test.each([
    ["", policyKeys],
    ["x", policyKeys],
    ["colour", policyKeys],
    ["allowed", ["allowedStartTime", "allowedEndTime"]],
    ["manual", []],
    ["a".repeat(10_000), ["a".repeat(10_001)]],
    ["${}", ["$", "{"]],
  ])("%j of %j is nothing", (written, allowed) => {
    expect(nearest(written, allowed)).toBeUndefined();
  });

  test("never throws, and names only what is allowed", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.array(fc.string()), (written, allowed) => {
        const meant = nearest(written, allowed);
        expect(meant === undefined || allowed.includes(meant)).toBe(true);
      }),
    );
  });
});
