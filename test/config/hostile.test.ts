import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { stringify } from "yaml";
import { formatErrors, loadDsl } from "../../src/config/index.ts";
import { limits } from "../../src/limits.ts";
import { dslInputs } from "./arbitrary.ts";

/** Loads, and checks what holds for every text whatever. */
const survive = (text: string): readonly string[] => {
  const result = loadDsl(text, { file: "hostile.yaml", environment: { A: "1" } });
  const errors = result.ok ? [] : result.errors;
  expect(result.ok).toBe(errors.length === 0);
  const lines = text.replace(/^\uFEFF/, "").split("\n");
  for (const error of [...errors, ...result.warnings]) {
    expect(error.line).toBeGreaterThanOrEqual(1);
    expect(error.line).toBeLessThanOrEqual(lines.length);
    expect(error.column).toBeGreaterThanOrEqual(1);
    expect(error.column).toBeLessThanOrEqual((lines[error.line - 1]?.length ?? 0) + 1);
    expect(error.allowed).not.toBe("");
  }
  formatErrors(errors, { source: text, color: true });
  return errors.map((error) => error.message);
};

const fragments = [
  ...Array.from("{}[],:?-&*!|>%@`#'\"\n\t \r~"),
  "  ",
  "- ",
  ": ",
  "&a ",
  "*a",
  "<<: ",
  "!!str ",
  "---\n",
  "...\n",
  "%YAML 1.1\n",
  "${A}",
  "${",
  "$${",
  "governance:",
  "experiments:",
  "policies:",
  "type: manual",
  "__proto__: ",
  "constructor: ",
  "\u0000",
  "\uD800",
  "\uFEFF",
  "\u2028",
  "1e999",
  "null",
];

const withPayload = (levels: number): string =>
  `experiments: [{ name: a, variants: [{ key: x, control: true, payload: ${"[".repeat(levels)}${"]".repeat(levels)} }, { key: y }] }]`;

const commentOf = (bytes: number): string => `governance: {}\n#${"é".repeat((bytes - 16) / 2)}`;

const payloadKey = (key: string): string =>
  `experiments: [{ name: a, variants: [{ key: x, control: true, payload: { ${key}: { polluted: 1 } } }, { key: y }] }]`;

describe("any text", () => {
  test("never throws", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 200 }), (text) => {
        expect(survive(text)).toBeInstanceOf(Array);
      }),
      { numRuns: 300 },
    );
  });

  test("made of the pieces of YAML never throws", () => {
    const text = fc.array(fc.constantFrom(...fragments), { maxLength: 30 }).map((parts) => parts.join(""));
    fc.assert(
      fc.property(text, (value) => {
        expect(survive(value)).toBeInstanceOf(Array);
      }),
      { numRuns: 1_000 },
    );
  });

  test("of a good file with a piece cut out or put in never throws", () => {
    const edit = fc.record({ at: fc.nat(), length: fc.nat(6), put: fc.constantFrom("", ...fragments) });
    fc.assert(
      fc.property(dslInputs, fc.boolean(), edit, (input, json, { at, length, put }) => {
        const text = json ? JSON.stringify(input) : stringify(input);
        const start = at % (text.length + 1);
        expect(survive(text.slice(0, start) + put + text.slice(start + length))).toBeInstanceOf(Array);
      }),
      { numRuns: 100 },
    );
  });

  test("of any JSON value never throws", () => {
    fc.assert(
      fc.property(fc.json({ noUnicodeString: false }), (text) => {
        expect(survive(text)).toBeInstanceOf(Array);
      }),
      { numRuns: 300 },
    );
  });
});

describe("exhaustion", () => {
  test("billion laughs", () => {
    const lines = Array.from({ length: 12 }, (_, level) =>
      level === 0 ? "a0: &a0 [x, x, x]" : `a${level}: &a${level} [${`*a${level - 1}, `.repeat(8)}]`,
    );
    const errors = survive(lines.join("\n"));
    expect(errors.filter((message) => message.includes(`at most ${limits.dslAliases} aliases`))).toHaveLength(1);
    expect(errors.length).toBeLessThan(20);
  });

  test("few aliases of much", () => {
    const text = `governance: &g [${"1, ".repeat(limits.dslAliasedValues / 10)}]\nexperiments: [${"*g, ".repeat(50)}]`;
    const errors = survive(text);
    expect(errors.filter((message) => message.includes("values by way of aliases"))).toHaveLength(1);
  });

  test("many aliases", () => {
    const aliases = Array.from({ length: limits.dslAliases + 1 }, () => "*a").join(", ");
    expect(survive(`experiments: [&a 1, ${aliases}]`)).toContain(
      `found the alias "*a"; allowed: at most ${limits.dslAliases} aliases`,
    );
    const allowed = Array.from({ length: limits.dslAliases }, () => "*a").join(", ");
    expect(survive(`experiments: [&a 1, ${allowed}]`).some((message) => message.includes("aliases"))).toBe(false);
  });

  test("many aliases of nothing, and a number of many digits", () => {
    expect(survive(`experiments: [${"*b, ".repeat(10_000)}]`)).toHaveLength(limits.dslAliases + 1);
    const [message = ""] = survive(`experiments: [${"9".repeat(100_000)}]`);
    expect(message.length).toBeLessThan(300);
  });

  test("one level more than is allowed", () => {
    // The payload itself stands on the fifth level.
    expect(survive(withPayload(limits.dslDepth - 4))).toEqual([]);
    expect(survive(withPayload(limits.dslDepth - 3))).toEqual([
      `found a list; allowed: at most ${limits.dslDepth} levels of lists and mappings`,
    ]);
  });

  test.each([
    ["brackets", "[".repeat(50_000)],
    ["balanced brackets", "[".repeat(20_000) + "]".repeat(20_000)],
    ["braces", "{a: ".repeat(20_000)],
    ["dashes", "- ".repeat(50_000)],
    ["question marks", "? ".repeat(20_000)],
    ["indentation", Array.from({ length: 1_200 }, (_, level) => `${" ".repeat(level)}a:`).join("\n")],
  ])("%s without end are one error", (_, text) => {
    const errors = survive(text);
    expect(errors.filter((message) => message.includes(`at most ${limits.dslDepth} levels`))).toHaveLength(1);
    expect(errors.length).toBeLessThanOrEqual(2);
  });

  test("a file over the limit is refused unread, one at the limit is read", () => {
    expect(survive(commentOf(limits.dslBytes))).toEqual([]);
    expect(survive(commentOf(limits.dslBytes + 2))).toEqual([
      `found ${limits.dslBytes + 2} bytes; allowed: at most ${limits.dslBytes} bytes`,
    ]);
  });

  test("references that multiply a long value", () => {
    const text = `experiments: [${'"${BIG}", '.repeat(2_000)}]`;
    const result = loadDsl(text, { file: "big.yaml", environment: { BIG: "x".repeat(10_000) } });
    expect(!result.ok && result.errors.some((error) => error.allowed.includes("characters from the environment"))).toBe(
      true,
    );
  });

  test("open references without end", () => {
    expect(survive(`governance: "${"${".repeat(200_000)}"`)).toHaveLength(1);
  });

  test("tens of thousands of keys, known to nobody", () => {
    const keys = Array.from({ length: 30_000 }, (_, index) => `k${index}: 1`).join("\n");
    expect(survive(keys)).toHaveLength(30_000);
  });
});

describe("prototypes", () => {
  test.each(["__proto__", "constructor", "prototype", "toString", "hasOwnProperty", "valueOf"])(
    "%s is no key of any section, and alters no object",
    (key) => {
      for (const text of [
        `${key}: { polluted: true }`,
        `governance: { ${key}: { polluted: true } }`,
        `governance: { policies: [{ type: errorRate, maxErrorRate: 0, ${key}: 1 }] }`,
        `{"dataPlane": {"batching": {"${key}": {"polluted": true}}}}`,
        `experiments: [{ name: a, variants: [{ key: x, control: true }, { key: y }], targeting: { attribute: a, ${key}: 1 } }]`,
      ])
        expect(survive(text).some((message) => message.includes(key))).toBe(true);
      expect(Reflect.get({}, "polluted")).toBeUndefined();
    },
  );

  test("constructor is data inside a payload, __proto__ is refused there too", () => {
    const result = loadDsl(payloadKey("constructor"), { file: "dsl" });
    expect(result.ok && JSON.stringify(result.value.experiments[0]?.variants[0]?.payload)).toBe(
      '{"constructor":{"polluted":1}}',
    );
    expect(survive(payloadKey("__proto__"))).toEqual(['found "__proto__"; allowed: a key other than __proto__']);
  });

  test("a variable of the prototype is not set", () => {
    expect(survive("governance: { persistence: { type: '${constructor}' } }")[0]).toContain(
      "${constructor} is not set",
    );
  });
});
