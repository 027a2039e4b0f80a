import { readFileSync } from "node:fs";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { dslJsonSchema, schemaFile } from "../../cli/json-schema.ts";
import { dslInputs } from "./arbitrary.ts";

/** As much of JSON Schema draft-07 as the file uses; an unknown keyword is an error, so nothing passes unread. */
const accepts = (schema: unknown, value: unknown, root: unknown): boolean => {
  if (!isRecord(schema)) throw new TypeError("not a schema");
  return Object.entries(schema).every(([keyword, rule]) => {
    const check = keywords[keyword];
    if (check === undefined) throw new TypeError(`unknown keyword ${keyword}`);
    return check(rule, value, root, schema);
  });
};

type Keyword = (rule: unknown, value: unknown, root: unknown, schema: Record<string, unknown>) => boolean;

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
const always: Keyword = () => true;

const isOfType = (type: unknown, value: unknown): boolean => {
  switch (type) {
    case "object":
      return isRecord(value);
    case "array":
      return Array.isArray(value);
    case "integer":
      return Number.isInteger(value);
    default:
      return typeof value === type;
  }
};

const resolve = (reference: unknown, root: unknown): unknown =>
  String(reference)
    .split("/")
    .slice(1)
    .reduce<unknown>((at, segment) => (isRecord(at) ? at[segment] : undefined), root);

const keywords: Readonly<Record<string, Keyword>> = {
  $schema: always,
  title: always,
  description: always,
  examples: always,
  default: always,
  definitions: always,
  $ref: (rule, value, root) => accepts(resolve(rule, root), value, root),
  type: (rule, value) => (Array.isArray(rule) ? rule : [rule]).some((type) => isOfType(type, value)),
  const: (rule, value) => rule === value,
  enum: (rule, value) => list(rule).includes(value),
  anyOf: (rule, value, root) => list(rule).some((option) => accepts(option, value, root)),
  oneOf: (rule, value, root) => list(rule).filter((option) => accepts(option, value, root)).length === 1,
  pattern: (rule, value) => typeof value !== "string" || new RegExp(String(rule), "u").test(value),
  format: (rule, value) => {
    if (rule === "date") return typeof value !== "string" || /^\d{4}-\d{2}-\d{2}$/.test(value);
    if (rule !== "date-time") throw new TypeError(`unknown format ${String(rule)}`);
    return typeof value !== "string" || !Number.isNaN(Date.parse(value));
  },
  minLength: (rule, value) => typeof value !== "string" || value.length >= Number(rule),
  maxLength: (rule, value) => typeof value !== "string" || value.length <= Number(rule),
  exclusiveMinimum: (rule, value) => typeof value !== "number" || value > Number(rule),
  minimum: (rule, value) => typeof value !== "number" || value >= Number(rule),
  maximum: (rule, value) => typeof value !== "number" || value <= Number(rule),
  minItems: (rule, value) => list(value).length >= Number(rule) || !Array.isArray(value),
  maxItems: (rule, value) => list(value).length <= Number(rule),
  minProperties: (rule, value) => !isRecord(value) || Object.keys(value).length >= Number(rule),
  maxProperties: (rule, value) => !isRecord(value) || Object.keys(value).length <= Number(rule),
  required: (rule, value) => !isRecord(value) || list(rule).every((key) => Object.hasOwn(value, String(key))),
  items: (rule, value, root) => list(value).every((item) => accepts(rule, item, root)),
  propertyNames: (rule, value, root) => !isRecord(value) || Object.keys(value).every((key) => accepts(rule, key, root)),
  properties: (rule, value, root) =>
    !isRecord(value) ||
    !isRecord(rule) ||
    Object.entries(value).every(([key, entry]) => !Object.hasOwn(rule, key) || accepts(rule[key], entry, root)),
  additionalProperties: (rule, value, root, schema) => {
    const known = isRecord(schema["properties"]) ? schema["properties"] : {};
    const others = isRecord(value) ? Object.entries(value).filter(([key]) => !Object.hasOwn(known, key)) : [];
    return rule === false ? others.length === 0 : others.every(([, entry]) => accepts(rule, entry, root));
  },
};

const schema: unknown = dslJsonSchema();
const valid = (value: unknown): boolean => accepts(schema, value, schema);

describe("docs/proviso.schema.json", () => {
  test("is up to date: npx node cli/json-schema.ts writes it", () => {
    expect(JSON.parse(readFileSync(schemaFile, "utf8"))).toEqual(JSON.parse(JSON.stringify(schema)));
  });

  test("accepts proviso.yaml as it is written, references and all", () => {
    expect(valid(parse(readFileSync(new URL("../../proviso.yaml", import.meta.url), "utf8")))).toBe(true);
  });

  test("accepts what the loader accepts", () => {
    fc.assert(
      fc.property(dslInputs, fc.boolean(), (input, wrapped) => {
        const value: unknown = JSON.parse(JSON.stringify(wrapped ? { experimentFramework: input } : input));
        expect(valid(value)).toBe(true);
      }),
    );
  });

  test.each([
    ["an unknown section", { governence: {} }],
    ["an unknown key", { governance: { policies: [{ type: "trafficLimit", maxTraffic: 1 }] } }],
    ["a gate type", { governance: { approvalGates: [{ type: "manul", to: "Approved" }] } }],
    ["a state", { governance: { approvalGates: [{ type: "manual", to: "Runing" }] } }],
    ["a missing key", { governance: { approvalGates: [{ type: "quorum", to: "Approved" }] } }],
    ["a persistence type", { governance: { persistence: { type: "mongo" } } }],
    ["a store without what it needs", { governance: { persistence: { type: "redis" } } }],
    ["options of another store", { governance: { persistence: { type: "d1", url: "https://db.example.com" } } }],
    [
      "a mirror of mirrors",
      {
        governance: {
          persistence: {
            type: "mirror",
            primary: { type: "mirror", primary: {}, followers: [{}] },
            followers: [{ type: "memory" }],
          },
        },
      },
    ],
    ["a switch that cannot be switched off", { governance: { retainHistory: false } }],
    ["a number", { dataPlane: { sampling: { rate: "all" } } }],
    ["a range", { dataPlane: { batching: { maxEvents: 1_001 } } }],
    [
      "a day",
      {
        governance: {
          policies: [{ type: "timeWindow", allowedStartTime: "09:00", allowedEndTime: "17:00", days: ["someday"] }],
        },
      },
    ],
    [
      "targeting without an operator",
      { experiments: [{ name: "a", variants: [{ key: "x" }, { key: "y" }], targeting: { attribute: "c" } }] },
    ],
    [
      "an operator deep inside",
      {
        experiments: [
          {
            name: "a",
            variants: [{ key: "x" }, { key: "y" }],
            targeting: { all: [{ not: { attribute: "c", matches: "x" } }] },
          },
        ],
      },
    ],
    ["an unknown kind of change", { governance: { policies: [{ type: "sampleRatio", on: ["promotion"] }] } }],
    ["an expression that is missing", { governance: { policies: [{ type: "expression" }] } }],
    [
      "an expression without end",
      { governance: { policies: [{ type: "expression", expression: "1 == 1 && ".repeat(201) }] } },
    ],
    [
      "a time that is none",
      { experiments: [{ name: "a", variants: [{ key: "x" }, { key: "y" }], schedule: { start: "tomorrow" } }] },
    ],
    ["a key beside the root key", { experimentFramework: {}, governance: {} }],
    ["a list", []],
  ])("refuses %s", (_, value) => {
    expect(valid(value)).toBe(false);
  });

  test.each([
    {},
    { type: "InMemory" },
    { type: "SQL", database: "OTHER" },
    { type: "sql", connectionString: "${DATABASE_URL}" },
    { type: "postgres", hyperdrive: "HYPERDRIVE", schema: "experiments" },
    { type: "durableObject" },
    { type: "redis", url: "${URL}", token: "${TOKEN}", prefix: "checkout" },
    { type: "custom", name: "ours", parameters: { region: 1 } },
    { type: "mirror", primary: { type: "d1" }, followers: [{ type: "memory" }], mode: "writeBehind" },
  ])("takes the store %j", (persistence) => {
    expect(valid({ governance: { persistence } })).toBe(true);
  });

  test("takes a reference where a number, a boolean or a word stands", () => {
    expect(
      valid({
        governance: {
          requireIfMatch: "${STRICT:-true}",
          persistence: { type: "${STORE}" },
          approvalGates: [{ type: "quorum", to: "${STATE}", count: "${COUNT}" }],
          policies: [
            { type: "minimumSample", minSubjects: "${SUBJECTS}", onMissing: "${MISSING:-hold}" },
            { type: "expression", expression: "telemetry.exposed > ${SUBJECTS}" },
          ],
        },
        experiments: [
          { name: "a", variants: [{ key: "x" }, { key: "y" }], schedule: { start: "${START}", end: "${END}" } },
        ],
      }),
    ).toBe(true);
  });
});
