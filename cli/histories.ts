/** What the commands about histories share: which ones are meant, files of theirs, and showing how far it has come. */
import { createReadStream } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { splitLines } from "../src/governance/export/lines.ts";
import { defaultScope, isName, type Scope } from "../src/scope.ts";
import type { OptionSpec, ParsedArguments } from "./arguments.ts";
import type { CommandContext, Terminal } from "./command.ts";
import { namedFile } from "./dsl-file.ts";
import { CliFailure, messageOf, usageFailure } from "./failure.ts";
import type { Place } from "./places/place.ts";
import { bar } from "../src/report/text.ts";

export const scopeOptions = {
  experiment: { value: "NAME", multiple: true, help: "only this one; may be given several times" },
  tenant: { value: "NAME", help: "default: default" },
  environment: { value: "NAME", help: "default: default" },
} as const satisfies Readonly<Record<string, OptionSpec>>;

/** For an argument where a command takes none. */
export const namedByOption = "; an experiment is named by --experiment NAME";

export const stateOption = {
  state: { value: "DIR", help: "where proviso dev keeps its data (default .proviso/state)" },
} as const satisfies Readonly<Record<string, OptionSpec>>;

export const stateDirectoryOf = (args: ParsedArguments): string => args.value("state") ?? ".proviso/state";

export const scopeOf = (args: ParsedArguments): Scope => {
  const scope = {
    tenant: args.value("tenant") ?? defaultScope.tenant,
    environment: args.value("environment") ?? defaultScope.environment,
  };
  for (const [part, name] of Object.entries(scope))
    if (!isName(name)) throw usageFailure(`--${part} ${name} is not a name`);
  return scope;
};

/** The experiments that are meant: those that were named, or all of the scope, in the order of their names. */
export const chosen = async (place: Place, scope: Scope, args: ParsedArguments): Promise<readonly string[]> => {
  const named = args.values("experiment");
  for (const name of named) if (!isName(name)) throw usageFailure(`--experiment ${name} is not a name`);
  if (named.length > 0) return [...new Set(named)];
  const found: string[] = [];
  for await (const name of place.list(scope)) found.push(name);
  return found;
};

/** The lines of a file; `-` is standard input. */
export const linesOfFile = (name: string, { directory }: Pick<CommandContext, "directory">): AsyncIterable<string> => {
  if (name === "-") return splitLines(process.stdin);
  const file = namedFile(name, directory);
  return splitLines(opened(file.path, file.name));
};

async function* opened(path: string, name: string): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of createReadStream(path)) {
      if (chunk instanceof Uint8Array) yield chunk;
    }
  } catch (cause) {
    const isMissing = cause instanceof Error && "code" in cause && cause.code === "ENOENT";
    throw new CliFailure(isMissing ? `there is no file ${name}` : `${name} cannot be read: ${messageOf(cause)}`, {
      cause,
    });
  }
}

/** Files that words name: a directory stands for its `.ndjson` files. */
export const filesIn = async (
  words: readonly string[],
  context: Pick<CommandContext, "directory">,
): Promise<readonly string[]> => {
  const found: string[] = [];
  for (const word of words) {
    const file = namedFile(word, context.directory);
    const isDirectory = word !== "-" && (await stat(file.path).catch(() => null))?.isDirectory() === true;
    if (!isDirectory) found.push(word);
    else
      found.push(
        ...(await readdir(file.path))
          .filter((name) => name.endsWith(".ndjson"))
          .toSorted()
          .map((name) => join(file.path, name)),
      );
  }
  return found;
};

const barMs = 100;
const barWidth = 24;

export interface Bar {
  /** @param share of the whole, 0 to 1 */
  update(share: number, what: string): void;
  /** Takes the bar away, so that what follows begins on a line of its own. */
  end(): void;
}

/** A bar on a terminal, and nothing elsewhere. */
export const createBar = ({
  err,
  terminal,
}: {
  readonly err: (text: string) => void;
  readonly terminal: Terminal;
}): Bar => {
  const { errColumns, unicode } = terminal;
  let last = -Infinity;
  let drawn = false;
  return {
    update(share, what) {
      const at = performance.now();
      if (errColumns === undefined || at - last < barMs) return;
      last = at;
      const filled = bar(share, barWidth, unicode).padEnd(barWidth, unicode ? "░" : ".");
      const line = `${filled} ${String(Math.floor(share * 100)).padStart(3)} %  ${what}`;
      err(`\r\u001B[2K${line.slice(0, errColumns - 1)}`);
      drawn = true;
    },
    end() {
      if (drawn) err("\r\u001B[2K");
      drawn = false;
    },
  };
};
