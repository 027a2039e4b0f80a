/** Arguments of one command, read by `node:util` and refused with a near miss where one is unknown. */
import { parseArgs } from "node:util";
import { nearest } from "../src/config/nearest.ts";
import { usageFailure } from "./failure.ts";

export interface OptionSpec {
  /** How the value is called in the help text; an option without one is a switch. */
  readonly value?: string;
  /** May be given several times. */
  readonly multiple?: true;
  /** What it does, for the help text. */
  readonly help: string;
}

export interface ParsedArguments {
  readonly positionals: readonly string[];
  /** The last word of an option that takes a value; undefined when it was not given. */
  value(name: string): string | undefined;
  values(name: string): readonly string[];
  has(name: string): boolean;
}

const help: OptionSpec = { help: "show this text" };

/**
 * @throws CliFailure (exit code 2) for an unknown option, a value where none belongs, a missing one, or one given twice
 * @example parseArguments(["a.csv", "--json"], { json: { help: "…" } }).has("json") // true
 */
export const parseArguments = (
  args: readonly string[],
  specs: Readonly<Record<string, OptionSpec>>,
): ParsedArguments => {
  const options = new Map([...Object.entries(specs), ["help", help] as const]);
  const { tokens } = parseArgs({
    args: [...args],
    strict: false,
    allowPositionals: true,
    tokens: true,
    options: {
      ...Object.fromEntries(
        [...options].map(([name, { value }]) => [
          name,
          { type: value === undefined ? ("boolean" as const) : ("string" as const), multiple: true },
        ]),
      ),
      help: { type: "boolean", short: "h", multiple: true },
    },
  });
  const given = new Map<string, string[]>();
  const positionals: string[] = [];
  for (const token of tokens) {
    if (token.kind === "positional") positionals.push(token.value);
    if (token.kind !== "option") continue;
    const { name, rawName, value } = token;
    const spec = options.get(name);
    if (spec === undefined) {
      const meant = nearest(name, [...options.keys()]);
      throw usageFailure(`unknown option ${rawName}${meant === undefined ? "" : `; did you mean --${meant}?`}`);
    }
    if (spec.value === undefined && value !== undefined) throw usageFailure(`${rawName} takes no value`);
    if (spec.value !== undefined && (value === undefined || value === "")) {
      throw usageFailure(`${rawName} wants a value: ${rawName} ${spec.value}`);
    }
    if (value?.startsWith("-") === true && token.inlineValue === false) {
      throw usageFailure(`${rawName} wants a value; one that begins with a dash is written ${rawName}=${value}`);
    }
    const values = given.get(name) ?? [];
    if (values.length > 0 && spec.value !== undefined && spec.multiple === undefined) {
      throw usageFailure(`${rawName} is given twice`);
    }
    given.set(name, [...values, value ?? ""]);
  }
  return {
    positionals,
    value: (name) => given.get(name)?.at(-1),
    values: (name) => given.get(name) ?? [],
    has: (name) => given.has(name),
  };
};

/** Aligned lines of the options, for a help text. */
export const describeOptions = (specs: Readonly<Record<string, OptionSpec>>): string => {
  const rows = Object.entries({ ...specs, help }).map(([name, spec]) => ({
    left: `--${name}${spec.value === undefined ? "" : ` ${spec.value}`}`,
    right: spec.help,
  }));
  const width = Math.max(...rows.map(({ left }) => left.length));
  return rows
    .map(({ left, right }) => `  ${left.padEnd(width)}  ${right.replaceAll("\n", `\n${" ".repeat(width + 4)}`)}`)
    .join("\n");
};

/** For a command that takes options alone. @throws a usage failure that names what was given */
export const refuseArguments = ({ positionals: [first] }: ParsedArguments, command: string, meant = ""): void => {
  if (first !== undefined) throw usageFailure(`${command} takes no argument (${first})${meant}`);
};
