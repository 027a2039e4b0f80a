/** A subject's totals, variants and dimensions as the JSON text that a ledger stores. */
import { type Decimal, decimalText, parseDecimal } from "./decimal.ts";
import type { MetricState, SubjectState, VariantSeen } from "./subject.ts";

const parse = (text: string, what: string): unknown => {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new TypeError(`ledger: stored ${what} are not JSON`, { cause });
  }
};

type StoredValue = number | string;

const encodeValue = (value: Decimal): StoredValue => (typeof value === "number" ? value : decimalText(value));

/** Numbers where they are safe integers, decimal text otherwise. */
const decodeValue = (value: unknown): Decimal => {
  if (typeof value === "number") return value;
  if (typeof value === "string") return parseDecimal(value);
  throw new TypeError("ledger: a stored total is no decimal");
};

/** The value alone, `[value, count]` of a mean, or `[value, time, id]` of a last one. */
const encodeState = ({ value, count, at }: MetricState): unknown =>
  at === undefined && count === undefined ? encodeValue(value) : [encodeValue(value), ...(at ?? [count])];

const decodeState = (stored: unknown): MetricState => {
  if (!Array.isArray(stored)) return { value: decodeValue(stored) };
  const members: readonly unknown[] = stored;
  const [value, second, id] = members;
  if (typeof second !== "number") throw new TypeError("ledger: a stored total is neither mean nor last value");
  return typeof id === "string"
    ? { value: decodeValue(value), at: [second, id] }
    : { value: decodeValue(value), count: second };
};

/** @param codeOf the short name under which a metric key is stored */
export const encodeTotals = (
  totals: ReadonlyMap<string, MetricState>,
  codeOf: (key: string) => number | string,
): string | null => {
  if (totals.size === 0) return null;
  let text = "";
  for (const [key, state] of totals)
    text += `${text === "" ? "{" : ","}${JSON.stringify(String(codeOf(key)))}:${JSON.stringify(encodeState(state))}`;
  return `${text}}`;
};

const noTotals: ReadonlyMap<string, MetricState> = new Map();

/** @throws TypeError for text that {@link encodeTotals} did not write */
export const decodeTotals = (
  text: string | null,
  keyOf: (code: string) => string,
): ReadonlyMap<string, MetricState> => {
  if (text === null) return noTotals;
  const stored = parse(text, "totals");
  if (typeof stored !== "object" || stored === null) throw new TypeError("ledger: stored totals are no object");
  return new Map(Object.entries(stored).map(([code, state]) => [keyOf(code), decodeState(state)]));
};

export const encodeVariants = (variants: readonly VariantSeen[] | null): string | null =>
  variants === null ? null : JSON.stringify(variants.map(({ variant, time, id }) => [variant, time, id]));

const decodeVariant = (entry: unknown): VariantSeen => {
  if (Array.isArray(entry)) {
    const members: readonly unknown[] = entry;
    const [variant, time, id] = members;
    if (typeof variant === "string" && typeof time === "number" && typeof id === "string") return { variant, time, id };
  }
  throw new TypeError("ledger: a stored variant is not [variant, time, event id]");
};

/** @throws TypeError for text that {@link encodeVariants} did not write */
export const decodeVariants = (text: string | null): readonly VariantSeen[] | null => {
  if (text === null) return null;
  const stored = parse(text, "variants");
  if (!Array.isArray(stored)) throw new TypeError("ledger: stored variants are no list");
  return stored.map(decodeVariant);
};

export const encodeDimensions = (dimensions: readonly string[]): string | null =>
  dimensions.length === 0 ? null : JSON.stringify(dimensions);

const noDimensions: readonly string[] = [];

const isText = (value: unknown): value is string => typeof value === "string";

/** @throws TypeError for text that {@link encodeDimensions} did not write */
export const decodeDimensions = (text: string | null): readonly string[] => {
  if (text === null) return noDimensions;
  const stored = parse(text, "dimensions");
  if (Array.isArray(stored) && stored.every(isText)) return stored;
  throw new TypeError("ledger: stored dimensions are no list of texts");
};

type Trusted = Pick<SubjectState, "trusted">;

/** null where it is the subject's first exposure, as it nearly always is; `[]` where there is none. */
export const encodeTrusted = ({ trusted }: Trusted): string | null => {
  if (trusted === undefined) return null;
  return JSON.stringify(trusted === null ? [] : [trusted.variant, trusted.epoch, trusted.time, trusted.id]);
};

/** @throws TypeError for text that {@link encodeTrusted} did not write */
export const decodeTrusted = (text: string | null): Trusted => {
  if (text === null) return {};
  const stored = parse(text, "trusted exposure");
  if (Array.isArray(stored)) {
    const members: readonly unknown[] = stored;
    if (members.length === 0) return { trusted: null };
    const [variant, epoch, time, id] = members;
    if (typeof variant === "string" && typeof epoch === "number" && typeof time === "number" && typeof id === "string")
      return { trusted: { variant, epoch, time, id, dimensions: noDimensions } };
  }
  throw new TypeError("ledger: a stored trusted exposure is not [variant, epoch, time, event id]");
};
