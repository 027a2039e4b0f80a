/** `docs/events.schema.json` is what the code says, and says of events what the code says of them. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { eventsJsonSchema, eventsJsonSchemaText, eventsSchemaFile } from "../../cli/events-schema.ts";
import { envelopeTypes } from "../../src/events/envelope.ts";
import { isMembers, mismatches } from "../support/json-schema.ts";
import { everyType, exposure } from "./fixtures.ts";

const document = JSON.parse(JSON.stringify(eventsJsonSchema())) as unknown;
const { $schema: dialect, ...schema } = isMembers(document) ? document : {};
const problems = (value: unknown) => mismatches(schema, schema, value);

test("the file is up to date: npx node cli/events-schema.ts && npx oxfmt docs", () => {
  expect(JSON.parse(readFileSync(eventsSchemaFile, "utf8"))).toEqual(JSON.parse(eventsJsonSchemaText()));
  expect(dialect).toBe("https://json-schema.org/draft/2020-12/schema");
});

test("every type of event has a fixture, and fits", () => {
  expect(everyType().map(({ eventType }) => eventType)).toEqual([...envelopeTypes]);
  for (const event of everyType()) expect(problems(event)).toEqual([]);
});

describe("is refused", () => {
  test.each([
    ["an unknown type", { ...exposure(0), eventType: "Click" }],
    ["another major version", { ...exposure(0), schemaVersion: "2.0.0" }],
    ["no subject", { ...exposure(0), payload: { experimentName: "a", variantKey: "b" } }],
    ["a severity of one's own", { ...everyType()[4], payload: { ...everyType()[4]?.payload, severity: "Bad" } }],
  ])("%s", (_, event) => {
    expect(problems(event)).not.toEqual([]);
  });
});
