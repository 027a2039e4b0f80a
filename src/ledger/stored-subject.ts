/** A subject's totals and variants as the JSON text that a ledger stores. */
import { type Decimal, decimalText, parseDecimal } from "./decimal.ts";
import type { VariantSeen } from "./subject.ts";

const parse = (text: string, what: string): unknown => {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new TypeError(`ledger: stored ${what} are not JSON`, { cause });
  }
};

/** Numbers where they are safe integers, decimal text otherwise; null for none. */
export const encodeTotals = (totals: ReadonlyMap<string, Decimal>): string | null => {
  if (totals.size === 0) return null;
  const members = [...totals].map(([key, total]) => [key, typeof total === "number" ? total : decimalText(total)]);
  return JSON.stringify(Object.fromEntries(members));
};

/** @throws TypeError for text that {@link encodeTotals} did not write */
export const decodeTotals = (text: string | null): ReadonlyMap<string, Decimal> => {
  const totals = new Map<string, Decimal>();
  if (text === null) return totals;
  const stored = parse(text, "totals");
  if (typeof stored !== "object" || stored === null) throw new TypeError("ledger: stored totals are no object");
  for (const [key, total] of Object.entries(stored)) {
    if (typeof total === "number") totals.set(key, total);
    else if (typeof total === "string") totals.set(key, parseDecimal(total));
    else throw new TypeError(`ledger: the stored total of ${key} is no decimal`);
  }
  return totals;
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
