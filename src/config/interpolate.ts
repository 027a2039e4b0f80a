/**
 * `${NAME}` and `${NAME:-default}` in texts, after the file was parsed: whatever the environment holds, it can
 * become one value and never a piece of YAML.
 */

/** Names to values, as a process or a Worker has them. */
export type Environment = Readonly<Record<string, string | undefined>>;

export interface Interpolated {
  readonly text: string;
  /** Something was put in, so the text must not be shown. */
  readonly expanded: boolean;
  /** The text is one `${…}` and nothing else. */
  readonly whole: boolean;
  /** Names that are not set and have no default. */
  readonly unset: readonly string[];
  /** References that are none: an unclosed brace, a name with other characters. */
  readonly malformed: readonly string[];
}

const reference = /^([A-Za-z_][A-Za-z0-9_]*)(?::-([\s\S]*))?$/;

/** As in a shell, `:-` takes its default for a variable that is unset *or empty*. */
const lookUp = (name: string, fallback: string | undefined, environment: Environment): string | undefined => {
  const value = Object.hasOwn(environment, name) ? environment[name] : undefined;
  return fallback !== undefined && (value === undefined || value === "") ? fallback : value;
};

/**
 * Puts environment values into a text. `$${` stands for a literal `${`; a `$` before anything else is itself.
 *
 * @example interpolate("${TEAM:-core}-tests", {}).text // "core-tests"
 */
export const interpolate = (text: string, environment: Environment): Interpolated => {
  const unset: string[] = [];
  const malformed: string[] = [];
  let result = "";
  let expanded = false;
  let whole = false;
  let position = 0;
  // Each turn moves past one "${" or stops, so the work stays linear in the text whatever it holds.
  for (;;) {
    const open = text.indexOf("${", position);
    if (open === -1) break;
    if (open > position && text[open - 1] === "$") {
      result += `${text.slice(position, open - 1)}\${`;
      position = open + 2;
      continue;
    }
    const close = text.indexOf("}", open);
    if (close === -1) {
      malformed.push(text.slice(open));
      break;
    }
    const match = reference.exec(text.slice(open + 2, close));
    const name = match?.[1];
    if (name === undefined) {
      malformed.push(text.slice(open, close + 1));
    } else {
      const value = lookUp(name, match?.[2], environment);
      if (value === undefined) unset.push(name);
      result += text.slice(position, open) + (value ?? "");
      expanded = true;
      whole = open === 0 && close === text.length - 1;
    }
    position = close + 1;
  }
  return { text: result + text.slice(position), expanded, whole, unset, malformed };
};

const coreNumber = /^(?:[-+]?(?:\.\d+|\d+(?:\.\d*)?)(?:[eE][-+]?\d+)?|0o[0-7]+|0x[0-9a-fA-F]+)$/;
const coreTrue = new Set(["true", "True", "TRUE"]);
const coreFalse = new Set(["false", "False", "FALSE"]);

/**
 * Reads a text as the YAML 1.2 core schema would read it unquoted, for numbers and booleans only: an empty variable
 * or one that says `null` stays text.
 */
export const coreScalar = (text: string): string | number | boolean => {
  if (coreTrue.has(text)) return true;
  if (coreFalse.has(text)) return false;
  if (!coreNumber.test(text)) return text;
  const number = Number(text);
  return Number.isFinite(number) ? number : text;
};
