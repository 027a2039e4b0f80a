import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { meterOf } from "../../../src/governance/policies/cel-meter.ts";
import { parseExpression } from "../../../src/governance/policies/cel.ts";
import { needsOf } from "../../../src/governance/policies/judge.ts";
import type { PolicyContext } from "../../../src/governance/policies/policy.ts";
import { limits } from "../../../src/limits.ts";
import { available, context, hour, judge, policy, unavailable } from "./context.ts";

const expression = (text: string, given?: PolicyContext) => judge({ type: "expression", expression: text }, given);
const configured = (members: object): PolicyContext =>
  context({ configuration: { ...context().configuration, ...members } });

describe("what an expression sees", () => {
  const serving = context({
    from: "Ramping",
    kind: "rampStep",
    parameters: { step: 2 },
    servedTraffic: 5,
    trafficAfter: 25,
    servingSince: context().evidence.now - hour,
    telemetry: { ...available, sampleRatio: { mismatch: false, pValue: 0.4 } },
    others: [
      { name: "search", state: "Running" },
      { name: "waiting", state: "Approved" },
    ],
  });

  test.each([
    'experiment.name == "checkout" && experiment.state == "Ramping"',
    "experiment.configuration.traffic == 40",
    "experiment.configuration.traffic * 2.0 <= 80.0",
    'experiment.configuration.variants.exists(v, v.key == "control" && v.control)',
    "!has(experiment.configuration.owner)",
    'now - experiment.servingSince >= duration("1h")',
    'change.kind == "rampStep" && change.from == "Ramping" && change.to == "Running"',
    "change.parameters.step == 2 && !has(change.parameters.outcome)",
    "change.trafficAfter > change.servedTraffic",
    'actor.kind == "human" && "operator" in actor.roles',
    "telemetry.available && telemetry.exposed >= 1000 && telemetry.worstErrorRate < 0.021",
    'telemetry.worstVariant == "treatment" && telemetry.subjects["control"] == 500',
    "telemetry.subjects.all(variant, telemetry.subjects[variant] >= 500)",
    "!telemetry.sampleRatio.mismatch && telemetry.sampleRatio.pValue > 0.1",
    'telemetry.at < timestamp("2100-01-01T00:00:00Z")',
    'size(running) == 1 && running[0].name == "search" && running[0].state == "Running"',
    'running.all(other, other.name != experiment.name) && now.getHours("UTC") >= 0',
    'cel.bind(names, running.map(r, r.name), names == ["search"])',
  ])("%s", (text) => {
    expect(expression(text, serving)).toMatchObject({ compliant: true, reason: "the expression holds" });
    expect(expression(`!(${text})`, serving)).toMatchObject({ compliant: false, severity: "Critical" });
  });

  test("absent is null where it was looked for, and no key where it was not", () => {
    expect(expression("experiment.servingSince == null")).toMatchObject({ compliant: true });
    expect(expression("telemetry.sampleRatio == null")).toMatchObject({ compliant: true });
  });

  test("the message of the policy is the reason, the severity stays", () => {
    const result = judge({ type: "expression", expression: "false", message: "not today", severity: "Warning" });
    expect(result).toMatchObject({ compliant: false, reason: "not today", severity: "Warning" });
  });

  test("records the figures it looked at", () => {
    expect(expression("telemetry.exposed > 1").evidence).toMatchObject({
      exposed: { source: "ledger", at: available.at, value: 1_000 },
    });
    expect(expression("change.trafficAfter > 1.0").evidence).toEqual({});
  });
});

describe("an expression that cannot be judged is a Critical violation, and quotes nothing", () => {
  const hidden = configured({ description: "hidden-words" });

  test.each([
    ["experiment.configuration.nothing == 1", "no_such_key"],
    ["experiment.configuration[experiment.configuration.description] == 1", "no_such_key"],
    ["experiment.configuration.description > 1", "no_such_overload"],
    ["int(experiment.configuration.description) > 1", "int_conversion_error"],
    ["now.getHours(experiment.configuration.description) > 1", "RangeError"],
    ["experiment.configuration.description", "did not yield true or false"],
    ["1 / int(size(running)) > 0", "ivi"],
  ])("%s", (text, kind) => {
    const result = judge({ type: "expression", expression: text, severity: "Warning" }, hidden);
    expect(result).toMatchObject({ compliant: false, severity: "Critical", evidence: {} });
    expect(result.reason).toContain(kind);
    expect(JSON.stringify(result)).not.toContain("hidden-words");
  });

  test("also one that never was an expression", () => {
    expect(expression("1 +")).toMatchObject({
      compliant: false,
      reason: "the policy failed: the expression cannot be understood",
    });
  });
});

describe("parsing", () => {
  test.each([
    ["1 +", "Unexpected token", 4],
    ["experiment.nme == 'a'", "No such key: nme", 12],
    ["telemetry.exposd > 1", "No such key: exposd", 11],
    ["process.env == 1", "Unknown variable: process", 1],
    ["actor.kind > 1", "no such overload", 1],
    ["1 + 1", "it yields int instead of true or false", null],
    ["actor.kind.matches('(a+)+$')", "matches() is not available", null],
    ["running.all(r, r.name.matches('a'))", "matches() is not available", null],
    ["has(actor)", "has()", null],
    [`${"(".repeat(100)}true${")".repeat(100)}`, "maxDepth", null],
    [Array.from({ length: 400 }, () => "true").join("&&"), "maxAstNodes", null],
  ])("refuses %s", (text, problem, position) => {
    const parsed = parseExpression(text);
    expect(parsed).toMatchObject({ ok: false });
    const said = parsed.ok ? { problem: "", position: null } : parsed;
    expect(said.problem).toContain(problem);
    expect(position === null ? null : said.position).toBe(position);
  });

  test("once for each text", () => {
    expect(parseExpression("1 < 2")).toBe(parseExpression("1 < 2"));
    for (let index = 0; index < 600; index += 1) parseExpression(`${index} < 1`);
    expect(parseExpression("1 < 2")).toMatchObject({ ok: true });
  });

  test("any text is an expression or a problem in words, and never throws", () => {
    const words = fc.constantFrom(
      ..."experiment . ( ) [ ] telemetry && || ! == + 1 'a' exists all map r , has running ? : - in __proto__ constructor".split(
        " ",
      ),
    );
    const texts = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.array(words, { maxLength: 12 }).map((list) => list.join(" ")),
    );
    fc.assert(
      fc.property(texts, (text) => {
        const parsed = parseExpression(text);
        expect(parsed.ok ? expression(text).reason : parsed.problem).not.toBe("");
      }),
    );
  });

  test("knows what an expression looks at", () => {
    const needs = (text: string) => needsOf(policy({ type: "expression", expression: text }));
    expect(needs("actor.kind == 'human'")).toEqual({ telemetry: false, others: false });
    expect(needs("running.exists(r, telemetry.exposed > 1)")).toEqual({ telemetry: true, others: true });
    expect(needs("has(telemetry.worstVariant) ? true : size(running) == 0")).toEqual({ telemetry: true, others: true });
    expect(needs("experiment.configuration.labels['telemetry'] == 'running'")).toEqual({
      telemetry: false,
      others: false,
    });
    expect(needs("not an expression")).toEqual({ telemetry: false, others: false });
  });
});

describe("without the evidence that it mentions", () => {
  const text = "telemetry.exposed >= 1000";
  test.each([
    [undefined, 0, "Critical", null],
    [undefined, 40, "Critical", true],
    [undefined, 0, "Error", true],
    ["allow", 0, "Critical", true],
    ["hold", 40, "Warning", null],
    ["deny", 40, "Critical", false],
  ] as const)("onMissing %s, served %s, %s: %s", (onMissing, servedTraffic, severity, compliant) => {
    const chosen = onMissing === undefined ? {} : { onMissing };
    const result = judge(
      { type: "expression", expression: text, severity, ...chosen },
      context({ telemetry: unavailable, servedTraffic }),
    );
    expect(result).toMatchObject({ compliant, severity });
    expect(result.reason).toContain(`no answer); onMissing: ${onMissing ?? (compliant === null ? "hold" : "allow")}`);
  });

  test("one that asks for telemetry.available decides for itself", () => {
    const given = context({ telemetry: unavailable });
    expect(expression("!telemetry.available || telemetry.exposed > 1", given)).toMatchObject({ compliant: true });
    expect(expression("telemetry.available && telemetry.exposed > 1", given)).toMatchObject({ compliant: false });
    expect(expression("telemetry.available ? true : telemetry.exposed > 1", given)).toMatchObject({
      compliant: false,
      severity: "Critical",
      reason: "the policy failed: the expression cannot be judged (no_such_key)",
    });
  });

  test("which experiments run is evidence as well", () => {
    expect(expression("size(running) == 0", context({ others: null }))).toMatchObject({ compliant: null });
    expect(expression("true", context({ others: null, telemetry: unavailable }))).toMatchObject({ compliant: true });
  });
});

describe("hostile configurations", () => {
  const hostile = configured({
    labels: Object.fromEntries([
      ["__proto__", "own"],
      ["constructor", "own"],
      ["a.b", "own"],
      ["'); true || ('", "own"],
    ]),
  });
  test.each([
    'experiment.configuration.labels["__proto__"] == "own"',
    'experiment.configuration.labels.constructor == "own"',
    'experiment.configuration.labels["a.b"] == "own"',
    "size(experiment.configuration.labels) == 4",
    'experiment.configuration.labels.all(key, experiment.configuration.labels[key] == "own")',
  ])("%s", (text) => {
    expect(expression(text, hostile)).toMatchObject({ compliant: true });
  });
  test.each([
    "experiment.configuration.constructor == null",
    'experiment.configuration["__proto__"] == null',
    "experiment.configuration.toString == null",
    'running["length"] == 0',
    'dyn(actor).roles["constructor"] == null',
    'dyn(now)["constructor"] == null',
    'dyn("a").length == 1',
  ])("reaches no prototype: %s", (text) => {
    expect(expression(text, hostile)).toMatchObject({ compliant: false, severity: "Critical" });
  });
});

describe("what it may cost is bounded", () => {
  const many = context({
    others: Array.from({ length: 1_000 }, (_, index) => ({ name: `experiment-${index}`, state: "Running" as const })),
    configuration: { ...context().configuration, description: "a".repeat(10_000) },
  });
  const nested = (depth: number, macro: string): string =>
    depth === 0 ? "true" : `running.${macro}(r${depth}, ${nested(depth - 1, macro)})`;
  const doubling = `[experiment.configuration.description]${Array.from({ length: 20 }, () => ".map(a, a + a)").join("")}.size() > 0`;
  const description = "experiment.configuration.description";

  test.each([
    nested(3, "all"),
    `${nested(5, "exists_one")} || true`,
    `true || ${nested(5, "all")} ? ${nested(4, "all")} : true`,
    "running.exists(a, running.exists(b, running.exists(c, false))) || true",
    doubling,
    `cel.bind(a, [1, 2, 3, 4], ${"cel.bind(a, a + a, ".repeat(12)} cel.bind(a, a + a + a + a + a + a + a + a, size(a + a + a + a) > 0)${")".repeat(13)}`,
    "running.all(a, running == running)",
    "running.all(a, a in running.map(b, b))",
    "running.all(a, running.all(b, experiment.configuration == experiment.configuration))",
    `running.all(a, !${description}.contains(${description} + "b"))`,
    `running.all(a, now.getHours("Europe/Paris") >= 0)`,
    `duration(${description}) > duration("1s")`,
    `[${description}].map(a, a.split("").map(b, a).join("")).size() > 0`,
  ])("%s", (text) => {
    const result = expression(text, many);
    expect(result).toMatchObject({ compliant: false, severity: "Critical" });
    expect(result.reason).toBe("the policy failed: the expression costs too much to judge");
  });

  test("and leaves room for honest ones, again and again", () => {
    for (let index = 0; index < 3; index += 1) {
      expect(expression('running.all(a, a.name != "x" && a.state == "Running")', many)).toMatchObject({
        compliant: true,
      });
      expect(expression(`!${description}.contains("needle")`, many)).toMatchObject({ compliant: true });
    }
  });

  test("every operation is counted: the library has no way round the meter", () => {
    const texts = [
      "1 + 1 == 2",
      "[1, 2].all(a, a > 0)",
      "has(actor.kind)",
      "cel.bind(a, 1, a == 1)",
      "true ? true : false",
    ];
    for (const text of texts) expect(parseExpression(text)).toMatchObject({ ok: true });
    // A tree that the meter has closed cannot be evaluated outside of it.
    const closed = { op: "value", args: true, evaluate: () => true };
    meterOf(closed);
    expect(() => closed.evaluate()).toThrow("costs too much");
    expect(limits.expressionSteps).toBe(200_000);
  });
});
