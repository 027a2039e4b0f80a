import type * as v from "valibot";
import { parseFieldPath } from "./field-path.ts";
import type { PolicyContext, PolicyVerdict } from "./policy.ts";
import type { RequireFieldsSchema } from "./schema.ts";

/** Own members only: what a prototype offers is nobody's configuration. */
const valueAt = (root: unknown, path: readonly string[]): unknown =>
  path.reduce<unknown>(
    (value, segment) =>
      typeof value === "object" && value !== null && Object.hasOwn(value, segment)
        ? Reflect.get(value, segment)
        : undefined,
    root,
  );

/** 0 and false say something; blank text, an empty list and an empty mapping do not. */
const isEmpty = (value: unknown): boolean => {
  if (value === undefined || value === null) return true;
  if (typeof value === "string") return value.trim() === "";
  return typeof value === "object" && Object.keys(value).length === 0;
};

/** Every path leads to something in the configuration that the change is about. */
export const judgeRequireFields = (
  policy: v.InferOutput<typeof RequireFieldsSchema>,
  context: PolicyContext,
): PolicyVerdict => {
  const lacking = policy.fields.filter((field) =>
    isEmpty(valueAt(context.configuration, parseFieldPath(field) ?? [""])),
  );
  const at = new Date(context.evidence.now).toISOString();
  const evidence = {
    missing: { source: "configuration", at, value: lacking.length === 0 ? null : lacking.join(", ") },
  };
  return lacking.length === 0
    ? { compliant: true, reason: `the configuration says ${policy.fields.join(", ")}`, evidence }
    : { compliant: false, reason: `the configuration does not say ${lacking.join(", ")}`, evidence };
};
