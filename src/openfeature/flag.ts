/** An experiment as a flag: which value of which type a variant is. */
import type { Assignment, AssignmentErrorCode } from "../evaluation/assign.ts";
import { isNumber, isObject } from "../evaluation/guards.ts";
import type { Attributes } from "../evaluation/targeting.ts";

export type FlagType = "boolean" | "string" | "number" | "object";

/** What is known besides the value; OpenFeature allows texts, numbers and booleans here. */
export const flagMetadata = ({
  version,
  digest,
  epoch,
  exposed,
  rulePath,
}: Assignment): Readonly<Record<string, string | number | boolean>> => ({
  version,
  digest,
  epoch,
  exposed,
  ...(rulePath !== undefined && { rulePath }),
});

/** A value of the type that was asked for; undefined for the application's own default. */
export type Resolved =
  | { readonly value?: unknown }
  | { readonly errorCode: AssignmentErrorCode | "TYPE_MISMATCH"; readonly errorMessage: string };

const fits: Readonly<Record<FlagType, (value: unknown) => boolean>> = {
  boolean: (value) => typeof value === "boolean",
  string: (value) => typeof value === "string",
  number: isNumber,
  object: (value) => isObject(value) || Array.isArray(value),
};

/**
 * The payload, where the variant has one: of another type than was asked for it is a `TYPE_MISMATCH`. Without a payload a
 * boolean flag is on for every variant but control, a text is the variant's key, and a number or an object is the default
 * of the application.
 */
export const resolveFlag = (assignment: Assignment, type: FlagType): Resolved => {
  const { errorCode, errorMessage = "", payload, variant, control } = assignment;
  if (errorCode !== undefined) return { errorCode, errorMessage };
  if (payload !== undefined) {
    if (fits[type](payload)) return { value: payload };
    return { errorCode: "TYPE_MISMATCH", errorMessage: `the payload of ${variant} is no ${type}` };
  }
  if (type === "boolean") return { value: !control };
  return type === "string" ? { value: variant } : {};
};

/** Targeting compares texts, numbers and booleans: times are compared as texts of ISO 8601. */
export const attributesOf = (context: Readonly<Record<string, unknown>>): Attributes =>
  Object.fromEntries(
    Object.entries(context).flatMap(([name, value]): [string, unknown][] => {
      if (name === "targetingKey") return [];
      return [
        [name, value instanceof Date ? (Number.isNaN(value.getTime()) ? undefined : value.toISOString()) : value],
      ];
    }),
  );
