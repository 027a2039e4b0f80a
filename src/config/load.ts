/** From the text of a configuration file to a {@link Dsl}, or to all of its errors with their places. */
import { toDslError, type Finding, type LocatedError } from "./finding.ts";
import type { Environment } from "./interpolate.ts";
import { readYaml } from "./read-yaml.ts";
import type { Dsl } from "./schema.ts";
import { validate } from "./validate.ts";

export interface LoadOptions {
  /** How the file is called in errors. */
  readonly file: string;
  /** What `${NAME}` may refer to. Left out: nothing. */
  readonly environment?: Environment;
}

export type LoadResult =
  | { readonly ok: true; readonly value: Dsl; readonly warnings: readonly LocatedError[] }
  | { readonly ok: false; readonly errors: readonly LocatedError[]; readonly warnings: readonly LocatedError[] };

const inReadingOrder = (a: LocatedError, b: LocatedError): number => a.line - b.line || a.column - b.column;

/**
 * Loads a configuration from YAML or JSON text. Never throws, reports every error at once, and needs neither a file
 * system nor a process: it runs in a Worker as it is.
 *
 * `${NAME}` and `${NAME:-default}` in texts take values of `environment`; an unquoted text that is one reference and
 * nothing else becomes a number or boolean where the value reads as one. Such values never appear in errors.
 *
 * @example
 * const result = loadDsl("governance: { persistence: { type: d1 } }", { file: "proviso.yaml" });
 * if (!result.ok) throw new Error(formatErrors(result.errors));
 */
export const loadDsl = (text: string, options: LoadOptions): LoadResult => {
  const reading = readYaml(text, options.environment ?? {});
  const { value, errors, warnings } = validate(reading);
  const located = (findings: readonly Finding[]): readonly LocatedError[] =>
    findings
      .map((finding) => ({ file: options.file, ...reading.place(finding), ...toDslError(finding, reading) }))
      .toSorted(inReadingOrder);
  return value === undefined
    ? { ok: false, errors: located(errors), warnings: located(warnings) }
    : { ok: true, value, warnings: located(warnings) };
};
