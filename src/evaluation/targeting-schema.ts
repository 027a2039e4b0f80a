/** The targeting language as valibot schemas: what a configuration may say. `targeting.ts` compiles it. */
import * as v from "valibot";
import { limits } from "../limits.ts";
import { parseVersion } from "./version.ts";

const text = v.pipe(v.string(), v.maxLength(1_024, "at most 1024 characters"));
const scalar = v.union(
  [text, v.pipe(v.number(), v.finite("a finite number")), v.boolean()],
  "a text, a number, true or false",
);
const several = v.pipe(
  v.array(scalar),
  v.minLength(1, "at least one value"),
  v.maxLength(1_000, "at most 1000 values"),
);
const ordered = v.union([text, v.pipe(v.number(), v.finite("a finite number"))], "a text or a number");
const version = v.pipe(
  v.string(),
  v.maxLength(128, "at most 128 characters"),
  v.check((written) => parseVersion(written) !== undefined, "a version like 1.2.3 or 1.2.3-beta.1"),
);

/** Every operator of a clause, with the value it takes. */
const operators = {
  equals: v.optional(scalar),
  notEquals: v.optional(scalar),
  in: v.optional(several),
  notIn: v.optional(several),
  lessThan: v.optional(ordered),
  lessThanOrEqual: v.optional(ordered),
  greaterThan: v.optional(ordered),
  greaterThanOrEqual: v.optional(ordered),
  startsWith: v.optional(text),
  endsWith: v.optional(text),
  contains: v.optional(text),
  exists: v.optional(v.boolean()),
  versionEquals: v.optional(version),
  versionLessThan: v.optional(version),
  versionLessThanOrEqual: v.optional(version),
  versionGreaterThan: v.optional(version),
  versionGreaterThanOrEqual: v.optional(version),
};

export type Operator = keyof typeof operators;
const isOperator = (name: string): name is Operator => Object.hasOwn(operators, name);
export const operatorNames: readonly Operator[] = Object.keys(operators).filter(isOperator);

const ClauseSchema = v.pipe(
  v.strictObject({
    attribute: v.pipe(v.string(), v.minLength(1, "at least one character"), v.maxLength(256, "at most 256 characters")),
    ...operators,
  }),
  v.check(
    (clause) => operatorNames.filter((name) => clause[name] !== undefined).length === 1,
    `exactly one operator: ${operatorNames.join(", ")}`,
  ),
);

/** `{ attribute, <one operator>: value }` */
export type Clause = v.InferOutput<typeof ClauseSchema>;
export type Targeting =
  | { readonly all: readonly Targeting[] }
  | { readonly any: readonly Targeting[] }
  | { readonly not: Targeting }
  | Clause;
export type AttributeScalar = v.InferOutput<typeof scalar>;
export type AttributeValue = AttributeScalar | readonly AttributeScalar[];

const children = v.pipe(v.array(v.lazy(() => NodeSchema)), v.minLength(1, "at least one condition"));
const AllSchema = v.strictObject({ all: children });
const AnySchema = v.strictObject({ any: children });
const NotSchema = v.strictObject({ not: v.lazy(() => NodeSchema) });

const NodeSchema: v.GenericSchema<unknown, Targeting> = v.lazy((input): v.GenericSchema<unknown, Targeting> => {
  if (typeof input === "object" && input !== null) {
    if ("all" in input) return AllSchema;
    if ("any" in input) return AnySchema;
    if ("not" in input) return NotSchema;
  }
  return ClauseSchema;
});

const member = (node: object, name: string): unknown =>
  Object.hasOwn(node, name) ? Reflect.get(node, name) : undefined;

const childrenOf = (node: unknown): readonly unknown[] => {
  if (typeof node !== "object" || node === null) return [];
  const lists = [member(node, "all"), member(node, "any")].flatMap((list): readonly unknown[] =>
    Array.isArray(list) ? list : [],
  );
  return Object.hasOwn(node, "not") ? [...lists, member(node, "not")] : lists;
};

/** Walks without recursion, so a hostile depth costs a bounded amount and no stack. */
const isBounded = (root: unknown): boolean => {
  let level: readonly unknown[] = [root];
  let nodes = 0;
  for (let depth = 0; level.length > 0; depth += 1) {
    nodes += level.length;
    if (depth >= limits.targetingDepth || nodes > limits.targetingNodes) return false;
    level = level.flatMap(childrenOf);
  }
  return true;
};

/**
 * A condition on attributes: `all`, `any`, `not`, nested, or a clause `{ attribute, <operator>: value }`.
 *
 * @example { all: [{ attribute: "country", in: ["US", "CA"] }, { attribute: "plan", equals: "pro" }] }
 */
export const TargetingSchema: v.GenericSchema<unknown, Targeting> = v.pipe(
  v.unknown(),
  v.check(isBounded, `at most ${limits.targetingDepth} levels and ${limits.targetingNodes} conditions`),
  NodeSchema,
);
