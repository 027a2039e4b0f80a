/** A call of the command line inside the test's own process: nobody's terminal, no environment, and texts that are kept. */
import type { CommandContext } from "../../cli/command.ts";
import { CliFailure } from "../../cli/failure.ts";
import { run } from "../../cli/run.ts";

export interface Said {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

interface Call {
  readonly said: () => Omit<Said, "code">;
  readonly code: Promise<number>;
}

const call = (args: readonly string[], changes: Partial<CommandContext>): Call => {
  let [out, err] = ["", ""];
  const code = run(args, {
    environment: {},
    directory: ".",
    signal: new AbortController().signal,
    out: (text) => void (out += text),
    err: (text) => void (err += text),
    terminal: { outColumns: undefined, errColumns: undefined, color: false, unicode: true },
    ...changes,
  });
  return { said: () => ({ out, err }), code };
};

/** Rejects with what the command failed with. */
export const runCommand = async (args: readonly string[], changes: Partial<CommandContext> = {}): Promise<Said> => {
  const { said, code } = call(args, changes);
  return { code: await code, ...said() };
};

/** As the process answers: a failure is one more text on standard error, and an exit code. */
export const runProcess = async (args: readonly string[], changes: Partial<CommandContext> = {}): Promise<Said> => {
  const { said, code } = call(args, changes);
  try {
    return { code: await code, ...said() };
  } catch (error) {
    const { out, err } = said();
    const message = error instanceof Error ? error.message : String(error);
    return { code: error instanceof CliFailure ? error.exitCode : 1, out, err: err + message };
  }
};
