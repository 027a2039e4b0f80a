/** This process's side of the guard. */
import { spawn, type ChildProcess } from "node:child_process";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { basename, extname } from "node:path";
import { fileURLToPath } from "node:url";

export interface Guard {
  /** A directory that goes when this process ends. */
  removeAtEnd(directory: string): void;
  /** Lets the guard do its work and end. */
  release(): void;
}

const isStart = (message: unknown): message is { process: ChildProcess } =>
  typeof message === "object" && message !== null && "process" in message;

/**
 * Starts the guard. Every `workerd` that this process starts from now on is named to it: Node tells of each child on
 * the diagnostics channel `child_process`, because Miniflare keeps its child to itself and may replace it.
 */
export const startGuard = (): Guard => {
  const script = new URL(`./guard${extname(import.meta.filename)}`, import.meta.url);
  const child = spawn(process.execPath, [fileURLToPath(script)], {
    detached: true,
    windowsHide: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  // Without a guard only an ending by SIGKILL leaves something behind; nothing else depends on it.
  child.on("error", () => undefined);
  child.stdin.on("error", () => undefined);
  child.unref();
  const tell = (line: string): void => {
    if (child.stdin.writable) child.stdin.write(`${line}\n`);
  };
  const onChild = (message: unknown): void => {
    if (!isStart(message)) return;
    const started = message.process;
    started.once("spawn", () => {
      const { pid, spawnfile } = started;
      if (pid === undefined || !basename(spawnfile).startsWith("workerd")) return;
      tell(`+${pid}`);
      started.once("exit", () => tell(`-${pid}`));
    });
  };
  subscribe("child_process", onChild);
  return {
    removeAtEnd: (directory) => tell(`d${directory}`),
    release: () => {
      unsubscribe("child_process", onChild);
      child.stdin.end();
    },
  };
};
