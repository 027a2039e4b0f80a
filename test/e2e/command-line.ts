/** The built command line as a process of its own, and what it leaves behind. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

export interface Finished {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly out: string;
  readonly err: string;
}

export interface Running {
  readonly child: ChildProcess;
  readonly pid: number;
  /** Everything written so far, to both outputs. */
  output(): string;
  /** Resolves when the text has been written; rejects when the process ends before. */
  says(text: string): Promise<void>;
  readonly finished: Promise<Finished>;
}

/** Runs a command in a process group of its own. */
export const start = (
  command: readonly [string, ...string[]],
  environment: Readonly<Record<string, string>> = {},
  directory = process.cwd(),
): Running => {
  const [file, ...args] = command;
  const child = spawn(file, args, {
    detached: true,
    cwd: directory,
    env: { ...process.env, ...environment },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const { pid } = child;
  if (pid === undefined) throw new Error(`${file} did not start`);
  let [out, err] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (err += text));
  const finished = once(child, "close").then((): Finished => ({
    code: child.exitCode,
    signal: child.signalCode,
    out,
    err,
  }));
  return {
    child,
    pid,
    output: () => out + err,
    finished,
    async says(text) {
      while (!(out + err).includes(text)) {
        if (child.exitCode !== null || child.signalCode !== null) {
          throw new Error(`it ended before it said ${JSON.stringify(text)}:\n${out}${err}`);
        }
        await sleep(20);
      }
    },
  };
};

/** `proviso …`, from the build. */
export const proviso = (args: readonly string[], environment: Readonly<Record<string, string>> = {}): Running =>
  start([process.execPath, "dist/cli/main.js", ...args], environment);

interface ProcessRow {
  readonly pid: number;
  readonly parent: number;
  readonly state: string;
}

/** From `/proc`; a dead process that nobody has asked about is no longer at work. */
const processes = (): readonly ProcessRow[] =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const stat = readFileSync(`/proc/${name}/stat`, "latin1");
        const [state = "", parent = ""] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
        return [{ pid: Number(name), parent: Number(parent), state }];
      } catch {
        return [];
      }
    })
    .filter(({ state }) => state !== "Z" && state !== "X");

/** A process and everything below it, as it is now. */
export const familyOf = (pid: number): readonly number[] => {
  const all = processes();
  const family = [pid];
  for (const member of family) family.push(...all.filter(({ parent }) => parent === member).map((one) => one.pid));
  return family;
};

/** Waits until none of these processes is left; gives those that are after all. */
export const remaining = async (pids: readonly number[], withinMs = 15_000): Promise<readonly number[]> => {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const alive = new Set(processes().map(({ pid }) => pid));
    const left = pids.filter((pid) => alive.has(pid));
    if (left.length === 0 || performance.now() > deadline) return left;
    await sleep(50);
  }
};
