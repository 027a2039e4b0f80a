/** What a command of the command line is, and what it is given. */
import type { OptionSpec, ParsedArguments } from "./arguments.ts";

/** The process as a command sees it; a test gives it another one. */
export interface CommandContext {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly directory: string;
  /** Aborted when the command must stop: Ctrl-C, SIGTERM, hangup, or the end of whoever started it. */
  readonly signal: AbortSignal;
  /** Standard output: what was asked for. */
  readonly out: (text: string) => void;
  /** Standard error: everything else. */
  readonly err: (text: string) => void;
  readonly terminal: Terminal;
}

export interface Terminal {
  /** Characters in a line of standard output and of standard error; undefined where that is no terminal. */
  readonly outColumns: number | undefined;
  readonly errColumns: number | undefined;
  /** Whether standard error is shown in colours. */
  readonly color: boolean;
  /** Whether block characters can be shown. */
  readonly unicode: boolean;
}

export interface Command {
  readonly name: string;
  readonly summary: string;
  /** The line that shows how it is called. */
  readonly usage: string;
  /** Text below the usage line. */
  readonly about: string;
  readonly options: Readonly<Record<string, OptionSpec>>;
  /** Left out of the list of commands: not for people. */
  readonly internal?: true;
  /** @returns the exit code */
  run(args: ParsedArguments, context: CommandContext): Promise<number>;
}
