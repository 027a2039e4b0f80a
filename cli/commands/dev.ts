/** `proviso dev`: the Worker on this machine, with its database, objects and queues. */
import { unwatchFile, watchFile } from "node:fs";
import { once } from "node:events";
import type { Command, CommandContext } from "../command.ts";
import { type DslFile, explain, findDsl, judgeDsl, namedFile, readDsl, summarize } from "../dsl-file.ts";
import { type EmbeddedWorker, type LogLevel, startEmbedded } from "../embedded.ts";
import { messageOf, usageFailure } from "../failure.ts";
import { startGuard } from "../guarded.ts";
import { assertUnused, markUsed } from "../state-lock.ts";

const defaultPort = 8787;
const watchIntervalMs = 300;

const portOf = (text: string | undefined): number => {
  if (text === undefined || text === "") return defaultPort;
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  if (port <= 65_535) return port;
  throw usageFailure(`PORT is ${JSON.stringify(text)}: it must be a number from 0 (any free port) to 65535`);
};

const describe = (file: DslFile, text: string, context: CommandContext): string => {
  const result = judgeDsl(file, text, context.environment);
  const problems = explain(result, text, context.terminal.color);
  return result.ok
    ? `${problems}  DSL    ${file.name}: ${summarize(result)}\n`
    : `${problems}  DSL    ${file.name} is not valid: every request is answered 500 until it is\n`;
};

/** The first answer, whatever it says: with an invalid DSL the Worker answers 500, and that is an answer. */
const firstAnswer = async (url: string, signal: AbortSignal): Promise<void> => {
  const response = await fetch(`${url}/health`, { signal: AbortSignal.any([signal, AbortSignal.timeout(30_000)]) });
  await response.body?.cancel();
};

/** Starts the Worker anew whenever the text of the file is another one. Polling sees what editors do by renaming. */
const reloadOnChange = (
  file: DslFile,
  initial: string,
  worker: EmbeddedWorker,
  context: CommandContext,
): (() => Promise<void>) => {
  let current = initial;
  let work = Promise.resolve();
  const reload = async (): Promise<void> => {
    const text = await readDsl(file);
    if (text === current || context.signal.aborted) return;
    current = text;
    context.err(`${file.name} has changed\n${describe(file, text, context)}`);
    await worker.reload(text);
    await firstAnswer(worker.url, context.signal);
    context.err(`  ready  ${worker.url}\n`);
  };
  const onChange = (): void => {
    work = work.then(reload).catch((error: unknown) => {
      if (!context.signal.aborted) context.err(`  ${messageOf(error)}; the Worker goes on with what it had\n`);
    });
  };
  watchFile(file.path, { interval: watchIntervalMs }, onChange);
  return () => {
    unwatchFile(file.path, onChange);
    return work;
  };
};

const logTo =
  (context: CommandContext) =>
  (level: LogLevel, message: string): void =>
    (level === "info" ? context.out : context.err)(`${message}\n`);

export const dev: Command = {
  name: "dev",
  summary: "serve the Worker on this machine, with embedded database, objects and queues",
  usage: "proviso dev [--state DIR]",
  about: `PORT=8787            where it listens, on 127.0.0.1 (0: any free port)
PROVISO_CONFIG=file  the DSL; default proviso.yaml here, else the example of the package. The Worker starts anew when
                     the file changes; while it is not valid, every request is answered 500.

Actor and roles are taken from the headers X-Proviso-Actor, X-Proviso-Roles and X-Proviso-Actor-Kind. Data stay in the
state directory. Ctrl-C stops everything.`,
  options: { state: { value: "DIR", help: "where data are kept (default .proviso/state)" } },
  async run(args, context) {
    const [extra] = args.positionals;
    if (extra !== undefined) throw usageFailure(`dev takes no argument (${extra}); the DSL is PROVISO_CONFIG=${extra}`);
    const port = portOf(context.environment["PORT"]);
    const state = namedFile(args.value("state") ?? ".proviso/state", context.directory);
    const file = findDsl(context);
    const text = await readDsl(file);
    await assertUnused(state.path, state.name);
    const guard = startGuard();
    try {
      const worker = await startEmbedded({
        port,
        stateDirectory: state.path,
        dslText: text,
        environment: context.environment,
        onLog: logTo(context),
      });
      try {
        const release = await markUsed(state.path, worker.url);
        context.err(describe(file, text, context));
        await firstAnswer(worker.url, context.signal);
        for (const name of worker.migrated) context.err(`  schema ${name} applied\n`);
        context.err(`  state  ${state.name}\n`);
        context.out(`proviso dev is ready on ${worker.url} (Ctrl-C stops it)\n`);
        const stopWatching = reloadOnChange(file, text, worker, context);
        if (!context.signal.aborted) await once(context.signal, "abort");
        await stopWatching();
        await release();
      } finally {
        await worker.stop();
      }
    } catch (error) {
      if (!context.signal.aborted) throw error;
    } finally {
      guard.release();
    }
    return 0;
  },
};
