/** Valibot's issues as findings. */
import * as v from "valibot";
import { quote, type Finding, type Reading, type Suggestion } from "./finding.ts";
import { nearest } from "./nearest.ts";
import { type Path, pointer } from "./path.ts";
import type { Expectation, Shape } from "./shape.ts";

type Issue = v.BaseIssue<unknown>;

const anyText = "a text";

/** Valibot's own messages quote what was received, which may be a secret; these never do. */
const phrase = (issue: Issue): string => {
  switch (issue.type) {
    case "string":
      return anyText;
    case "number":
      return "a number";
    case "boolean":
      return "true or false";
    case "array":
      return "a list";
    case "strict_object":
    case "record":
      return "a mapping";
    default:
      return issue.expected ?? "another value";
  }
};

const config = { message: phrase } as const;

export const expectation: Expectation = (schema) => {
  const result = v.safeParse(schema, undefined, config);
  return result.success ? "a value" : result.issues[0].message;
};

const words = (expected: string): readonly string[] =>
  expected
    .replaceAll(/^\(|\)$/g, "")
    .split(" | ")
    .map((word) => word.replaceAll('"', ""));

/** YAML 1.1 read these as booleans; YAML 1.2 reads them as texts, and people still write them. */
const booleanWords: Readonly<Record<string, string>> = {
  yes: "true",
  y: "true",
  on: "true",
  no: "false",
  n: "false",
  off: "false",
};

const unquoted = (text: string | undefined): Suggestion | undefined =>
  text === undefined ? undefined : { text, quoted: false };

const asBoolean = (text: string): string | undefined => {
  const word = text.toLowerCase();
  return Object.hasOwn(booleanWords, word) ? booleanWords[word] : nearest(word, ["true", "false"]);
};

const asNumber = (text: string): string | undefined => {
  const digits = /^\s*([-+]?\d{1,15}(?:\.\d{1,15})?)\s*%?\s*$/.exec(text)?.[1];
  return digits === undefined ? undefined : String(Number(digits));
};

/** What was probably meant, by the kind of thing that was wanted and the thing that was given. */
const suggest = (issue: Issue, shown: string): Suggestion | undefined => {
  const { input } = issue;
  switch (issue.type) {
    case "boolean":
      return typeof input === "string" ? unquoted(asBoolean(input)) : undefined;
    case "number":
      return typeof input === "string" ? unquoted(asNumber(input)) : undefined;
    case "string":
      // A schema with a message of its own wants more of the text than that it is one.
      return issue.message === anyText && (typeof input === "number" || typeof input === "boolean")
        ? { text: shown, quoted: true }
        : undefined;
    case "array":
      if (input === null) return unquoted("[]");
      return typeof input === "string" || typeof input === "number" ? unquoted(`[${shown}]`) : undefined;
    case "picklist":
    case "raw_transform": {
      const near = typeof input === "string" ? nearest(input, words(issue.expected ?? "")) : undefined;
      return near === undefined ? undefined : { text: near, quoted: true };
    }
    default:
      return undefined;
  }
};

const pathOf = (issue: Issue): Path =>
  (issue.path ?? []).map(({ key }) => (typeof key === "number" ? key : String(key)));

/** True when a value at or around the path is known to be unusable: what follows from it is no news. */
export const isBeneath = (path: Path, pointers: ReadonlySet<string>): boolean =>
  pointers.size > 0 &&
  Array.from({ length: path.length + 1 }, (_, length) => path.slice(0, length)).some((part) =>
    pointers.has(pointer(part)),
  );

/** Reads the understood value with the schema; what is wrong is told by its place in the file. */
export const parseUnderstood = <TOutput>(
  schema: v.GenericSchema<unknown, TOutput>,
  shape: Shape,
  reading: Reading,
): { readonly value: TOutput | undefined; readonly findings: readonly Finding[] } => {
  const result = v.safeParse(schema, shape.understood, config);
  if (result.success) return { value: result.output, findings: [] };
  // An issue where the shape is already wrong would say the same thing twice.
  const said = new Set(shape.findings.flatMap(({ at, path }) => (at === "value" ? [pointer(path)] : [])));
  const findings = result.issues.flatMap((issue): readonly Finding[] => {
    const path = shape.toSource(pathOf(issue));
    if (isBeneath(path, said) || isBeneath(path, reading.unreadable)) return [];
    const shown = reading.describe(path);
    if (issue.path?.at(-1)?.origin === "key")
      return [{ path, at: "key", found: quote(String(path.at(-1))), allowed: issue.message }];
    const suggestion = reading.isSecret(path) ? undefined : suggest(issue, shown);
    return [{ path, at: "value", allowed: issue.message, suggestion }];
  });
  return { value: undefined, findings };
};
