/** From the process's arguments to a command, and from what becomes of it to an exit code. */
import { nearest } from "../src/config/nearest.ts";
import { printable } from "../src/report/text.ts";
import { describeOptions, parseArguments } from "./arguments.ts";
import type { Command, CommandContext } from "./command.ts";
import { archive } from "./commands/archive.ts";
import { backtest } from "./commands/backtest.ts";
import { bundle } from "./commands/bundle.ts";
import { copy } from "./commands/copy.ts";
import { dev } from "./commands/dev.ts";
import { erase } from "./commands/erase.ts";
import { exportCommand } from "./commands/export.ts";
import { importCommand } from "./commands/import.ts";
import { key } from "./commands/key.ts";
import { migrate } from "./commands/migrate.ts";
import { replay } from "./commands/replay.ts";
import { report } from "./commands/report.ts";
import { token } from "./commands/token.ts";
import { validate } from "./commands/validate.ts";
import { verify } from "./commands/verify.ts";
import { CliFailure, messageOf, usageFailure } from "./failure.ts";
import { createLifetime } from "./lifetime.ts";
import { packageVersion } from "./package-root.ts";

const commands: readonly Command[] = [
  dev,
  validate,
  migrate,
  replay,
  report,
  token,
  verify,
  backtest,
  exportCommand,
  importCommand,
  copy,
  archive,
  erase,
  key,
  bundle,
];

const overview = (): string => {
  const listed = commands.filter((command) => command.internal !== true);
  const width = Math.max(...listed.map(({ name }) => name.length));
  return `proviso: governed experiments

Usage: proviso <command> [options]

${listed.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`).join("\n")}

proviso <command> --help says more about one of them. proviso --version prints the version.
`;
};

const helpOf = (command: Command): string =>
  `${command.summary}\n\nUsage: ${command.usage}\n\n${command.about}\n\n${describeOptions(command.options)}\n`;

const findCommand = (name: string): Command => {
  const command = commands.find((candidate) => candidate.name === name);
  if (command !== undefined) return command;
  const names = commands.filter((candidate) => candidate.internal !== true).map((candidate) => candidate.name);
  const meant = nearest(name, names);
  throw usageFailure(
    `unknown command ${name}; ${meant === undefined ? `there are ${names.join(", ")}` : `did you mean ${meant}?`}`,
  );
};

/** Runs one command line. Failures become one sentence on standard error. */
export const run = async (args: readonly string[], context: CommandContext): Promise<number> => {
  const [name, ...rest] = args;
  if (name === undefined) {
    context.err(overview());
    return 2;
  }
  if (name === "--help" || name === "-h" || name === "help") {
    const about = rest[0];
    context.out(about === undefined || about.startsWith("-") ? overview() : helpOf(findCommand(about)));
    return 0;
  }
  if (name === "--version" || name === "-v") {
    context.out(`${packageVersion()}\n`);
    return 0;
  }
  const command = findCommand(name);
  const parsed = parseArguments(rest, command.options);
  if (parsed.has("help")) {
    context.out(helpOf(command));
    return 0;
  }
  return command.run(parsed, context);
};

/** A reader that goes away (`proviso replay … | head`) ends the writing, not with a stack. */
const endQuietlyOnBrokenPipe = (): void => {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));
  process.stderr.on("error", () => undefined);
};

const isUnicode = (environment: NodeJS.ProcessEnv): boolean => {
  const locale = environment["LC_ALL"] || environment["LC_CTYPE"] || environment["LANG"] || "";
  if (locale === "C" || locale === "POSIX") return false;
  return locale === "" || /utf-?8/i.test(locale);
};

/** Runs this process's own command line and leaves its exit code. */
export const runProcess = async (): Promise<void> => {
  endQuietlyOnBrokenPipe();
  const lifetime = createLifetime(process.env, (code) => process.exit(code));
  try {
    process.exitCode = await run(process.argv.slice(2), {
      environment: process.env,
      directory: process.cwd(),
      signal: lifetime.signal,
      out: (text) => process.stdout.write(text),
      err: (text) => process.stderr.write(text),
      terminal: {
        outColumns: process.stdout.isTTY ? process.stdout.columns : undefined,
        errColumns: process.stderr.isTTY ? process.stderr.columns : undefined,
        color: process.stderr.isTTY && (process.env["NO_COLOR"] ?? "") === "",
        unicode: isUnicode(process.env),
      },
    });
  } catch (error) {
    const stoppedWith = lifetime.stoppedWith();
    if (stoppedWith !== undefined) {
      process.stderr.write("proviso: stopped\n");
      process.exitCode = stoppedWith;
    } else {
      process.stderr.write(`proviso: ${printable(messageOf(error))}\n`);
      process.exitCode = error instanceof CliFailure ? error.exitCode : 1;
    }
  } finally {
    lifetime.end();
  }
};
