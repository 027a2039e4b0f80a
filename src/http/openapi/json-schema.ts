/** From valibot to the JSON Schemas of an OpenAPI 3.1 document, with one component for each shape that has a name. */
import { type JsonSchema, toJsonSchema, toJsonSchemaDefs } from "@valibot/to-json-schema";
import type * as v from "valibot";
import { DurationSchema, durationForms } from "../../duration.ts";
import { operatorNames, TargetingSchema } from "../../evaluation/targeting-schema.ts";
import { EnvelopeSchema } from "../../events/envelope.ts";
import { StateSchema } from "../../governance/gates/schema.ts";
import { lifecycleStates } from "../../lifecycle.ts";
import { NameSchema } from "../../scope.ts";
import { Configuration, LocatedError, Problem, Proposal, State } from "./schemas.ts";

type Direction = "input" | "output";

/** Shapes with a name, and the side of a parse that they describe. */
const named: Readonly<Record<string, readonly [Direction, v.GenericSchema]>> = {
  Configuration: ["output", Configuration],
  Duration: ["input", DurationSchema],
  Envelope: ["input", EnvelopeSchema],
  LocatedError: ["output", LocatedError],
  Name: ["input", NameSchema],
  Problem: ["output", Problem],
  Proposal: ["output", Proposal],
  State: ["output", State],
  TargetState: ["input", StateSchema],
  Targeting: ["input", TargetingSchema],
};

export const componentRef = (name: string): string => `#/components/schemas/${name}`;
const reference = (name: string): JsonSchema => ({ $ref: componentRef(name) });

const strict = (properties: Record<string, JsonSchema>, required: string[]): JsonSchema => ({
  type: "object",
  properties,
  required,
  additionalProperties: false,
});
const conditions: JsonSchema = { type: "array", items: reference("Targeting"), minItems: 1 };

/** What no converter can see: rules that are functions, and a schema that chooses by its input. */
const byHand: Readonly<Record<string, JsonSchema>> = {
  Duration: { type: "string", description: durationForms, examples: ["30m", "1d", "PT30M"] },
  TargetState: { type: "string", enum: [...lifecycleStates], description: "In any letter case" },
  Targeting: {
    description: "`all`, `any`, `not`, nested, or a clause: an attribute and exactly one operator with its value",
    anyOf: [
      strict({ all: conditions }, ["all"]),
      strict({ any: conditions }, ["any"]),
      strict({ not: reference("Targeting") }, ["not"]),
      {
        ...strict(
          {
            attribute: { type: "string", minLength: 1, maxLength: 256 },
            ...Object.fromEntries(operatorNames.map((operator): [string, JsonSchema] => [operator, {}])),
          },
          ["attribute"],
        ),
        minProperties: 2,
        maxProperties: 2,
      },
    ],
  },
};

const definitions = Object.fromEntries(Object.entries(named).map(([name, [, schema]]) => [name, schema]));

const settings = (typeMode: Direction) =>
  ({
    typeMode,
    target: "draft-2020-12",
    // Checks that are functions have no JSON Schema: the server says them when they fail.
    errorMode: "ignore",
    overrideRef: ({ referenceId }: { readonly referenceId: string }) => componentRef(referenceId),
  }) as const;

/** A request's schema describes what may be sent (`input`), an answer's what arrives (`output`). */
export const jsonSchemaOf = (schema: v.GenericSchema, direction: Direction): JsonSchema => {
  const {
    $schema: _dialect,
    $defs: _shared,
    ...converted
  } = toJsonSchema(schema, {
    ...settings(direction),
    definitions,
  });
  return converted;
};

/** `components.schemas` of the document. */
export const componentSchemas = (): Readonly<Record<string, JsonSchema>> => {
  const sides = {
    input: toJsonSchemaDefs(definitions, settings("input")),
    output: toJsonSchemaDefs(definitions, settings("output")),
  };
  return Object.fromEntries(
    Object.entries(named).map(([name, [direction]]) => [name, byHand[name] ?? sides[direction][name] ?? {}]),
  );
};
