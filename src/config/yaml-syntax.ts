/** What the YAML parser complains about, as findings. */
import type { ErrorCode, parseDocument, YAMLError } from "yaml";
import { limits } from "../limits.ts";
import { type Finding, quote } from "./finding.ts";

/** What the parser's codes ask for; the rest is said by the parser's own message. */
const advice: Partial<Record<ErrorCode, string>> = {
  MULTIPLE_DOCS: "one document a file",
  RESOURCE_EXHAUSTION: `at most ${limits.dslDepth} levels of lists and mappings`,
  TAB_AS_INDENT: "spaces for indentation",
  NON_STRING_KEY: "a text as key",
  BAD_DIRECTIVE: "no directives",
};

/** Braces are YAML's own inside a flow collection, so a reference there must be quoted. */
const isBareReference = (error: YAMLError, text: string): boolean =>
  error.code === "UNEXPECTED_TOKEN" && text[error.pos[0]] === "{" && text[error.pos[0] - 1] === "$";

const restOfLine = (text: string, offset: number): string =>
  (text.slice(offset, offset + 200).split(/[\r\n]/, 1)[0] ?? "").trim();

const toFinding = (error: YAMLError, text: string): Finding => {
  const bare = isBareReference(error, text);
  const offset = bare ? error.pos[0] - 1 : error.pos[0];
  const rest = restOfLine(text, offset);
  const found = error.code === "TAB_AS_INDENT" ? "a tab" : rest === "" ? "the end of the line" : quote(rest);
  const allowed = bare ? 'quotes around "${NAME}" inside [ ] and { }' : advice[error.code];
  // Where there is advice, the parser's message would only repeat it in the words of its own programming interface.
  return allowed === undefined
    ? { path: [], at: "value", offset, found, what: `found ${found} (${error.message})`, allowed: "valid YAML or JSON" }
    : { path: [], at: "value", offset, found, allowed };
};

/** Errors that set the parser off its course: whatever it reports after one of these is an echo. */
const causes = (errors: readonly YAMLError[], text: string): readonly YAMLError[] => {
  const exhausted = errors.find((error) => error.code === "RESOURCE_EXHAUSTION");
  if (exhausted !== undefined) return [exhausted];
  const bare = errors.filter((error) => isBareReference(error, text));
  return bare.length > 0 ? bare : errors;
};

/** Findings for everything the parser could not read, one a line: the later errors of a line are echoes of its first. */
export const syntaxFindings = (
  text: string,
  document: ReturnType<typeof parseDocument>,
  lineOf: (offset: number) => number,
): readonly Finding[] => {
  const directives = document.warnings.filter((warning) => warning.code === "BAD_DIRECTIVE");
  const errors = [...document.errors, ...directives].toSorted((a, b) => a.pos[0] - b.pos[0]);
  const lines = new Set<number>();
  return causes(errors, text)
    .filter((error) => {
      const line = lineOf(error.pos[0]);
      return !lines.has(line) && lines.add(line);
    })
    .map((error) => toFinding(error, text));
};
