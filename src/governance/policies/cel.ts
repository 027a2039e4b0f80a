/**
 * Conditions in the Common Expression Language, over the change and what is known about the world. Mappings are handed in
 * as Maps, so that no key of a configuration (`__proto__`, `constructor`) reaches an object's prototype.
 */
import { Environment, EvaluationError, ParseError, TypeError as CelTypeError } from "@marcbachmann/cel-js";
import { holdsSurfaces } from "../../lifecycle.ts";
import { listOf, meterOf, nodesOf } from "./cel-meter.ts";
import { type LedgerReading, type PolicyContext, PolicyFailure } from "./policy.ts";

/** Which evidence an expression looks at: what it does not mention is not read. */
export interface ExpressionUses {
  readonly telemetry: boolean;
  readonly running: boolean;
  /** It asks for `telemetry.available`, so missing telemetry is its own business. */
  readonly telemetryAvailable: boolean;
}

export interface Expression {
  readonly uses: ExpressionUses;
  /** @throws PolicyFailure when it cannot be judged, or yields something else than true or false */
  readonly holds: (context: PolicyContext) => boolean;
}

export type ParsedExpression =
  | { readonly ok: true; readonly expression: Expression }
  /** `problem` may quote the expression. `position`: of the character, from 1. */
  | { readonly ok: false; readonly problem: string; readonly position: number | null };

/** Regular expressions backtrack without a bound; `json` reads bytes on some runtimes only. */
const refused: ReadonlyMap<string, string> = new Map([
  ["matches", "matches() is not available, a regular expression can take for ever: startsWith, endsWith or contains"],
  ["json", "json() is not available"],
]);

let made: Environment | undefined;

/** Made when the first expression is parsed: a Worker without expressions does not pay for it at its start. */
const environment = (): Environment =>
  (made ??= new Environment({
    homogeneousAggregateLiterals: false,
    limits: { maxAstNodes: 500, maxDepth: 32, maxListElements: 200, maxMapEntries: 200, maxCallArguments: 8 },
  })
    .registerVariable({
      name: "experiment",
      schema: { name: "string", state: "string", servingSince: "dyn", configuration: "map" },
    })
    .registerVariable({
      name: "change",
      schema: {
        kind: "string",
        from: "string",
        to: "string",
        parameters: "map",
        servedTraffic: "double",
        trafficAfter: "double",
      },
    })
    .registerVariable({ name: "actor", schema: { kind: "string", roles: "list<string>" } })
    .registerVariable({
      name: "telemetry",
      schema: {
        available: "bool",
        at: "google.protobuf.Timestamp",
        exposed: "int",
        worstErrorRate: "double",
        worstVariant: "dyn",
        subjects: "map<string, int>",
        sampleRatio: "dyn",
      },
    })
    .registerVariable("running", "list<map<string, string>>")
    .registerVariable("now", "google.protobuf.Timestamp"));

const record = (members: Readonly<Record<string, unknown>>): ReadonlyMap<string, unknown> =>
  new Map(Object.entries(members).filter(([, value]) => value !== undefined));

const inMaps = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(inMaps);
  if (typeof value !== "object" || value === null) return value;
  return new Map(Object.entries(value).flatMap(([key, entry]) => (entry === undefined ? [] : [[key, inMaps(entry)]])));
};

const whole = (value: number | undefined): bigint | undefined => (value === undefined ? undefined : BigInt(value));

const telemetryOf = (reading: LedgerReading): ReadonlyMap<string, unknown> =>
  reading.status === "unavailable"
    ? record({ available: false })
    : record({
        available: true,
        at: new Date(reading.at),
        exposed: BigInt(reading.exposed),
        worstErrorRate: reading.worstErrorRate,
        worstVariant: reading.worstVariant,
        subjects: new Map(Object.entries(reading.subjects).map(([variant, count]) => [variant, BigInt(count)])),
        sampleRatio: reading.sampleRatio === null ? null : record({ ...reading.sampleRatio }),
      });

/** What an expression sees. Whole numbers of our own are ints; every number of a configuration is a double, as in JSON. */
const variablesOf = (context: PolicyContext, uses: ExpressionUses): Record<string, unknown> => {
  const { evidence, parameters } = context;
  return {
    experiment: record({
      name: context.experiment,
      state: context.from,
      servingSince: context.servingSince === null ? null : new Date(context.servingSince),
      configuration: inMaps(context.configuration),
    }),
    change: record({
      kind: context.kind,
      from: context.from,
      to: context.to,
      parameters: record({
        ...parameters,
        step: whole(parameters.step),
      }),
      servedTraffic: context.servedTraffic,
      trafficAfter: context.trafficAfter,
    }),
    actor: record({ kind: context.actor.kind, roles: [...context.actor.roles] }),
    telemetry: telemetryOf(evidence.telemetry),
    // There may be thousands of these, and few expressions look at them.
    running: (uses.running ? (evidence.others ?? []) : [])
      .filter(({ state }) => holdsSurfaces(state))
      .map(({ name, state }) => record({ name, state })),
    now: new Date(evidence.now),
  };
};

type Problem = Extract<ParsedExpression, { ok: false }>;

const problemOf = (cause: unknown): Problem =>
  cause instanceof ParseError || cause instanceof CelTypeError || cause instanceof EvaluationError
    ? { ok: false, problem: cause.summary, position: cause.range === undefined ? null : cause.range.start + 1 }
    : { ok: false, problem: "it cannot be parsed", position: null };

/** The library's codes are words of its own; its messages quote what they found. */
const kindOf = (cause: unknown): string => {
  if (cause instanceof EvaluationError || cause instanceof CelTypeError) return cause.code;
  return cause instanceof Error ? cause.name : typeof cause;
};

const refusedCall = (nodes: ReturnType<typeof nodesOf>): Problem | null => {
  for (const node of nodes) {
    const name: unknown = (node.op === "rcall" || node.op === "call") && listOf(node.args)[0];
    const problem = typeof name === "string" ? refused.get(name) : undefined;
    if (problem === undefined) continue;
    return { ok: false, problem, position: "start" in node && typeof node.start === "number" ? node.start + 1 : null };
  }
  return null;
};

const usesOf = (nodes: ReturnType<typeof nodesOf>): ExpressionUses => {
  const names = new Set(nodes.flatMap(({ op, args }) => (op === "id" ? [args] : [])));
  const telemetryAvailable = nodes.some(({ op, args }) => {
    if (op !== ".") return false;
    const [object, field] = listOf(args);
    return (
      field === "available" && nodes.some((node) => node === object && node.op === "id" && node.args === "telemetry")
    );
  });
  return { telemetry: names.has("telemetry"), running: names.has("running"), telemetryAvailable };
};

const parse = (text: string): ParsedExpression => {
  try {
    const parsed = environment().parse(text);
    const nodes = nodesOf(parsed.ast);
    const wrong = refusedCall(nodes);
    if (wrong !== null) return wrong;
    const meter = meterOf(parsed.ast);
    const checked = parsed.check();
    if (!checked.valid) return problemOf(checked.error);
    if (checked.type !== "bool" && checked.type !== "dyn")
      return {
        ok: false,
        problem: `it yields ${checked.type ?? "something"} instead of true or false`,
        position: null,
      };
    const uses = usesOf(nodes);
    const holds = (context: PolicyContext): boolean => {
      const answer: unknown = evaluate(() => meter.run((): unknown => parsed(variablesOf(context, uses))));
      if (typeof answer === "boolean") return answer;
      throw new PolicyFailure("the expression did not yield true or false");
    };
    return { ok: true, expression: { uses, holds } };
  } catch (cause) {
    return problemOf(cause);
  }
};

const evaluate = (run: () => unknown): unknown => {
  try {
    return run();
  } catch (cause) {
    throw cause instanceof PolicyFailure
      ? cause
      : new PolicyFailure(`the expression cannot be judged (${kindOf(cause)})`);
  }
};

/** Parsing takes far longer than judging, and a policy set holds few expressions. */
const remembered = new Map<string, ParsedExpression>();
const rememberedMost = 500;

/**
 * Understands an expression once; what it costs to judge is bounded from then on.
 *
 * @example parseExpression("telemetry.exposed >= 1000 && actor.kind == 'human'") // { ok: true, expression: { … } }
 */
export const parseExpression = (text: string): ParsedExpression => {
  const known = remembered.get(text);
  if (known !== undefined) return known;
  const parsed = parse(text);
  const [oldest] = remembered.keys();
  if (remembered.size >= rememberedMost && oldest !== undefined) remembered.delete(oldest);
  remembered.set(text, parsed);
  return parsed;
};
