import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { compareVersions, parseVersion } from "../../src/evaluation/version.ts";

const order = (left: string, right: string): number => {
  const a = parseVersion(left);
  const b = parseVersion(right);
  if (a === undefined || b === undefined) throw new TypeError(`no version: ${left} or ${right}`);
  return Math.sign(compareVersions(a, b));
};

describe("parseVersion", () => {
  test.each(["1", "1.2", "1.2.3", "1.2.3.4", "0.0.0", "001.02", "1.2.3-beta", "1-0.a.-", "1.2.3-a-b.c+d.e-f", "1+x"])(
    "reads %s",
    (text) => {
      expect(parseVersion(text)).toBeDefined();
    },
  );

  test.each([
    "",
    " ",
    "v1.2.3",
    "1.",
    ".1",
    "1..2",
    "1.2.3.4.5",
    "1.2.3-",
    "1.2.3-a..b",
    "1.2.3-a_b",
    "1.2.3+",
    "1.2.3+a+b",
    "1.2.x",
    "-1",
    "1e3",
    "1.2.3 ",
    "١.٢",
    "1234567890",
    "1.2.3-ä",
    `1-${"a".repeat(127)}`,
    "NaN",
    "Infinity",
  ])("does not read %j", (text) => {
    expect(parseVersion(text)).toBeUndefined();
  });
});

describe("compareVersions", () => {
  // The example of Semantic Versioning 2.0.0 §11, between its neighbours.
  const rising = [
    "0.9.9",
    "1.0.0-0",
    "1.0.0-9",
    "1.0.0-10",
    "1.0.0-99999999999999999999",
    "1.0.0-100000000000000000000",
    "1.0.0-A",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "1.0.0.1",
    "1.0.1",
    "1.2",
    "1.10",
    "2",
    "10",
  ];

  test("puts versions in the order of the specification", () => {
    const pairs = rising.flatMap((left, i) => rising.map((right, j) => ({ left, right, expected: Math.sign(i - j) })));
    expect(pairs.map(({ left, right }) => ({ left, right, expected: order(left, right) }))).toEqual(pairs);
  });

  test.each([
    ["1", "1.0.0.0"],
    ["1.2.0", "1.2"],
    ["1.2.3+one", "1.2.3+two"],
    ["1.0.0-007", "1.0.0-7"],
    ["01.2", "1.2"],
  ])("finds %s and %s equal", (left, right) => {
    expect(order(left, right)).toBe(0);
  });

  test("is an order: antisymmetric and transitive", () => {
    const identifier = fc.stringMatching(/^[0-9A-Za-z-]{1,4}$/);
    const version = fc
      .tuple(
        fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 4 }),
        fc.array(identifier, { maxLength: 3 }),
      )
      .map(([numbers, prerelease]) => numbers.join(".") + (prerelease.length > 0 ? `-${prerelease.join(".")}` : ""));
    fc.assert(
      fc.property(version, version, version, (a, b, c) => {
        expect(order(a, b)).toBe(-order(b, a) + 0);
        const [low, middle, high] = [a, b, c].toSorted(order);
        expect([order(low ?? a, middle ?? a), order(middle ?? a, high ?? a), order(low ?? a, high ?? a)]).not.toContain(
          1,
        );
      }),
      { numRuns: 1_000 },
    );
  });
});
