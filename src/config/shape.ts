/**
 * Compares the shape of a value with the schema: which keys there are, and of which kind a variant is.
 *
 * Valibot stops at the first unknown key of an object, says nothing about the rest of an object whose discriminator
 * is wrong, and takes a list for an object. So this is done here, before it, by walking the schema beside the value.
 * A key or kind that was plainly misspelled is read as what was meant, so that one slip is one error and the rest of
 * the object is still judged.
 */
import type * as v from "valibot";
import { type Finding, quote, type Reading, type Suggestion } from "./finding.ts";
import { nearest } from "./nearest.ts";
import { isMapping, type Path, pointer } from "./path.ts";

type Schema = v.GenericSchema;

interface Piped {
  readonly pipe: readonly { readonly kind: "schema" | "validation" | "transformation" | "metadata" }[];
}
interface Wrapper {
  readonly wrapped: Schema;
}
interface Lazy {
  readonly getter: (input: unknown) => Schema;
}
interface List {
  readonly item: Schema;
}
interface Strict {
  readonly entries: Readonly<Record<string, Schema>>;
}
interface Variants {
  readonly key: string;
  readonly options: readonly (Schema & Strict)[];
}
interface Dictionary {
  readonly value: Schema;
}
interface Literal {
  readonly literal: unknown;
}

const wrappers: readonly string[] = ["optional", "exact_optional", "nullish"];

const isPiped = (schema: Schema): schema is Schema & Piped => "pipe" in schema;
const isWrapper = (schema: Schema): schema is Schema & Wrapper => wrappers.includes(schema.type);
const isLazy = (schema: Schema): schema is Schema & Lazy => schema.type === "lazy";
const isList = (schema: Schema): schema is Schema & List => schema.type === "array";
const isStrict = (schema: Schema): schema is Schema & Strict => schema.type === "strict_object";
const isVariants = (schema: Schema): schema is Schema & Variants => schema.type === "variant";
const isDictionary = (schema: Schema): schema is Schema & Dictionary => schema.type === "record";
const isLiteral = (schema: Schema): schema is Schema & Literal => schema.type === "literal";
const isSchema = (step: Piped["pipe"][number]): step is Schema => step.kind === "schema";

const quoted = (text: string | undefined): Suggestion | undefined =>
  text === undefined ? undefined : { text, quoted: true };

/** The word that a variant is told apart by. */
const kindOf = (option: Strict, key: string): string | undefined => {
  const schema = option.entries[key];
  return schema !== undefined && isLiteral(schema) && typeof schema.literal === "string" ? schema.literal : undefined;
};

/** Valibot drops these names from records without a word. */
const droppedNames = new Set(["constructor", "prototype"]);

/** One place, by its path in the file and by its path in the value as it was understood. */
interface Place {
  readonly source: Path;
  readonly understood: Path;
}

export interface Shape {
  /** The value with misspelled keys and kinds as they were meant, and without unknown keys. */
  readonly understood: unknown;
  readonly findings: readonly Finding[];
  /** From a path in the understood value to the path in the file. */
  readonly toSource: (understood: Path) => Path;
}

/** What a schema says it wants, by asking it to read nothing. */
export type Expectation = (schema: Schema) => string;

const below = (place: Place, understood: string | number, source = understood): Place => ({
  source: [...place.source, source],
  understood: [...place.understood, understood],
});

const walker = (reading: Pick<Reading, "isSecret" | "unreadable">, expectation: Expectation) => {
  const findings: Finding[] = [];
  const renamed = new Map<string, string>();

  const missing = (place: Place, key: string, allowed: string): void => {
    findings.push({ path: [...place.source, key], at: "value", what: `missing key ${quote(key)}`, allowed });
  };

  const notMapping = (value: unknown, place: Place, allowed: string): unknown => {
    const suggestion = value === null ? { text: "{}", quoted: false } : undefined;
    if (!reading.unreadable.has(pointer(place.source)))
      findings.push({ path: place.source, at: "value", allowed, suggestion });
    return value;
  };

  const visitStrict = ({ entries }: Strict, value: unknown, place: Place): unknown => {
    const known = Object.keys(entries);
    const allowed = known.join(", ");
    if (!isMapping(value)) return notMapping(value, place, `a mapping with ${allowed}`);
    const writtenAs = new Map<string, string>();
    for (const key of Object.keys(value)) {
      if (Object.hasOwn(entries, key)) continue;
      const free = known.filter((name) => !Object.hasOwn(value, name) && !writtenAs.has(name));
      const meant = nearest(key, free);
      if (meant !== undefined) {
        writtenAs.set(meant, key);
        renamed.set(pointer([...place.understood, meant]), key);
      }
      const suggestion = quoted(meant ?? nearest(key, known));
      const what = `unknown key ${quote(key)}`;
      findings.push({ path: [...place.source, key], at: "key", what, found: quote(key), allowed, suggestion });
    }
    const result: Record<string, unknown> = {};
    for (const [key, entry] of Object.entries(entries)) {
      const written = writtenAs.get(key) ?? key;
      if (Object.hasOwn(value, written)) result[key] = visit(entry, value[written], below(place, key, written));
      else if (!isWrapper(entry)) missing(place, key, expectation(entry));
    }
    return result;
  };

  const visitVariants = ({ key, options }: Variants, value: unknown, place: Place): unknown => {
    const kinds = options.flatMap((option) => kindOf(option, key) ?? []);
    const allowed = kinds.join(", ");
    if (!isMapping(value)) return notMapping(value, place, `a mapping with ${key}: one of ${allowed}`);
    const known = new Set(options.flatMap((option) => Object.keys(option.entries)));
    const written = Object.hasOwn(value, key)
      ? key
      : Object.keys(value).find((name) => !known.has(name) && nearest(name, [...known]) === key);
    if (written === undefined) {
      missing(place, key, allowed);
      return value;
    }
    const kind = value[written];
    const at = [...place.source, written];
    const exact = options.find((option) => kindOf(option, key) === kind);
    if (exact !== undefined) return visitStrict(exact, value, place);
    const meant = typeof kind === "string" && !reading.isSecret(at) ? nearest(kind, kinds) : undefined;
    if (!reading.unreadable.has(pointer(at)))
      findings.push({ path: at, at: "value", allowed, suggestion: quoted(meant) });
    const option = meant === undefined ? undefined : options.find((candidate) => kindOf(candidate, key) === meant);
    return option === undefined ? value : visitStrict(option, { ...value, [written]: meant }, place);
  };

  const visitDictionary = (dictionary: Dictionary, value: unknown, place: Place): unknown => {
    if (!isMapping(value)) return notMapping(value, place, "a mapping of names to values");
    const result: Record<string, unknown> = {};
    for (const [key, entry] of Object.entries(value)) {
      if (droppedNames.has(key))
        findings.push({ path: [...place.source, key], at: "key", found: quote(key), allowed: "another name" });
      else result[key] = visit(dictionary.value, entry, below(place, key));
    }
    return result;
  };

  const visitPipe = ({ pipe }: Piped, value: unknown, place: Place): unknown => {
    let result = value;
    for (const step of pipe) {
      // What stands behind a transformation describes another value than the one in the file.
      if (step.kind === "transformation") break;
      if (isSchema(step)) result = visit(step, result, place);
    }
    return result;
  };

  const visit = (schema: Schema, value: unknown, place: Place): unknown => {
    if (isPiped(schema)) return visitPipe(schema, value, place);
    if (isWrapper(schema)) return value === undefined ? value : visit(schema.wrapped, value, place);
    if (isLazy(schema)) return visit(schema.getter(value), value, place);
    if (isList(schema))
      return Array.isArray(value) ? value.map((item, index) => visit(schema.item, item, below(place, index))) : value;
    if (isStrict(schema)) return visitStrict(schema, value, place);
    if (isVariants(schema)) return visitVariants(schema, value, place);
    if (isDictionary(schema)) return visitDictionary(schema, value, place);
    return value;
  };

  return { visit, findings, renamed };
};

export const compareShape = (
  schema: Schema,
  value: unknown,
  root: Path,
  reading: Pick<Reading, "isSecret" | "unreadable">,
  expectation: Expectation,
): Shape => {
  const { visit, findings, renamed } = walker(reading, expectation);
  const understood = visit(schema, value, { source: root, understood: [] });
  const toSource = (path: Path): Path => [
    ...root,
    ...path.map((segment, index) => renamed.get(pointer(path.slice(0, index + 1))) ?? segment),
  ];
  return { understood, findings, toSource };
};
