import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type DefineResult,
  defineDsl,
  type DslError,
  type DslInput,
  formatErrors,
  loadDsl,
} from "../../src/config/index.ts";

/** A lie, told once: a caller without types may hand over anything. */
const isTyped = (_input: unknown): _input is DslInput => true;
const define = (input: unknown): DefineResult => {
  if (!isTyped(input)) throw new TypeError("unreachable");
  return defineDsl(input);
};
const messages = (input: unknown): readonly string[] => {
  const result = define(input);
  return result.ok ? [] : result.errors.map((error) => `${error.path} ${error.message}`);
};

const withPayload = (payload: unknown) => ({
  experiments: [{ name: "a", variants: [{ key: "x", control: true, payload }, { key: "y" }] }],
});

const sentences = (errors: readonly DslError[]): readonly string[] =>
  errors.map(({ path, message }) => `${path} ${message}`).toSorted();

describe("defineDsl", () => {
  test("takes what the file takes, with types", () => {
    const input: DslInput = {
      governance: { approvalGates: [{ type: "quorum", to: "Approved", count: 2 }] },
      experiments: [{ name: "a", variants: [{ key: "x", control: true }, { key: "y" }] }],
    };
    const result = defineDsl(input);
    expect(result.ok && result.value.governance.approvalGates[0]).toMatchObject({
      type: "quorum",
      roles: ["approver"],
    });
  });

  test("reports the same as the file, without places", () => {
    const input = {
      governance: {
        persistence: { type: "redis" },
        approvalGates: [{ type: "manul", too: "Approved", fourEyes: "yes" }],
        policies: [
          { type: "trafficLimit", maxTraffic: "25%" },
          { type: "trafficLimit", maxTrafficPercentage: 1 },
        ],
      },
      dataplane: {},
      experiments: [{ name: "a" }, { name: "a", variants: [] }],
    };
    const fromFile = loadDsl(JSON.stringify(input), { file: "dsl" });
    const fromCode = define(input);
    expect(fromFile.ok ? [] : sentences(fromFile.errors)).toEqual(messages(input).toSorted());
    expect(messages(input).length).toBeGreaterThan(8);
    expect(fromCode.ok ? [] : fromCode.errors.filter((error) => "line" in error)).toEqual([]);
  });

  test("does not interpolate", () => {
    const result = defineDsl({
      experiments: [{ name: "a", description: "${HOME} $${x}", variants: [{ key: "x", control: true }, { key: "y" }] }],
    });
    expect(result.ok && result.value.experiments[0]?.description).toBe("${HOME} $${x}");
  });

  test("is a copy: a later change of the input changes nothing", () => {
    const payload = { colour: "red" };
    const result = defineDsl({
      experiments: [{ name: "a", variants: [{ key: "x", control: true, payload }, { key: "y" }] }],
    });
    payload.colour = "blue";
    expect(result.ok && result.value.experiments[0]?.variants[0]?.payload).toEqual({ colour: "red" });
  });

  const place = "/experiments/0/variants/0/payload";
  const cycle: Record<string, unknown> = {};
  cycle["self"] = cycle;

  test.each([
    ["a function", () => 1, "found a function; allowed: what JSON can say"],
    ["a symbol", Symbol("s"), "found a symbol; allowed: what JSON can say"],
    ["a bigint", 1n, "found a bigint; allowed: what JSON can say"],
    ["NaN", Number.NaN, "found NaN; allowed: a finite number"],
    ["a date", new Date(0), "found an object of a class; allowed: plain objects, lists and scalars"],
    ["a map", new Map([[1, 2]]), "found an object of a class; allowed: plain objects, lists and scalars"],
    [
      "a lone surrogate",
      "\uD800",
      'found "\\ud800"; allowed: text without U+0000 and lone surrogates, which databases alter',
    ],
  ])("refuses %s", (_, payload, message) => {
    expect(messages(withPayload(payload))).toEqual([`${place} ${message}`]);
  });

  test("refuses cycles, depth, and objects that unfold without end", () => {
    expect(messages(withPayload(cycle))).toEqual([
      `${place}/self found a cycle; allowed: objects that do not hold themselves`,
    ]);
    let deep: unknown = 1;
    for (let level = 0; level < 5_000; level += 1) deep = [deep];
    expect(messages(withPayload(deep))).toHaveLength(1);
    let wide: unknown = 1;
    for (let level = 0; level < 50; level += 1) wide = [wide, wide];
    expect(messages(withPayload(wide))[0]).toContain("values");
  });

  test("refuses __proto__ as JSON.parse makes it", () => {
    const payload: unknown = JSON.parse('{"__proto__": {"polluted": true}}');
    expect(messages(withPayload(payload))).toEqual([
      `${place}/__proto__ found "__proto__"; allowed: a key other than __proto__`,
    ]);
  });

  test("leaves out members that are undefined, as JSON does", () => {
    const input = {
      governance: undefined,
      experiments: [{ ...withPayload(undefined).experiments[0], traffic: undefined }],
    };
    const result = define(input);
    expect(result.ok && result.value.experiments[0]?.traffic).toBe(100);
    expect(result.ok && Object.keys(result.value.experiments[0]?.variants[0] ?? {})).not.toContain("payload");
  });

  test.each([undefined, null, 1, "governance", [], () => 1])("refuses %j as a whole", (input) => {
    const result = define(input);
    expect(result.ok).toBe(false);
    expect(formatErrors(result.ok ? [] : result.errors)).toContain("(whole configuration)");
  });

  test("never throws", () => {
    const anything = fc.anything({
      withBigInt: true,
      withDate: true,
      withMap: true,
      withSet: true,
      withNullPrototype: true,
      withSparseArray: true,
      withTypedArray: true,
    });
    fc.assert(
      fc.property(anything, anything, (a, b) => {
        for (const input of [
          a,
          { governance: a, experiments: b },
          { governance: { policies: a, approvalGates: [b] } },
          withPayload(a),
        ])
          expect(typeof define(input).ok).toBe("boolean");
      }),
    );
  });
});
