/**
 * A process of its own that outlives the one that started it by a moment. When that one ends in any way, SIGKILL
 * included, its pipe closes here; what it would have left behind (the runtime, which does not notice, and directories
 * for temporary storage) is then removed.
 *
 * Lines on standard input: `+PID` and `-PID` for a process that started and one that ended, `dPATH` for a directory
 * that goes at the end. It runs detached, so Ctrl-C in the terminal does not reach it.
 */
import { rmSync } from "node:fs";
import { createInterface } from "node:readline";

const processes = new Set<number>();
const directories = new Set<string>();

const kill = (pid: number): void => {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended by itself, which is what was wanted.
  }
};

for await (const line of createInterface({ input: process.stdin })) {
  const value = line.slice(1);
  if (line.startsWith("+")) processes.add(Number(value));
  if (line.startsWith("-")) processes.delete(Number(value));
  if (line.startsWith("d")) directories.add(value);
}
for (const pid of processes) kill(pid);
for (const directory of directories) rmSync(directory, { recursive: true, force: true, maxRetries: 10 });
