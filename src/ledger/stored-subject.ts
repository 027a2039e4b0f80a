/** A subject's totals and variants as the JSON text that a ledger stores. */
import { type Decimal, decimalText, parseDecimal } from "./decimal.ts";
import type { SubjectState, VariantSeen } from "./subject.ts";

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
      return { trusted: { variant, epoch, time, id } };
  }
  throw new TypeError("ledger: a stored trusted exposure is not [variant, epoch, time, event id]");
};
