/** What can be wrong with a configuration, before and after it is put into words and placed in its file. */
import { findUnstorable } from "../canonical.ts";
import { type Path, pointer } from "./path.ts";

/** One thing that is wrong in a configuration. */
export interface DslError {
  /** JSON Pointer into the configuration, `""` for the whole of it. */
  readonly path: string;
  /** What stands there. A value that came from the environment is shown as its `${NAME}`, never as its content. */
  readonly found: string;
  readonly allowed: string;
  /** The nearest allowed word or value, where one is near. */
  readonly suggestion?: string;
  /** One sentence of the three parts above. */
  readonly message: string;
}

/** A {@link DslError} with its place in the file: line and column count from 1, columns in UTF-16 units. */
export interface LocatedError extends DslError {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** A finding points at a member's name or at its value. */
export type Spotlight = "key" | "value";

export interface Suggestion {
  readonly text: string;
  /** Words are quoted in the message, values (`25`, `true`, `[]`) are not. */
  readonly quoted: boolean;
}

export interface Finding {
  readonly path: Path;
  readonly at: Spotlight;
  /** Where in the file, when the path alone does not say: the second of two equal keys, a slip of syntax. */
  readonly offset?: number;
  /** The subject of the sentence; left out: `found` and what stands there. */
  readonly what?: string;
  readonly found?: string;
  readonly allowed: string;
  readonly suggestion?: Suggestion | undefined;
}

/** A configuration that was read, from a file or from code, with what is known about its places. */
export interface Reading {
  /** Plain JSON values. */
  readonly value: unknown;
  readonly findings: readonly Finding[];
  /** Pointers whose value could not be read, so that nothing more should be said about them. */
  readonly unreadable: ReadonlySet<string>;
  /** A file is copied and committed; code has its own ways to keep a secret. */
  readonly isFile: boolean;
  /** The text of what stands at a path, fit to be shown. */
  readonly describe: (path: Path) => string;
  /** True when the value came from the environment and must not be shown, compared or suggested. */
  readonly isSecret: (path: Path) => boolean;
}

const shownCharacters = 60;

/** A text in quotes, cut where it is long: an error is read by a person. */
export const quote = (text: string): string => {
  const characters = text.slice(0, shownCharacters + 1);
  return JSON.stringify(characters.length > shownCharacters ? `${characters.slice(0, shownCharacters)}…` : text);
};

/** Says what a value is: scalars as they are, collections by kind. */
export const describeValue = (value: unknown): string => {
  if (value === null || value === undefined) return "nothing";
  if (typeof value === "string") return quote(value);
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : "a list";
  return typeof value === "object" ? "a mapping" : `a ${typeof value}`;
};

/** A text that a database would alter at rest, under the digests that were taken of it. */
export const isStorable = (text: string): boolean => findUnstorable(text) === undefined;

export const storableText = "text without U+0000 and lone surrogates, which databases alter";

/** Puts a finding into words. */
export const toDslError = (finding: Finding, reading: Pick<Reading, "describe">): DslError => {
  const { suggestion, allowed } = finding;
  const found = finding.found ?? reading.describe(finding.path);
  const meant = suggestion?.quoted === true ? quote(suggestion.text) : suggestion?.text;
  return {
    path: pointer(finding.path),
    found,
    allowed,
    ...(suggestion === undefined ? {} : { suggestion: suggestion.text }),
    message: `${finding.what ?? `found ${found}`}; allowed: ${allowed}${meant === undefined ? "" : `; did you mean ${meant}?`}`,
  };
};
