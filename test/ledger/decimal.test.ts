import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  addDecimals,
  decimalNumber,
  decimalOf,
  decimalText,
  momentsOf,
  multiplyDecimals,
  parseDecimal,
  squareDecimal,
  subtractDecimals,
  type Decimal,
} from "../../src/ledger/decimal.ts";

/** The reference: a plain pair of BigInt units at one fixed scale, which is enough for every generated value. */
const places = 60;
const reference = (text: string): bigint => {
  const [, sign, whole = "", fraction = ""] = /^(-?)(\d+)(?:\.(\d+))?$/.exec(text) ?? [];
  if (fraction.length > places) throw new Error(`${text}: more than ${places} places`);
  return BigInt(whole + fraction.padEnd(places, "0")) * (sign === "-" ? -1n : 1n);
};

const sumOf = (terms: readonly Decimal[]): Decimal => terms.reduce<Decimal>(addDecimals, 0);

/** Exact sum and sum of squares. */
const textsOf = (values: readonly number[]) => {
  const exact = values.map(decimalOf);
  return [decimalText(sumOf(exact)), decimalText(sumOf(exact.map(squareDecimal)))];
};

const exactMoments = (values: readonly number[]) => {
  const exact = values.map(decimalOf);
  return momentsOf(values.length, sumOf(exact), sumOf(exact.map(squareDecimal)));
};

const close = (actual: number | null, expected: number) =>
  Math.abs((actual ?? Number.NaN) - expected) <= Math.abs(expected) * 1e-15;

/** Decimal texts with up to 20 digits before and after the point, most of them short. */
const decimals = fc
  .tuple(
    fc.boolean(),
    fc.oneof(fc.maxSafeNat(), fc.bigInt({ min: 0n, max: 10n ** 20n }), fc.nat(1_000)),
    fc.oneof(fc.constant(""), fc.stringMatching(/^[0-9]{1,20}$/)),
  )
  .map(([negative, whole, fraction]) => `${negative ? "-" : ""}${whole}${fraction === "" ? "" : `.${fraction}`}`);

/** What an outcome may be. */
const outcomes = fc.oneof(
  fc.integer({ min: -1_000, max: 1_000_000 }),
  fc.double({ min: -1e15, max: 1e15, noNaN: true }),
  fc.integer({ min: -100_000, max: 100_000 }).map((cents) => cents / 100),
);

describe("reading and writing", () => {
  test.each([
    ["0", "0"],
    ["-0", "0"],
    ["-0.00", "0"],
    ["12.50", "12.5"],
    ["-1.50e1", "-15"],
    ["1E3", "1000"],
    ["1e+21", "1000000000000000000000"],
    ["1e-7", "0.0000001"],
    ["-0.05", "-0.05"],
    ["100", "100"],
    ["9007199254740991", "9007199254740991"],
    ["9007199254740993", "9007199254740993"],
    ["-9007199254740993.10", "-9007199254740993.1"],
    ["0.1000000000000000055511151231257827", "0.1000000000000000055511151231257827"],
  ])("%s is %s", (text, canonical) => {
    expect(decimalText(parseDecimal(text))).toBe(canonical);
  });

  test.each([
    "",
    " 1",
    "1 ",
    "+1",
    "01",
    "-01",
    "1.",
    ".5",
    "1e",
    "1e1.5",
    "0x10",
    "1_000",
    "NaN",
    "Infinity",
    "١",
    "1,5",
    "1n",
    "--1",
    "null",
  ])("refuses %j", (text) => {
    expect(() => parseDecimal(text)).toThrow(RangeError);
  });

  test("refuses what is short to write and huge to expand, and shows only the beginning of it", () => {
    expect(() => parseDecimal("1e1001")).toThrow(RangeError);
    expect(() => parseDecimal("1e-999999999999999999999")).toThrow(RangeError);
    expect(() => parseDecimal("9".repeat(5_000))).toThrow(RangeError);
    expect(() => parseDecimal("x".repeat(100_000))).toThrow(/^decimal: "x{40}"… is not a JSON number/);
    expect(decimalText(parseDecimal("1e1000"))).toHaveLength(1_001);
  });

  test("a number is what its JSON text says, not the double behind it", () => {
    expect(decimalText(decimalOf(0.1))).toBe("0.1");
    expect(decimalText(addDecimals(decimalOf(0.1), decimalOf(0.2)))).toBe("0.3");
    expect(decimalText(decimalOf(5e-324))).toBe(`0.${"0".repeat(323)}5`);
    expect(decimalText(decimalOf(1e21))).toBe(`1${"0".repeat(21)}`);
    expect(Object.is(decimalOf(-0), 0)).toBe(true);
    for (const value of [Number.NaN, Infinity, -Infinity]) expect(() => decimalOf(value)).toThrow(RangeError);
  });

  test("one value has one form: whole numbers are plain numbers, whatever they came from", () => {
    expect(parseDecimal("15.00")).toBe(15);
    expect(addDecimals(parseDecimal("0.5"), parseDecimal("0.5"))).toBe(1);
    expect(multiplyDecimals(parseDecimal("2.5"), 4)).toBe(10);
    expect(subtractDecimals(parseDecimal("9007199254740993"), 2)).toBe(Number.MAX_SAFE_INTEGER);
    expect(Object.is(multiplyDecimals(0, -5), 0)).toBe(true);
    expect(Object.is(subtractDecimals(parseDecimal("0.5"), parseDecimal("0.5")), 0)).toBe(true);
  });

  test("every double survives the way to a decimal and back", () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (value) => {
        expect(decimalNumber(decimalOf(value))).toBe(value + 0);
      }),
    );
  });

  test("canonical text survives reading", () => {
    fc.assert(
      fc.property(decimals, (text) => {
        const canonical = decimalText(parseDecimal(text));
        expect(decimalText(parseDecimal(canonical))).toBe(canonical);
        expect(reference(canonical)).toBe(reference(text));
        expect(parseDecimal(canonical)).toEqual(parseDecimal(text));
      }),
    );
  });

  test("the nearest double is found, also between two", () => {
    expect(decimalNumber(parseDecimal("9007199254740993"))).toBe(9_007_199_254_740_992);
    expect(decimalNumber(parseDecimal("9007199254740993.0000000000000000000000001"))).toBe(9_007_199_254_740_994);
    expect(decimalNumber(parseDecimal("0.3"))).toBe(0.3);
  });
});

describe("arithmetic", () => {
  test("agrees with plain BigInt arithmetic", () => {
    fc.assert(
      fc.property(decimals, decimals, (a, b) => {
        const [x, y] = [parseDecimal(a), parseDecimal(b)];
        expect(reference(decimalText(addDecimals(x, y)))).toBe(reference(a) + reference(b));
        expect(reference(decimalText(subtractDecimals(x, y)))).toBe(reference(a) - reference(b));
        const product = reference(decimalText(multiplyDecimals(x, y))) * 10n ** BigInt(places);
        expect(product).toBe(reference(a) * reference(b));
        expect(decimalText(squareDecimal(x))).toBe(decimalText(multiplyDecimals(x, x)));
      }),
    );
  });

  test("does not depend on the order of events", () => {
    const events = fc.array(outcomes, { maxLength: 40 });
    fc.assert(
      fc.property(
        events.chain((values) =>
          fc.tuple(fc.constant(values), fc.shuffledSubarray(values, { minLength: values.length })),
        ),
        ([values, shuffled]) => {
          expect(textsOf(shuffled)).toEqual(textsOf(values));
        },
      ),
    );
  });

  test("what was added can be taken away again", () => {
    fc.assert(
      fc.property(decimals, decimals, (a, b) => {
        const [x, y] = [parseDecimal(a), parseDecimal(b)];
        expect(subtractDecimals(addDecimals(x, y), y)).toEqual(x);
        expect(subtractDecimals(x, x)).toBe(0);
      }),
    );
  });

  test("crosses the edge of safe integers without a loss", () => {
    expect(decimalText(addDecimals(Number.MAX_SAFE_INTEGER, 2))).toBe("9007199254740993");
    expect(decimalText(subtractDecimals(-Number.MAX_SAFE_INTEGER, 4))).toBe("-9007199254740995");
    expect(decimalText(squareDecimal(1e15))).toBe(`1${"0".repeat(30)}`);
    expect(decimalText(multiplyDecimals(94_906_267, 94_906_267))).toBe("9007199515875289");
  });
});

describe("moments", () => {
  test("round once: a hair above the middle between two doubles goes up", () => {
    const n = 2 ** 40;
    const middle = (2n ** 53n + 1n) * BigInt(n);
    const mean = (sum: bigint) => momentsOf(n, parseDecimal(String(sum)), parseDecimal("1e60")).mean;
    expect(mean(middle + 1n)).toBe(2 ** 53 + 2);
    expect(mean(middle)).toBe(2 ** 53);
    expect(mean(-middle - 1n)).toBe(-(2 ** 53) - 2);
  });

  test("of few subjects are null where they do not exist", () => {
    expect(momentsOf(0, 0, 0)).toEqual({ mean: null, variance: null });
    expect(exactMoments([7])).toEqual({ mean: 7, variance: null });
    expect(exactMoments([1, 2, 3])).toEqual({ mean: 2, variance: 1 });
  });

  test("of a large offset keep their variance: naive doubles give -168 for a true 1.0", () => {
    expect(exactMoments([1e9, 1e9 + 1, 1e9 + 2])).toEqual({ mean: 1_000_000_001, variance: 1 });
    expect(exactMoments([999_999_999_999_999, 1e15])).toEqual({ mean: 999_999_999_999_999.5, variance: 0.5 });
  });

  test("of Cookie Cats' totals are the exact fractions, correctly rounded", () => {
    const { mean, variance } = momentsOf(44_700, 2_344_795, 3_068_811_771);
    expect(mean).toBe(2_344_795 / 44_700);
    // Python's fractions.Fraction(n·Q - S², n(n - 1)).
    expect(variance).toBe(65_903.32189749401);
  });

  test("of equal values have variance 0, never a little below or above", () => {
    fc.assert(
      fc.property(outcomes, fc.integer({ min: 2, max: 50 }), (value, n) => {
        const { mean, variance } = exactMoments(Array.from({ length: n }, () => value));
        expect(variance).toBe(0);
        expect(mean).toBe(value + 0);
      }),
    );
  });

  test("agree with the definition, computed with the deviations themselves", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -10_000, max: 10_000 }), { minLength: 2, maxLength: 50 }), (units) => {
        // Deviations times n are whole: n·x - Σx; their squares over n²(n - 1) are the variance.
        const n = units.length;
        const total = units.reduce((sum, unit) => sum + unit, 0);
        const squares = units.reduce((sum, unit) => sum + (n * unit - total) ** 2, 0);
        const { mean, variance } = exactMoments(units.map((unit) => unit / 100));
        expect(close(mean, total / (100 * n))).toBe(true);
        expect(close(variance, squares / (n * n * (n - 1) * 10_000))).toBe(true);
      }),
    );
  });

  test("of any outcomes are finite, and the variance is not negative", () => {
    fc.assert(
      fc.property(fc.array(outcomes, { minLength: 2, maxLength: 30 }), (values) => {
        const { mean, variance } = exactMoments(values);
        expect(Number.isFinite(mean)).toBe(true);
        expect(Number.isFinite(variance) && (variance ?? -1) >= 0).toBe(true);
      }),
    );
  });

  test("of very small and very large totals stay numbers", () => {
    expect(exactMoments([5e-324, 5e-324, 0]).mean).toBeGreaterThanOrEqual(0);
    expect(exactMoments([1e-160, 3e-160]).variance).toBeCloseTo(0, 300);
    expect(exactMoments([1e-150, 3e-150]).variance).toBe(2e-300);
    expect(exactMoments([-1e15, 1e15]).variance).toBe(2e30);
  });

  test("refuses totals that no numbers can have", () => {
    expect(() => momentsOf(2, 10, 1)).toThrow(RangeError);
  });
});
