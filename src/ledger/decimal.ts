/**
 * Exact decimal arithmetic. A sum of doubles depends on the order of its terms, and events arrive in any order, so
 * the ledger adds what the numbers say as decimals: 0.1 + 0.2 is 0.3 here, whatever came first.
 */

/** Value = units / 10^scale, in lowest terms. */
interface ScaledInteger {
  readonly units: bigint;
  readonly scale: number;
}

/**
 * A finite decimal number. A plain number whenever it is a safe integer, because nearly every outcome is one and
 * number arithmetic is then exact and many times faster than BigInt; a scaled integer otherwise. Each value has one
 * form only.
 */
export type Decimal = number | ScaledInteger;

/** Bounds of {@link parseDecimal}: an exponent is cheap to write and dear to expand. */
const maxTextCharacters = 4_096;
const maxExponent = 1_000;

const safeIntegerText = /^(?:0|-?[1-9]\d{0,14})$/;
const jsonNumber = /^(-?)(0|[1-9]\d*)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/;

const powerOfTen = (exponent: number): bigint => 10n ** BigInt(exponent);

const normalized = (units: bigint, scale: number): Decimal => {
  let lowest = units;
  let places = scale;
  while (places > 0 && lowest % 10n === 0n) {
    lowest /= 10n;
    places -= 1;
  }
  if (places > 0) return { units: lowest, scale: places };
  const value = Number(lowest);
  return Number.isSafeInteger(value) ? value : { units: lowest, scale: 0 };
};

const scaled = (value: Decimal): ScaledInteger =>
  typeof value === "number" ? { units: BigInt(value), scale: 0 } : value;

/**
 * Reads a number as JSON writes it.
 *
 * @throws RangeError when the text is not a JSON number, is longer than 4,096 characters or has an exponent beyond ±1,000
 * @example parseDecimal("12.50") // the same value as parseDecimal("1.25e1")
 */
export const parseDecimal = (text: string): Decimal => {
  if (safeIntegerText.test(text)) return Number(text);
  const parts = text.length <= maxTextCharacters ? jsonNumber.exec(text) : null;
  const exponent = Number(parts?.[4] ?? 0);
  if (parts === null || Math.abs(exponent) > maxExponent) {
    const shown = JSON.stringify(text.slice(0, 40)) + (text.length > 40 ? "…" : "");
    throw new RangeError(
      `decimal: ${shown} is not a JSON number of at most ${maxTextCharacters} characters and exponent ${maxExponent}`,
    );
  }
  const [, sign = "", whole = "", fraction = ""] = parts;
  const units = BigInt(`${whole}${fraction}`) * (sign === "-" ? -1n : 1n);
  const scale = fraction.length - exponent;
  return scale >= 0 ? normalized(units, scale) : normalized(units * powerOfTen(-scale), 0);
};

/**
 * The decimal that a number stands for in JSON: its shortest text, so 0.1 is one tenth and not the double nearest it.
 *
 * @throws RangeError for NaN and the infinities
 */
export const decimalOf = (value: number): Decimal => {
  // Adding 0 turns -0 into 0: a value has one form only.
  if (Number.isSafeInteger(value)) return value + 0;
  if (!Number.isFinite(value)) throw new RangeError(`decimal: ${value} is not a finite number`);
  return parseDecimal(String(value));
};

export const addDecimals = (a: Decimal, b: Decimal): Decimal => {
  if (typeof a === "number" && typeof b === "number") {
    const sum = a + b;
    if (Number.isSafeInteger(sum)) return sum;
  }
  const left = scaled(a);
  const right = scaled(b);
  const scale = Math.max(left.scale, right.scale);
  const units = left.units * powerOfTen(scale - left.scale) + right.units * powerOfTen(scale - right.scale);
  return normalized(units, scale);
};

const negated = (value: Decimal): Decimal =>
  typeof value === "number" ? 0 - value : { units: -value.units, scale: value.scale };

export const subtractDecimals = (a: Decimal, b: Decimal): Decimal => addDecimals(a, negated(b));

export const multiplyDecimals = (a: Decimal, b: Decimal): Decimal => {
  if (typeof a === "number" && typeof b === "number") {
    const product = a * b;
    if (Number.isSafeInteger(product)) return product + 0;
  }
  const left = scaled(a);
  const right = scaled(b);
  return normalized(left.units * right.units, left.scale + right.scale);
};

/** -1, 0 or 1. */
const compareDecimals = (a: Decimal, b: Decimal): number => {
  if (typeof a === "number" && typeof b === "number") return Math.sign(a - b);
  const difference = subtractDecimals(a, b);
  const units = typeof difference === "number" ? difference : difference.units;
  return units > 0 ? 1 : units < 0 ? -1 : 0;
};

/** The larger one; the second of two equal ones. */
export const maxDecimal = (a: Decimal, b: Decimal): Decimal => (compareDecimals(a, b) > 0 ? a : b);

/**
 * A decimal divided by a whole number above 0, rounded half away from 0 to so many places: one function of the exact
 * quotient, so the order in which its parts were added cannot show.
 */
export const quotientDecimal = (value: Decimal, divisor: number, places: number): Decimal => {
  const { units, scale } = scaled(value);
  const numerator = units * powerOfTen(Math.max(0, places - scale)) * 2n;
  const denominator = BigInt(divisor) * powerOfTen(Math.max(0, scale - places));
  const magnitude = (numerator < 0n ? -numerator : numerator) / denominator;
  const rounded = (magnitude + 1n) / 2n;
  return normalized(numerator < 0n ? -rounded : rounded, places);
};

export const squareDecimal = (value: Decimal): Decimal => multiplyDecimals(value, value);

/**
 * Canonical text: plain digits, no exponent, no needless zero. Two decimals are equal exactly when their texts are.
 *
 * @example decimalText(parseDecimal("-1.50e1")) // "-15"
 */
export const decimalText = (value: Decimal): string => {
  if (typeof value === "number") return String(value);
  const negative = value.units < 0n;
  const digits = (negative ? -value.units : value.units).toString().padStart(value.scale + 1, "0");
  const point = digits.length - value.scale;
  const plain = value.scale === 0 ? digits : `${digits.slice(0, point)}.${digits.slice(point)}`;
  return negative ? `-${plain}` : plain;
};

/** The nearest double. */
export const decimalNumber = (value: Decimal): number =>
  typeof value === "number" ? value : Number(decimalText(value));

const bitLength = (value: bigint): number => value.toString(16).length * 4;

/** Multiplying in two steps keeps 2^-shift from vanishing before it meets a large quotient. */
const timesTwoToMinus = (value: number, shift: number): number => {
  const half = Math.floor(shift / 2);
  return value * 2 ** -half * 2 ** -(shift - half);
};

/** The double nearest to a ratio of integers; the denominator is above 0. */
const ratio = (numerator: bigint, denominator: bigint): number => {
  const magnitude = numerator < 0n ? -numerator : numerator;
  // At least 66 bits of quotient, and a last bit that says "there was more": converting then rounds once, correctly.
  const shift = Math.max(0, 70 - (bitLength(magnitude) - bitLength(denominator)));
  const shifted = magnitude << BigInt(shift);
  const quotient = shifted / denominator;
  const sticky = quotient * denominator === shifted ? quotient : quotient | 1n;
  const value = timesTwoToMinus(Number(sticky), shift);
  return numerator < 0n ? 0 - value : value;
};

/** Mean, and variance with n - 1. null where there are too few subjects to have one. */
export interface Moments {
  readonly mean: number | null;
  readonly variance: number | null;
}

/**
 * Mean and variance from exact totals, each rounded once at the end. The textbook formula Σx² - (Σx)²/n is ruinous
 * in doubles (it gave -168 for a true 1.0) and exact in integers, so the variance is never negative.
 *
 * @param n subjects, those without a value included (they count as 0)
 * @throws RangeError when the totals cannot belong to n numbers (n·Σx² below (Σx)²)
 * @example momentsOf(3, parseDecimal("6"), parseDecimal("14")) // { mean: 2, variance: 1 }, of 1, 2 and 3
 */
export const momentsOf = (n: number, sum: Decimal, sumOfSquares: Decimal): Moments => {
  if (n === 0) return { mean: null, variance: null };
  const total = scaled(sum);
  const squares = scaled(sumOfSquares);
  const count = BigInt(n);
  const scale = Math.max(squares.scale, 2 * total.scale);
  const spread =
    count * squares.units * powerOfTen(scale - squares.scale) - total.units ** 2n * powerOfTen(scale - 2 * total.scale);
  if (spread < 0n) {
    throw new RangeError(
      `moments: no ${n} numbers have the sum ${decimalText(sum)} and the squares ${decimalText(sumOfSquares)}`,
    );
  }
  return {
    mean: ratio(total.units, count * powerOfTen(total.scale)),
    variance: n < 2 ? null : ratio(spread, count * (count - 1n) * powerOfTen(scale)),
  };
};

/** Covariance with n - 1 from exact totals, rounded once at the end; null below two subjects. */
export const covarianceOf = (n: number, sumX: Decimal, sumY: Decimal, sumOfProducts: Decimal): number | null => {
  if (n < 2) return null;
  const [x, y, product] = [scaled(sumX), scaled(sumY), scaled(sumOfProducts)];
  const scale = Math.max(product.scale, x.scale + y.scale);
  const count = BigInt(n);
  const spread =
    count * product.units * powerOfTen(scale - product.scale) -
    x.units * y.units * powerOfTen(scale - x.scale - y.scale);
  return ratio(spread, count * (count - 1n) * powerOfTen(scale));
};
