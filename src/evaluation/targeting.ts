/**
 * Compiles a targeting condition to one closure, once, so that deciding is a walk over functions without looking at
 * the condition again.
 *
 * What the operators mean:
 * - An attribute is *missing* when it is not an own property, or is undefined or null. For a missing attribute every
 *   operator is false but `exists: false`, `notEquals` and `notIn`.
 * - Nothing is converted: the number 1 is not the text "1", and a comparison between kinds is false.
 * - Texts compare by UTF-16 code units, case counts; ISO 8601 times of one zone so compare by time.
 * - `contains` finds a part in a text, or an element in a list. Other operators do not match a list.
 * - A text that is no version makes every version operator false.
 */
import { targetingDepth } from "./bounds.ts";
import { excerpt, isBoolean, isList, isNumber, isObject, isText } from "./guards.ts";
import type { AttributeScalar, Operator, Targeting } from "./targeting-schema.ts";
import { compareVersions, parseVersion, type Version } from "./version.ts";

/** What is known of a subject when it is decided about. Only own properties are looked at. */
export type Attributes = Readonly<Record<string, unknown>>;
export type Predicate = (attributes: Attributes) => boolean;

/** Tests an attribute's value; undefined stands for a missing one. */
type Test = (value: unknown) => boolean;
/** Makes the test for an operand; undefined when the operator does not take such an operand. */
type Compile = (operand: unknown) => Test | undefined;
type Order = (order: number) => boolean;

const isScalar = (value: unknown): value is AttributeScalar => isText(value) || isNumber(value) || isBoolean(value);
const isScalars = (value: unknown): value is readonly AttributeScalar[] =>
  isList(value) && value.length > 0 && value.every(isScalar);

const define =
  <T>(isOperand: (operand: unknown) => operand is T, test: (operand: T) => Test): Compile =>
  (operand) =>
    isOperand(operand) ? test(operand) : undefined;

const onText = (holds: (value: string, operand: string) => boolean): Compile =>
  define(isText, (operand) => (value) => isText(value) && holds(value, operand));

const ordered =
  (holds: Order): Compile =>
  (operand) => {
    if (isText(operand)) return (value) => isText(value) && holds(value < operand ? -1 : value > operand ? 1 : 0);
    // NaN is neither below nor above anything: the difference, NaN again, fails every comparison.
    return isNumber(operand)
      ? (value) => typeof value === "number" && holds(value < operand ? -1 : value > operand ? 1 : value - operand)
      : undefined;
  };

const versioned =
  (holds: Order): Compile =>
  (operand) => {
    const bound: Version | undefined = isText(operand) ? parseVersion(operand) : undefined;
    if (bound === undefined) return undefined;
    return (value) => {
      const version = isText(value) ? parseVersion(value) : undefined;
      return version !== undefined && holds(compareVersions(version, bound));
    };
  };

const less: Order = (order) => order < 0;
const lessOrEqual: Order = (order) => order <= 0;
const greater: Order = (order) => order > 0;
const greaterOrEqual: Order = (order) => order >= 0;

/** Every operator: the operands it takes and what it tests. */
const operators: Readonly<Record<Operator, Compile>> = {
  equals: define(isScalar, (operand) => (value) => value === operand),
  notEquals: define(isScalar, (operand) => (value) => value !== operand),
  in: define(isScalars, (operand) => {
    const set = new Set<unknown>(operand);
    return (value) => set.has(value);
  }),
  notIn: define(isScalars, (operand) => {
    const set = new Set<unknown>(operand);
    return (value) => !set.has(value);
  }),
  lessThan: ordered(less),
  lessThanOrEqual: ordered(lessOrEqual),
  greaterThan: ordered(greater),
  greaterThanOrEqual: ordered(greaterOrEqual),
  startsWith: onText((value, operand) => value.startsWith(operand)),
  endsWith: onText((value, operand) => value.endsWith(operand)),
  contains: define(
    isText,
    (operand) => (value) => (isText(value) ? value.includes(operand) : isList(value) && value.includes(operand)),
  ),
  exists: define(isBoolean, (operand) => (value) => (value !== undefined) === operand),
  versionEquals: versioned((order) => order === 0),
  versionLessThan: versioned(less),
  versionLessThanOrEqual: versioned(lessOrEqual),
  versionGreaterThan: versioned(greater),
  versionGreaterThanOrEqual: versioned(greaterOrEqual),
};
const isOperator = (name: string): name is Operator => Object.hasOwn(operators, name);

const compileClause = (attribute: string, test: Test): Predicate => {
  return (attributes) => {
    const value = Object.hasOwn(attributes, attribute) ? attributes[attribute] : undefined;
    return test(value === null ? undefined : value);
  };
};

const isCompiled = (child: Predicate | undefined): child is Predicate => child !== undefined;

/** Depth is bounded, so that no rule set can exhaust the stack, here or where a subject is decided about. */
const compileNode = (node: unknown, depth: number): Predicate | undefined => {
  if (depth === 0 || !isObject(node)) return undefined;
  const { attribute, ...rest } = node;
  const [entry, another] = Object.entries(rest);
  if (entry === undefined || another !== undefined) return undefined;
  const [name, operand] = entry;
  if (attribute !== undefined) {
    const test = isOperator(name) ? operators[name](operand) : undefined;
    return isText(attribute) && test ? compileClause(attribute, test) : undefined;
  }
  if (name === "not") {
    const child = compileNode(operand, depth - 1);
    return child && ((attributes) => !child(attributes));
  }
  if ((name !== "all" && name !== "any") || !isList(operand) || operand.length === 0) return undefined;
  const children = operand.map((child) => compileNode(child, depth - 1));
  if (!children.every(isCompiled)) return undefined;
  return name === "all"
    ? (attributes) => children.every((child) => child(attributes))
    : (attributes) => children.some((child) => child(attributes));
};

/** What a condition may be, for messages. */
export const targetingForms = `expected all, any, not, or an attribute with one known operator, at most ${targetingDepth} deep`;

/** Compiles what may be a condition; undefined when it is none that this version knows. */
export const tryCompileTargeting = (node: unknown): Predicate | undefined => compileNode(node, targetingDepth);

/**
 * @throws TypeError for what is no condition
 * @example compileTargeting({ attribute: "country", in: ["US", "CA"] })({ country: "US" }) // true
 */
export const compileTargeting = (targeting: Targeting): Predicate => {
  const predicate = tryCompileTargeting(targeting);
  if (predicate === undefined) throw new TypeError(`targeting: found ${excerpt(targeting)}; ${targetingForms}`);
  return predicate;
};
