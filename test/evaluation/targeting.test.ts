import * as fc from "fast-check";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { isObject } from "../../src/evaluation/guards.ts";
import { compileTargeting, tryCompileTargeting, type Attributes } from "../../src/evaluation/targeting.ts";
import {
  operatorNames,
  TargetingSchema,
  type Clause,
  type Operator,
  type Targeting,
} from "../../src/evaluation/targeting-schema.ts";

const matches = (targeting: Targeting, attributes: Attributes): boolean => compileTargeting(targeting)(attributes);

const attributesFrom = (value: unknown): Attributes => {
  if (!isObject(value)) throw new TypeError("no object");
  return value;
};

type Case = readonly [clause: Omit<Clause, "attribute">, value: unknown, expected: boolean];

/** By operator, so that a new operator does not compile until its cases are stated. */
const cases: Readonly<Record<Operator, readonly Case[]>> = {
  equals: [
    [{ equals: "pro" }, "pro", true],
    [{ equals: "pro" }, "Pro", false],
    [{ equals: 1 }, 1, true],
    [{ equals: 1 }, "1", false],
    [{ equals: "1" }, 1, false],
    [{ equals: false }, false, true],
    [{ equals: false }, 0, false],
    [{ equals: "" }, "", true],
    [{ equals: 0 }, -0, true],
    [{ equals: "pro" }, ["pro"], false],
    [{ equals: "pro" }, { toString: () => "pro" }, false],
  ],
  notEquals: [
    [{ notEquals: "pro" }, "free", true],
    [{ notEquals: "pro" }, "pro", false],
    [{ notEquals: 1 }, "1", true],
    [{ notEquals: "pro" }, ["pro"], true],
  ],
  in: [
    [{ in: ["US", "CA"] }, "CA", true],
    [{ in: ["US", "CA"] }, "ca", false],
    [{ in: ["US", "CA"] }, "U", false],
    [{ in: [1, "2", true] }, 1, true],
    [{ in: [1, "2", true] }, "1", false],
    [{ in: [1, "2", true] }, 2, false],
    [{ in: [1, "2", true] }, true, true],
    [{ in: ["US"] }, ["US"], false],
  ],
  notIn: [
    [{ notIn: ["US", "CA"] }, "DE", true],
    [{ notIn: ["US", "CA"] }, "US", false],
    [{ notIn: [1] }, "1", true],
  ],
  lessThan: [
    [{ lessThan: 10 }, 9.99, true],
    [{ lessThan: 10 }, 10, false],
    [{ lessThan: 10 }, "9", false],
    [{ lessThan: 10 }, NaN, false],
    [{ lessThan: 10 }, -Infinity, true],
    [{ lessThan: "2026-12-01" }, "2026-11-30", true],
    [{ lessThan: "b" }, "a", true],
    [{ lessThan: "b" }, 1, false],
    [{ lessThan: 10 }, true, false],
    [{ lessThan: 10 }, 9n, false],
  ],
  lessThanOrEqual: [
    [{ lessThanOrEqual: 10 }, 10, true],
    [{ lessThanOrEqual: 10 }, 10.01, false],
    [{ lessThanOrEqual: 10 }, NaN, false],
    [{ lessThanOrEqual: "b" }, "b", true],
  ],
  greaterThan: [
    [{ greaterThan: 10 }, 10.01, true],
    [{ greaterThan: 10 }, 10, false],
    [{ greaterThan: 10 }, NaN, false],
    [{ greaterThan: 10 }, Infinity, true],
    [{ greaterThan: "a" }, "b", true],
  ],
  greaterThanOrEqual: [
    [{ greaterThanOrEqual: 10 }, 10, true],
    [{ greaterThanOrEqual: 10 }, 9, false],
    [{ greaterThanOrEqual: 10 }, NaN, false],
    [{ greaterThanOrEqual: "b" }, "b", true],
    [{ greaterThanOrEqual: "b" }, "a", false],
  ],
  startsWith: [
    [{ startsWith: "beta-" }, "beta-7", true],
    [{ startsWith: "beta-" }, "a beta-7", false],
    [{ startsWith: "" }, "", true],
    [{ startsWith: "1" }, 1, false],
  ],
  endsWith: [
    [{ endsWith: "@acme.example" }, "jo@acme.example", true],
    [{ endsWith: "@acme.example" }, "jo@acme.example.org", false],
    [{ endsWith: "1" }, 1, false],
  ],
  contains: [
    [{ contains: "mobile" }, "a mobile phone", true],
    [{ contains: "mobile" }, "Mobile", false],
    [{ contains: "staff" }, ["beta", "staff"], true],
    [{ contains: "staff" }, ["staffing"], false],
    [{ contains: "1" }, 1, false],
    [{ contains: "a" }, { includes: () => true }, false],
  ],
  exists: [
    [{ exists: true }, "x", true],
    [{ exists: true }, "", true],
    [{ exists: true }, 0, true],
    [{ exists: true }, false, true],
    [{ exists: false }, "x", false],
    [{ exists: false }, false, false],
  ],
  versionEquals: [
    [{ versionEquals: "1.2.0" }, "1.2", true],
    [{ versionEquals: "1.2.0" }, "1.2.0+build", true],
    [{ versionEquals: "1.2.0" }, "1.2.0-rc", false],
    [{ versionEquals: "1" }, 1, false],
    [{ versionEquals: "1.2.0" }, "v1.2.0", false],
  ],
  versionLessThan: [
    [{ versionLessThan: "1.10.0" }, "1.9.9", true],
    [{ versionLessThan: "1.10.0" }, "1.10.0", false],
    [{ versionLessThan: "1.10.0" }, "1.10.0-rc.1", true],
    [{ versionLessThan: "1.10.0" }, "unknown", false],
  ],
  versionLessThanOrEqual: [
    [{ versionLessThanOrEqual: "1.10" }, "1.10.0", true],
    [{ versionLessThanOrEqual: "1.10" }, "1.10.1", false],
    [{ versionLessThanOrEqual: "1.10" }, "", false],
  ],
  versionGreaterThan: [
    [{ versionGreaterThan: "1.9.9" }, "1.10.0", true],
    [{ versionGreaterThan: "1.9.9" }, "1.9.9", false],
    [{ versionGreaterThan: "1.9.9" }, ["1.10.0"], false],
  ],
  versionGreaterThanOrEqual: [
    [{ versionGreaterThanOrEqual: "1.9.9" }, "1.9.9", true],
    [{ versionGreaterThanOrEqual: "1.9.9" }, "1.9.9-beta", false],
  ],
};

const trueWhenMissing = (clause: Omit<Clause, "attribute">): boolean =>
  clause.exists === false || clause.notEquals !== undefined || clause.notIn !== undefined;

describe.each(operatorNames)("%s", (operator) => {
  test("has cases", () => {
    expect(cases[operator].length).toBeGreaterThan(0);
  });

  test("tests an attribute's value", () => {
    const answers = cases[operator].map(([clause, value]): Case => [
      clause,
      value,
      matches({ attribute: "a", ...clause }, { a: value }),
    ]);
    expect(answers).toEqual(cases[operator]);
  });

  test("is the opposite inside not", () => {
    const answers = cases[operator].map(([clause, value]): Case => [
      clause,
      value,
      !matches({ not: { attribute: "a", ...clause } }, { a: value }),
    ]);
    expect(answers).toEqual(cases[operator]);
  });

  test("of a missing attribute is false, but for exists: false, notEquals and notIn", () => {
    const missing = [{}, { a: undefined }, { a: null }, { b: "x" }, attributesFrom(Object.create({ a: "inherited" }))];
    for (const [clause] of cases[operator]) {
      const predicate = compileTargeting({ attribute: "a", ...clause });
      expect({ clause, answers: missing.map(predicate) }).toEqual({
        clause,
        answers: missing.map(() => trueWhenMissing(clause)),
      });
    }
  });
});

test.each(["__proto__", "constructor", "toString", "hasOwnProperty", "a:b", "a/b", "ä", "😀", "\ud800"])(
  "the attribute %j is looked for among own properties only",
  (attribute) => {
    expect(matches({ attribute, exists: true }, {})).toBe(false);
    expect(matches({ attribute, equals: "x" }, Object.fromEntries([[attribute, "x"]]))).toBe(true);
    expect(matches({ attribute, equals: "x" }, attributesFrom(Object.create(null)))).toBe(false);
  },
);

describe("all, any and not", () => {
  const yes: Targeting = { attribute: "a", exists: true };
  const no: Targeting = { attribute: "a", exists: false };
  test.each<readonly [Targeting, boolean]>([
    [{ all: [yes, yes] }, true],
    [{ all: [yes, no] }, false],
    [{ any: [no, yes] }, true],
    [{ any: [no, no] }, false],
    [{ not: no }, true],
    [{ not: { all: [yes, { any: [no, { not: yes }] }] } }, true],
  ])("%j is %s", (targeting, expected) => {
    expect(matches(targeting, { a: 1 })).toBe(expected);
  });

  test("stop at the first answer", () => {
    const attributes = {
      a: 1,
      get b(): never {
        throw new Error("was read");
      },
    };
    expect(matches({ any: [yes, { attribute: "b", exists: true }] }, attributes)).toBe(true);
    expect(matches({ all: [no, { attribute: "b", exists: true }] }, attributes)).toBe(false);
  });

  test("are compiled once: what the condition becomes later does not matter", () => {
    const values = ["US"];
    const clause = { attribute: "country", in: values };
    const predicate = compileTargeting({ all: [clause] });
    values.push("DE");
    clause.attribute = "plan";
    expect(predicate({ country: "DE" })).toBe(false);
    expect(predicate({ country: "US" })).toBe(true);
  });
});

const nested = (levels: number): unknown =>
  Array.from({ length: levels - 1 }).reduce((node) => ({ not: node }), { attribute: "a", exists: true });

describe("what is no condition", () => {
  test.each([
    null,
    undefined,
    "all",
    [],
    {},
    { all: [] },
    { any: "x" },
    { all: [{}] },
    { not: [] },
    { attribute: "a" },
    { attribute: 1, equals: 1 },
    { equals: 1 },
    { attribute: "a", equals: 1, in: [1] },
    { attribute: "a", in: [] },
    { attribute: "a", in: [null] },
    { attribute: "a", in: "US" },
    { attribute: "a", equals: null },
    { attribute: "a", equals: NaN },
    { attribute: "a", lessThan: true },
    { attribute: "a", startsWith: 1 },
    { attribute: "a", exists: "yes" },
    { attribute: "a", versionEquals: "latest" },
    { attribute: "a", matches: ".*" },
    { attribute: "a", constructor: "x" },
    { attribute: "a", all: [{ attribute: "a", exists: true }] },
    { all: [{ attribute: "a", exists: true }], any: [{ attribute: "a", exists: true }] },
    JSON.parse('{"__proto__":{"attribute":"a","exists":true}}'),
    nested(9),
  ])("%j is refused, by the schema too", (node) => {
    expect(tryCompileTargeting(node)).toBeUndefined();
    expect(v.is(TargetingSchema, node)).toBe(false);
  });

  test("eight levels are allowed", () => {
    expect(tryCompileTargeting(nested(8))).toBeDefined();
    expect(v.is(TargetingSchema, nested(8))).toBe(true);
  });

  test("compileTargeting names it", () => {
    // @ts-expect-error the operator does not exist
    expect(() => compileTargeting({ attribute: "a", matches: ".*" })).toThrow(
      /found \{"attribute":"a","matches":".\*"\}/,
    );
  });
});

test("the schema and the compiler take the same conditions", () => {
  const operand = fc.oneof(
    fc.constantFrom("x", "1.2.3", "1.2", 1, 0.5, true, false, null, "", "1.2.3-a..b"),
    fc.array(fc.constantFrom("x", 1, true, null), { maxLength: 3 }),
  );
  const clause = fc
    .tuple(fc.constantFrom(...operatorNames, "matches", "__proto__", "attribute"), operand)
    .map(([operator, value]) => ({ attribute: "a", [operator]: value }));
  const { node } = fc.letrec((tie) => ({
    node: fc.oneof(
      { maxDepth: 4 },
      clause,
      fc.record({ all: fc.array(tie("node"), { maxLength: 3 }) }),
      fc.record({ any: fc.array(tie("node"), { maxLength: 3 }) }),
      fc.record({ not: tie("node") }),
    ),
  }));
  const seen = { taken: 0, refused: 0 };
  fc.assert(
    fc.property(node, (candidate) => {
      const taken = v.is(TargetingSchema, candidate);
      expect(tryCompileTargeting(candidate) !== undefined).toBe(taken);
      seen[taken ? "taken" : "refused"] += 1;
    }),
    { numRuns: 3_000 },
  );
  expect(seen.taken).toBeGreaterThan(200);
  expect(seen.refused).toBeGreaterThan(200);
});
