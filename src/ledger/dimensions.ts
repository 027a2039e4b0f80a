/** Declared dimensions of a subject: what its first exposure says of it, as one of a known number of values. */
import type { Dimension } from "../experiment.ts";

/** Values that are not declared, and subjects that have none, are shown under these; a declared value cannot be called so. */
export const otherValue = "(other)";
export const noValue = "(none)";

/** Attributes are whatever JSON holds: a number or a boolean is compared by its text. */
const textOf = (value: unknown): string | undefined =>
  typeof value === "string" || typeof value === "number" || typeof value === "boolean" ? String(value) : undefined;

/**
 * Reads the dimensions of an exposure from its attributes.
 *
 * @example dimensionReader([{ attribute: "country", values: ["US"] }])({ country: "CA" }) // ["country=(other)"]
 */
export const dimensionReader = (
  dimensions: readonly Dimension[],
): ((attributes: Readonly<Record<string, unknown>> | undefined) => readonly string[]) => {
  const known = dimensions.map(({ attribute, values }) => ({
    attribute,
    none: `${attribute}=${noValue}`,
    other: `${attribute}=${otherValue}`,
    names: new Map(values.map((value) => [value, `${attribute}=${value}`])),
  }));
  return (attributes = {}) =>
    known.map(({ attribute, none, other, names }) => {
      const text = Object.hasOwn(attributes, attribute) ? textOf(attributes[attribute]) : undefined;
      return text === undefined ? none : (names.get(text) ?? other);
    });
};
