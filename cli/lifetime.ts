/** When a command must stop: a signal, a closed terminal, or the end of the npm that started it. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import type { ExitCode } from "./failure.ts";

export interface Lifetime {
  readonly signal: AbortSignal;
  /** Exit code of whoever stopped it (128 + signal number); undefined while nobody has. */
  readonly stoppedWith: () => ExitCode | undefined;
  readonly end: () => void;
}

const exitCodes = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const satisfies Record<string, ExitCode>;
const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

const parentCheckMs = 500;

/** Parent of a process, or undefined when it is gone or the system does not say. */
const parentOf = (pid: number): number | undefined => {
  try {
    // "pid (name) state ppid …"; the name may hold anything, also brackets and blanks.
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
  } catch {
    if (process.platform === "linux" || process.platform === "win32") return undefined;
  }
  try {
    return Number(execFileSync("ps", ["-o", "ppid=", "-p", String(pid)], { encoding: "utf8", stdio: "pipe" }));
  } catch {
    return undefined;
  }
};

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
};

/**
 * npm starts a shell and the shell starts us. On SIGTERM npm stops the shell and goes, and nobody tells us: the server
 * would serve on, unseen, with the port taken. So the two above us are looked after, when npm is one of them; whoever
 * starts the command otherwise (a shell with `nohup`, a service manager) may leave it alone.
 */
const watchParents = (environment: NodeJS.ProcessEnv, onGone: () => void): (() => void) => {
  if (environment["npm_command"] === undefined) return () => undefined;
  const parent = process.ppid;
  const grandparent = parentOf(parent);
  // Elsewhere the parent's parent is asked for through a process of its own, which is too dear to do twice a second.
  const isCheap = process.platform === "linux";
  const timer = setInterval(() => {
    const orphaned =
      process.ppid !== parent ||
      (grandparent !== undefined && (isCheap ? parentOf(parent) !== grandparent : !isAlive(grandparent)));
    if (orphaned) onGone();
  }, parentCheckMs);
  timer.unref();
  return () => clearInterval(timer);
};

/**
 * Listens for whatever ends the process. The first signal asks; the second one does not ask any more.
 *
 * @param atOnce ends the process with this code
 */
export const createLifetime = (environment: NodeJS.ProcessEnv, atOnce: (code: ExitCode) => void): Lifetime => {
  const controller = new AbortController();
  let stoppedWith: ExitCode | undefined;
  const stop = (code: ExitCode): void => {
    if (stoppedWith !== undefined) return;
    stoppedWith = code;
    controller.abort();
  };
  const handlers = signals.map((name) => {
    // npm forwards what the terminal has already sent to the whole group: a second one at the same moment is the same.
    let first: number | undefined;
    const handler = (): void => {
      const now = Date.now();
      if (first !== undefined && now - first > 500) atOnce(exitCodes[name]);
      first ??= now;
      stop(exitCodes[name]);
    };
    process.on(name, handler);
    return { name, handler };
  });
  const unwatch = watchParents(environment, () => stop(exitCodes.SIGTERM));
  return {
    signal: controller.signal,
    stoppedWith: () => stoppedWith,
    end: () => {
      unwatch();
      for (const { name, handler } of handlers) process.off(name, handler);
    },
  };
};
