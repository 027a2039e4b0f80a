/**
 * A bound on what judging one CEL expression may cost. The language always ends, but not soon: macros nest, and text and
 * lists double (`[s].map(a, a + a).map(b, b + b)…`). The library bounds an expression's text and not its work, so every
 * node of the parsed expression is made to pay before it is evaluated and for what it returns.
 */
import { limits } from "../../limits.ts";
import { PolicyFailure } from "./policy.ts";

type Evaluate = (...given: readonly unknown[]) => unknown;

/** A node of the library's tree, as far as its declared and its actual shape agree. */
interface Node {
  readonly op: string;
  readonly args: unknown;
  evaluate: Evaluate;
}

/** What a node's value is to the node above it; it decides what it may cost there. */
type Role = "plain" | "compared" | "iterated" | "text" | "needle" | "parsed";

export interface Meter {
  /** Runs an evaluation with a full purse, and throws {@link PolicyFailure} when it was not enough, whatever was caught inside. */
  run<T>(evaluate: () => T): T;
}

const charactersPerStep = 16;
/** Of text that a function searches; what it searches for is at most {@link needleCharacters}. Searching may take their product. */
const textCharacters = 16_384;
const needleCharacters = 256;
/** Durations and times are parsed by patterns that backtrack. */
const parsedCharacters = 64;
/** A date function with a time zone makes a formatter each time. */
const timeZoneSteps = 2_000;

const isObject = (value: unknown): value is object => typeof value === "object" && value !== null;

const isNode = (value: object): value is Node =>
  "op" in value && typeof value.op === "string" && "evaluate" in value && typeof value.evaluate === "function";

/** Every node that evaluating the root can reach, by way of arguments, macros and what they expand to. */
export const nodesOf = (root: unknown): readonly Node[] => {
  const seen = new Set<object>();
  const nodes: Node[] = [];
  const visit = (value: unknown): void => {
    if (!isObject(value) || seen.has(value)) return;
    seen.add(value);
    if (!isNode(value)) return Object.values(value).forEach(visit);
    nodes.push(value);
    if (value.op !== "value") visit(value.args);
    if ("meta" in value) visit(value.meta);
  };
  visit(root);
  return nodes;
};

const memberOf = (value: unknown, key: string): unknown => {
  const found: unknown = isObject(value) ? Reflect.get(value, key) : undefined;
  return found;
};

/** The items of a list as what they are: unknown. */
export const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

const rolesOf = (nodes: readonly Node[]): ReadonlyMap<unknown, Role> => {
  const roles = new Map<unknown, Role>();
  const give = (role: Role, children: unknown): void => {
    for (const child of listOf(children)) roles.set(child, role);
  };
  for (const { op, args } of nodes) {
    if (op === "==" || op === "!=" || op === "in") give("compared", args);
    if (op === "comprehension") roles.set(memberOf(args, "iterable"), "iterated");
    const [name, first, second] = listOf(args);
    if (op === "call") give(name === "duration" || name === "timestamp" ? "parsed" : "text", first);
    if (op === "rcall") {
      roles.set(first, "text");
      give("needle", second);
    }
  }
  return roles;
};

const isTimeZoned = ({ op, args }: Node): boolean => {
  const [name, , given] = listOf(args);
  return op === "rcall" && typeof name === "string" && name.startsWith("get") && listOf(given).length > 0;
};

const longest: Readonly<Partial<Record<Role, number>>> = {
  text: textCharacters,
  needle: needleCharacters,
  parsed: parsedCharacters,
};

/**
 * Makes every node of a parsed expression count. The tree must have been parsed and not yet checked; evaluating it outside
 * of `run` throws.
 */
export const meterOf = (root: unknown, steps: number = limits.expressionSteps): Meter => {
  let left = 0;
  const exhausted = new PolicyFailure("the expression costs too much to judge");

  const pay = (cost: number): void => {
    left -= cost;
    if (left < 0) throw exhausted;
  };
  const payForAll = (value: unknown): void => {
    pay(1);
    if (typeof value === "string") pay(Math.ceil(value.length / charactersPerStep));
    else if (value instanceof Map) value.forEach((entry, key) => [key, entry].forEach(payForAll));
    else if (isObject(value) && !(value instanceof Date)) Object.values(value).forEach(payForAll);
  };
  const payFor = (value: unknown, role: Role): void => {
    if (typeof value === "string") {
      const most = longest[role] ?? Infinity;
      pay(value.length > most ? Infinity : Math.ceil(value.length / charactersPerStep));
    } else if (Array.isArray(value)) pay(value.length);
    else if (role === "iterated" && value instanceof Map) pay(value.size);
    if (role === "compared") payForAll(value);
  };

  const nodes = nodesOf(root);
  const roles = rolesOf(nodes);
  for (const node of nodes) {
    const role = roles.get(node) ?? "plain";
    const price = isTimeZoned(node) ? timeZoneSteps : 1;
    let inner = node.evaluate;
    const metered: Evaluate = (...given) => {
      pay(price);
      const value: unknown = Reflect.apply(inner, node, given);
      payFor(value, role);
      return value;
    };
    // The library puts a faster function in the place of the first one when a node is first evaluated.
    Object.defineProperty(node, "evaluate", {
      get: () => metered,
      set: (faster: Evaluate) => {
        inner = faster;
      },
    });
  }

  return {
    run(evaluate) {
      left = steps;
      try {
        const value = evaluate();
        // `||`, `exists` and `all` forgive errors, so this one is looked for again.
        if (left < 0) throw exhausted;
        return value;
      } catch (cause) {
        throw left < 0 ? exhausted : cause;
      } finally {
        left = -1;
      }
    },
  };
};
