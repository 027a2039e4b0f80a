/** Errors as a terminal shows them. */
import { dotted } from "./credentials.ts";
import type { DslError, LocatedError } from "./finding.ts";

export interface FormatOptions {
  /** The text of the file, to show the line an error is in. */
  readonly source?: string;
  /** ANSI colours. Default: false. */
  readonly color?: boolean;
}

const excerptCharacters = 100;

/**
 * A file can hold characters that move the cursor, change colours or reverse the reading order; none of them is
 * handed on to the terminal. Each becomes one character, so columns stay.
 */
const harmless = (text: string): string =>
  text.replaceAll(/\t/g, " ").replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "\uFFFD");

const isLocated = (error: DslError | LocatedError): error is LocatedError => "line" in error;

const paint = (code: number, text: string, color: boolean): string =>
  color ? `\u001B[${code}m${text}\u001B[0m` : text;

/** The part of a line around a column: a JSON file can be one line of a megabyte. */
const excerpt = (line: string, column: number): { text: string; caret: number } => {
  const start = Math.max(0, Math.min(column - 1 - excerptCharacters / 2, line.length - excerptCharacters));
  const cut = line.slice(start, start + excerptCharacters);
  const before = start > 0 ? "…" : "";
  const after = start + excerptCharacters < line.length ? "…" : "";
  return { text: `${before}${harmless(cut)}${after}`, caret: before.length + column - 1 - start };
};

const formatOne = (error: DslError | LocatedError, lines: readonly string[], color: boolean): string => {
  const place = isLocated(error) ? `${harmless(error.file)}:${error.line}:${error.column}` : undefined;
  const head = [
    ...(place === undefined ? [] : [paint(1, place, color)]),
    paint(36, harmless(error.path === "" ? "(whole configuration)" : error.path), color),
    harmless(error.message),
  ].join("  ");
  const line = isLocated(error) ? lines[error.line - 1] : undefined;
  if (!isLocated(error) || line === undefined) return head;
  const gutter = `  ${error.line} | `;
  const { text, caret } = excerpt(dotted(line), error.column);
  const margin = `${" ".repeat(gutter.length - 2)}| `;
  return `${head}\n${gutter}${text}\n${margin}${" ".repeat(caret)}${paint(31, "^", color)}`;
};

/**
 * Errors as text, one after the other; with `source` each shows its line and a caret.
 *
 * @example formatErrors(result.errors, { source: text })
 * // proviso.yaml:12:9  /governance/policies/0/maxTraffic  unknown key "maxTraffic"; allowed: …; did you mean "maxTrafficPercentage"?
 * //   12 |         maxTraffic: 25
 * //      |         ^
 */
export const formatErrors = (errors: readonly (DslError | LocatedError)[], options: FormatOptions = {}): string => {
  const lines = options.source === undefined ? [] : options.source.replace(/^\uFEFF/, "").split(/\r?\n/);
  return errors.map((error) => formatOne(error, lines, options.color ?? false)).join("\n");
};
