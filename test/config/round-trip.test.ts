import { isDeepStrictEqual } from "node:util";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parse, stringify } from "yaml";
import { defineDsl, type DslInput, formatErrors, loadDsl } from "../../src/config/index.ts";
import { dslInputs, escaped } from "./arbitrary.ts";

const printers: Readonly<Record<string, (value: unknown) => string>> = {
  "YAML in blocks": (value) => stringify(value),
  "YAML in one flow": (value) => stringify(value, { collectionStyle: "flow" }),
  "YAML in double quotes": (value) => stringify(value, { defaultStringType: "QUOTE_DOUBLE", defaultKeyType: "PLAIN" }),
  "YAML in literal blocks": (value) => stringify(value, { blockQuote: "literal", lineWidth: 0 }),
  JSON: (value) => JSON.stringify(value),
  "JSON with tabs": (value) => JSON.stringify(value, null, "\t"),
};

/** The printer has slips of its own: it loses the blanks of " \n" in a literal block, and stumbles over a key "?". */
const isFaithful = (text: string, value: unknown): boolean => {
  try {
    return isDeepStrictEqual(parse(text, { stringKeys: true }), value);
  } catch {
    return false;
  }
};

const defined = (input: DslInput): unknown => {
  const result = defineDsl(input);
  if (!result.ok) throw new Error(formatErrors(result.errors));
  return result.value;
};

describe("a valid configuration", () => {
  test.each(Object.keys(printers))("printed as %s loads to the same value as from code", (style) => {
    const print = printers[style];
    if (print === undefined) throw new TypeError(style);
    fc.assert(
      fc.property(dslInputs, fc.boolean(), (input, wrapped) => {
        const source = escaped(input);
        const text = print(wrapped ? { experimentFramework: source } : source);
        fc.pre(isFaithful(text, wrapped ? { experimentFramework: source } : source));
        const result = loadDsl(text, { file: "dsl" });
        if (!result.ok) throw new Error(`${formatErrors(result.errors, { source: text })}\n${text}`);
        expect(result.value).toEqual(defined(input));
      }),
      { numRuns: 60 },
    );
  });

  test("loads to itself once its defaults are written out", () => {
    fc.assert(
      fc.property(dslInputs, (input) => {
        const value = defined(input);
        const again = loadDsl(JSON.stringify(escaped(value)), { file: "dsl" });
        expect(again.ok && again.value).toEqual(value);
      }),
    );
  });

  test("{} takes every default, and so does each empty section", () => {
    const empty = loadDsl("{}", { file: "dsl" });
    const sections = loadDsl("governance: {}\ndataPlane: { batching: {}, sampling: {}, ledger: {} }\nexperiments: []", {
      file: "dsl",
    });
    expect(empty).toEqual({
      ok: true,
      warnings: [],
      value: {
        governance: {
          persistence: { type: "d1", database: "DB" },
          approvalGates: [],
          policies: [],
          guardrailInterval: "60s",
          enableAutoVersioning: false,
          optimisticConcurrency: true,
          retainHistory: true,
          auth: { type: "development", secret: "PROVISO_TOKENS" },
          notices: [],
          audit: [],
          telemetry: { metrics: "off" },
          rules: {},
          rateLimits: { governance: { perMinute: 600, burst: 200 }, failures: { perMinute: 60, burst: 100 } },
          history: {},
          requireIfMatch: false,
          requireIdempotencyKey: false,
        },
        dataPlane: {
          batching: { maxEvents: 100, maxBytes: 65_536, interval: "1s" },
          sampling: { rate: 1 },
          events: { exposures: true, outcomes: true, assignments: true, errors: true, signals: true },
          ledger: { shards: 1 },
          sinks: [],
        },
        experiments: [],
      },
    });
    expect(sections).toEqual(empty);
  });

  test.each([
    ["memory", "memory"],
    ["InMemory", "memory"],
    ["INMEMORY", "memory"],
    ["D1", "d1"],
    ["Sql", "d1"],
  ])("persistence type %s is %s", (written, type) => {
    const result = loadDsl(`governance: { persistence: { type: ${written} } }`, { file: "dsl" });
    expect(result.ok && result.value.governance.persistence).toEqual(
      type === "d1" ? { type, database: "DB" } : { type },
    );
  });

  test("state names and days come out in their one spelling", () => {
    const text = `governance:
  approvalGates: [{ type: manual, from: PENDINGAPPROVAL, to: approved }]
  policies: [{ type: timeWindow, allowedStartTime: 09:00, allowedEndTime: 17:00, days: [MONDAY], to: [running] }]`;
    const result = loadDsl(text, { file: "dsl" });
    expect(result.ok && result.value.governance).toMatchObject({
      approvalGates: [
        { from: "PendingApproval", to: "Approved", fourEyes: true, roles: ["approver"], actorKinds: ["human"] },
      ],
      policies: [{ days: ["monday"], to: ["Running"], timeZone: "UTC", severity: "Critical" }],
    });
  });

  test("aliases stand for copies", () => {
    const text = `experiments:
  - { name: a, variants: &arms [{ key: x, control: true }, { key: y }] }
  - { name: b, variants: *arms }`;
    const result = loadDsl(text, { file: "dsl" });
    if (!result.ok) throw new Error(formatErrors(result.errors));
    const [first, second] = result.value.experiments;
    expect(second?.variants).toEqual(first?.variants);
    expect(second?.variants).not.toBe(first?.variants);
  });

  test("two gates of one change are allowed, and a wider automatic one too", () => {
    const text = `governance:
  approvalGates:
    - { type: automatic, to: Running }
    - { type: manual, from: Approved, to: Running }
    - { type: quorum, from: Approved, to: Running, count: 2 }`;
    expect(loadDsl(text, { file: "dsl" })).toMatchObject({ ok: true, warnings: [] });
  });
});

const loadTraffic = (traffic: string, environment: Record<string, string | undefined>) =>
  loadDsl(
    `experiments:
  - name: a
    variants: [{ key: x, control: true }, { key: y }]
    traffic: ${traffic}`,
    { file: "dsl", environment },
  );

describe("values of the environment", () => {
  test("an unquoted whole reference becomes a number", () => {
    const result = loadTraffic("${T}", { T: "12.5" });
    expect(result.ok && result.value.experiments[0]?.traffic).toBe(12.5);
    const fallback = loadTraffic("${T:-50}", { T: undefined });
    expect(fallback.ok && fallback.value.experiments[0]?.traffic).toBe(50);
  });

  test.each(['"${T}"', "'${T}'", "${T}0", "|-\n      ${T}"])("%s stays text", (written) => {
    const result = loadTraffic(written, { T: "12" });
    expect(result.ok).toBe(false);
  });

  test("structure in a value stays one text", () => {
    const hostile = "x\ngovernance:\n  retainHistory: false\n# *a &b !!c {d: [e";
    const text =
      "experiments:\n  - name: a\n    description: ${D}\n    variants: [{ key: x, control: true }, { key: y }]";
    const result = loadDsl(text, { file: "dsl", environment: { D: hostile } });
    expect(result.ok && result.value.experiments[0]?.description).toBe(hostile);
  });

  test("any value at all becomes exactly that text, or is refused without being shown", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", minLength: 12 }), (value) => {
        const text =
          'experiments:\n  - name: a\n    description: "${D}"\n    variants: [{ key: x, control: true }, { key: y }]';
        const result = loadDsl(text, { file: "dsl", environment: { D: value } });
        const storable = value.isWellFormed() && !value.includes("\u0000") && value.length <= 10_000;
        expect(
          result.ok ? result.value.experiments[0]?.description : result.errors.map((error) => error.found),
        ).toEqual(storable ? value : ['"${D}"']);
      }),
    );
  });
});
