/**
 * The JSON Schema of the configuration language, for editors: completion and red lines while typing. What it cannot
 * say (names that differ, gates that contradict each other) `proviso validate` says.
 *
 * `npx node cli/json-schema.ts && npx oxfmt docs` writes `docs/proviso.schema.json`; a test fails while that file is not up to date.
 * This is a tool of the repository: the converter it needs is no dependency of the package.
 */
import { writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { type JsonSchema, toJsonSchema } from "@valibot/to-json-schema";
import type * as v from "valibot";
import { DslSchema } from "../src/config/index.ts";
import {
  PersistenceSchema,
  persistenceSchemas,
  SinglePersistenceSchema,
  typeWords,
} from "../src/config/persistence.ts";
import { rootKey } from "../src/config/schema.ts";
import { DurationSchema, durationForms } from "../src/duration.ts";
import { operatorNames, type Operator } from "../src/evaluation/targeting-schema.ts";
import { StateSchema } from "../src/governance/gates/schema.ts";
import { TimeWindowSchema, weekdays } from "../src/governance/policies/schema.ts";
import { lifecycleStates } from "../src/lifecycle.ts";

export const schemaFile = new URL("../docs/proviso.schema.json", import.meta.url);

const reference = (name: string): JsonSchema => ({ $ref: `#/definitions/${name}` });

const eitherCase = (word: string): string =>
  word.replaceAll(/[A-Za-z]/g, (letter) => `[${letter.toLowerCase()}${letter.toUpperCase()}]`);

/** The words as an enumeration, which editors complete, and in any letter case, which the loader accepts. */
const wordsInAnyCase = (words: readonly string[]): JsonSchema => ({
  anyOf: [
    { type: "string", enum: [...words] },
    { type: "string", pattern: `^(${words.map(eitherCase).join("|")})$` },
  ],
});

/** Texts whose rule is a transformation or a function; the converter asks for each schema by identity. */
const overrides = new Map<unknown, JsonSchema>([
  [StateSchema.pipe[0], wordsInAnyCase(lifecycleStates)],
  [PersistenceSchema, reference("persistence")],
  [SinglePersistenceSchema, reference("singlePersistence")],
  [TimeWindowSchema.entries.days.wrapped.item.pipe[0], wordsInAnyCase(weekdays)],
  [DurationSchema.pipe[0], { type: "string", description: durationForms, examples: ["30m", "1d", "PT30M"] }],
]);

for (const [schema, words] of typeWords) overrides.set(schema, wordsInAnyCase(words));

const scalar: JsonSchema = { type: ["string", "number", "boolean"] };
const several: JsonSchema = { type: "array", items: scalar, minItems: 1 };
const ordered: JsonSchema = { type: ["string", "number"] };
const text: JsonSchema = { type: "string" };

/** A recursive schema that chooses by its input cannot be converted, so the operators stand here once more. */
const operatorValues: Readonly<Record<Operator, JsonSchema>> = {
  equals: scalar,
  notEquals: scalar,
  in: several,
  notIn: several,
  lessThan: ordered,
  lessThanOrEqual: ordered,
  greaterThan: ordered,
  greaterThanOrEqual: ordered,
  startsWith: text,
  endsWith: text,
  contains: text,
  exists: { type: "boolean" },
  versionEquals: text,
  versionLessThan: text,
  versionLessThanOrEqual: text,
  versionGreaterThan: text,
  versionGreaterThanOrEqual: text,
};

const strict = (properties: Record<string, JsonSchema>, required: string[]): JsonSchema => ({
  type: "object",
  properties,
  required,
  additionalProperties: false,
});

const conditions: JsonSchema = { type: "array", items: reference("targeting"), minItems: 1 };

const targeting: JsonSchema = {
  anyOf: [
    strict({ all: conditions }, ["all"]),
    strict({ any: conditions }, ["any"]),
    strict({ not: reference("targeting") }, ["not"]),
    {
      ...strict({ attribute: text, ...Object.fromEntries(operatorNames.map((name) => [name, operatorValues[name]])) }, [
        "attribute",
      ]),
      minProperties: 2,
      maxProperties: 2,
    },
  ],
};

const isSchema = (value: unknown): value is JsonSchema =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** A text, number or boolean with a rule that a `${NAME}` would break. */
const isRuledScalar = (schema: JsonSchema): boolean =>
  schema.type === "number" ||
  schema.type === "integer" ||
  schema.type === "boolean" ||
  schema.enum !== undefined ||
  (schema.type === "string" &&
    (schema.pattern !== undefined || schema.maxLength !== undefined || schema.format !== undefined));

/** Lets every scalar with a rule be a `${NAME}` as well. A constant stays alone: it tells variants apart. */
const withReferences = (schema: JsonSchema): JsonSchema => {
  const { default: fallback, ...rest } = schema;
  const kept = fallback === undefined ? {} : { default: fallback };
  if (isRuledScalar(rest)) return { anyOf: [rest, reference("environment")], ...kept };
  const inner = Object.entries(rest).map(([key, value]): [string, unknown] => {
    if (key === "properties" && isSchema(value))
      return [key, Object.fromEntries(Object.entries(value).map(([name, entry]) => [name, onSchema(entry)]))];
    if (key === "items" || key === "additionalProperties") return [key, onSchema(value)];
    if ((key === "anyOf" || key === "oneOf") && Array.isArray(value)) return [key, value.map(onSchema)];
    return [key, value];
  });
  return { ...Object.fromEntries(inner), ...kept };
};

const onSchema = (value: unknown): unknown => (isSchema(value) ? withReferences(value) : value);

/** A schema that is chosen by its input stands under `definitions`; the converter's own idea of it is left out. */
const converted = (schema: v.GenericSchema): JsonSchema => {
  const {
    $schema: _,
    $defs: __,
    ...rest
  } = toJsonSchema(schema, {
    target: "draft-07",
    typeMode: "input",
    errorMode: "ignore",
    overrideSchema: ({ valibotSchema }) => overrides.get(valibotSchema),
  });
  return rest;
};

/** Which schema is meant is chosen by the type as it is written, so each stands for itself here. */
const persistence = (schemas: readonly v.GenericSchema[]): JsonSchema => ({
  anyOf: schemas.map(converted),
});

/** The document of `docs/proviso.schema.json`. */
export const dslJsonSchema = (): JsonSchema => {
  const dsl = converted(DslSchema);
  const experiment = dsl.properties?.["experiments"];
  const configuration = isSchema(experiment) && isSchema(experiment.items) ? experiment.items : undefined;
  if (configuration?.properties === undefined || !("targeting" in configuration.properties))
    throw new TypeError("json schema: the configuration of an experiment has no targeting");
  configuration.properties["targeting"] = reference("targeting");
  return {
    $schema: "http://json-schema.org/draft-07/schema#",
    title: "Proviso configuration",
    anyOf: [reference("dsl"), strict({ [rootKey]: reference("dsl") }, [rootKey])],
    definitions: {
      dsl: withReferences(dsl),
      persistence: withReferences(persistence(persistenceSchemas)),
      singlePersistence: withReferences(persistence(persistenceSchemas.slice(0, -1))),
      targeting: withReferences(targeting),
      environment: {
        type: "string",
        description: "A value of the environment: ${NAME} or ${NAME:-default}",
        pattern: String.raw`\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}`,
      },
    },
  };
};

/** The exact text of the file. */
export const dslJsonSchemaText = (): string => `${JSON.stringify(dslJsonSchema(), null, 2)}\n`;

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) writeFileSync(schemaFile, dslJsonSchemaText());
