/**
 * The JSON Schema of events, for senders in other languages: `docs/events.schema.json`.
 *
 * `npx node cli/events-schema.ts && npx oxfmt docs` writes it; a test fails while that file is not up to date. A tool of
 * the repository, as `json-schema.ts` is.
 */
import { writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { type JsonSchema, toJsonSchema } from "@valibot/to-json-schema";
import { EnvelopeSchema, schemaVersion } from "../src/events/envelope.ts";

export const eventsSchemaFile = new URL("../docs/events.schema.json", import.meta.url);

/** The document of `docs/events.schema.json`: one event as a sender may write it. */
export const eventsJsonSchema = (): JsonSchema => ({
  ...toJsonSchema(EnvelopeSchema, { target: "draft-2020-12", typeMode: "input", errorMode: "ignore" }),
  title: `Proviso event ${schemaVersion}`,
  description:
    "One event in its envelope. Members that are not named here are ignored, so a newer minor version is accepted.",
});

/** The exact text of the file. */
export const eventsJsonSchemaText = (): string => `${JSON.stringify(eventsJsonSchema(), null, 2)}\n`;

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  writeFileSync(eventsSchemaFile, eventsJsonSchemaText());
}
