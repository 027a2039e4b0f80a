import * as fc from "fast-check";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { parseFieldPath } from "../../../src/governance/policies/field-path.ts";
import { PolicySchema } from "../../../src/governance/policies/schema.ts";
import { context, judge } from "./context.ts";

const configuration = {
  ...context().configuration,
  owner: "payments",
  description: " \n",
  labels: Object.fromEntries([
    ["team", "checkout"],
    ["cost.centre", "1"],
    ["a/b~c", "1"],
    ["constructor", "1"],
    ["blank", ""],
  ]),
  metrics: [{ name: "purchase", kind: "binary" as const, primary: false }],
  guardrails: [],
  traffic: 0,
};
const asks = (...fields: string[]) => judge({ type: "requireFields", fields }, context({ configuration }));

describe("requireFields", () => {
  test.each([
    "owner",
    "labels.team",
    "/labels/team",
    "/labels/cost.centre",
    "/labels/a~1b~0c",
    "labels.constructor",
    "metrics",
    "metrics.0.name",
    "/metrics/0/primary",
    "traffic",
  ])("%s is said", (field) => {
    expect(asks(field)).toMatchObject({ compliant: true });
  });

  test.each([
    "description",
    "guardrails",
    "ramp",
    "ramp.steps.0.hold",
    "labels.blank",
    "labels.toString",
    "labels.cost.centre",
    "metrics.length.x",
    "metrics.1.name",
    "owner.length",
    "variants.0.constructor",
    "variants.0.hasOwnProperty",
  ])("%s is not", (field) => {
    expect(asks("owner", field)).toMatchObject({
      compliant: false,
      severity: "Critical",
      reason: `the configuration does not say ${field}`,
      evidence: { missing: { source: "configuration", value: field } },
    });
  });

  test.each([
    [[]],
    [[""]],
    [["onwer"]],
    [["__proto__"]],
    [["labels.__proto__"]],
    [["labels..a"]],
    [["/labels/a~2"]],
    [["."]],
    [["/"]],
    [["toString"]],
  ])("the schema refuses %j", (fields) => {
    expect(v.is(PolicySchema, { type: "requireFields", fields })).toBe(false);
  });
});

test("a JSON Pointer says every name that a path may hold", () => {
  const name = fc.string({ minLength: 1 }).filter((text) => text !== "__proto__");
  fc.assert(
    fc.property(fc.array(name, { minLength: 1 }), (names) => {
      const pointer = names.map((text) => `/${text.replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
      expect(parseFieldPath(pointer)).toEqual(names);
    }),
  );
});
