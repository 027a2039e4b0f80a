import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { coreScalar, interpolate } from "../../src/config/interpolate.ts";

const environment = { A: "1", EMPTY: "", WIDE: "a: b\n- c", NESTED: "${A}" };

describe("interpolate", () => {
  test.each([
    ["plain", "plain"],
    ["$ $$ $A {A}", "$ $$ $A {A}"],
    ["${A}", "1"],
    ["x${A}y${A}", "x1y1"],
    ["${A:-2}", "1"],
    ["${B:-2}", "2"],
    ["${B:-}", ""],
    ["${EMPTY}", ""],
    ["${EMPTY:-2}", "2"],
    ["${B:-a:-b}", "a:-b"],
    ["${B:-two words\nand lines}", "two words\nand lines"],
    ["$${A}", "${A}"],
    ["$$${A}", "$${A}"],
    ["$${A}${A}", "${A}1"],
    ["${NESTED}", "${A}"],
    ["${WIDE}", "a: b\n- c"],
    ["a}b", "a}b"],
  ])("%j becomes %j", (text, expected) => {
    const result = interpolate(text, environment);
    expect(result.text).toBe(expected);
    expect([...result.unset, ...result.malformed]).toEqual([]);
  });

  test.each([
    ["${B}", ["B"], []],
    ["${B}-${C}", ["B", "C"], []],
    ["${}", [], ["${}"]],
    ["${1A}", [], ["${1A}"]],
    ["${a.b} ${A B}", [], ["${a.b}", "${A B}"]],
    ["${A", [], ["${A"]],
    ["${A-2}", [], ["${A-2}"]],
    ["${toString}", ["toString"], []],
    ["${__proto__}", ["__proto__"], []],
  ])("%j is not resolved", (text, unset, malformed) => {
    const result = interpolate(text, environment);
    expect(result.unset).toEqual(unset);
    expect(result.malformed).toEqual(malformed);
  });

  test("whole only for one reference and nothing else", () => {
    expect(interpolate("${A}", environment)).toMatchObject({ whole: true, expanded: true });
    expect(interpolate("${A} ", environment)).toMatchObject({ whole: false, expanded: true });
    expect(interpolate("${A}${A}", environment)).toMatchObject({ whole: false, expanded: true });
    expect(interpolate("$${A}", environment)).toMatchObject({ whole: false, expanded: false });
  });

  test("a text whose references are escaped comes out as it was", () => {
    const text = fc.string({ unit: fc.constantFrom("$", "{", "}", "A", ":", "-", "\n") });
    fc.assert(
      fc.property(text, (written) => {
        const result = interpolate(
          written.replaceAll("${", () => "$${"),
          environment,
        );
        expect(result).toEqual({ text: written, expanded: false, whole: false, unset: [], malformed: [] });
      }),
    );
  });

  test("a value is put in as it is, and not read again", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (value) => {
        expect(interpolate("<${X}>", { X: value }).text).toBe(`<${value}>`);
      }),
    );
  });
});

describe("core scalars", () => {
  test.each([
    ["25", 25],
    ["-0.5", -0.5],
    ["+1e3", 1000],
    [".5", 0.5],
    ["0x1F", 31],
    ["0o17", 15],
    ["true", true],
    ["False", false],
  ])("%j is read as %j", (text, value) => {
    expect(coreScalar(text)).toBe(value);
  });

  test.each(["", "null", "~", "yes", "1 2", "1_000", "1e400", ".inf", "NaN", "0b1", "- 1", "{}", "[1]", " 1", "1\n"])(
    "%j stays text",
    (text) => {
      expect(coreScalar(text)).toBe(text);
    },
  );
});
