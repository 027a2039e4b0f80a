/** Small type guards for what comes from outside; a schema library would weigh more than the whole evaluation. */
export type Check = (value: unknown) => boolean;

export const isText = (value: unknown): value is string => typeof value === "string";
export const isNumber = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value);
export const isBoolean = (value: unknown): value is boolean => typeof value === "boolean";
export const isList = (value: unknown): value is readonly unknown[] => Array.isArray(value);
export const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !isList(value);
/** A whole number from 0 to `maximum`. */
export const isCount = (value: unknown, maximum: number): value is number =>
  isNumber(value) && Number.isInteger(value) && value >= 0 && value <= maximum;

/** The beginning of a value's JSON, for messages. What is too deep to print, or is no JSON, is named by its type. */
export const excerpt = (value: unknown): string => {
  try {
    return (JSON.stringify(value) ?? String(value)).slice(0, 120);
  } catch {
    return typeof value;
  }
};
