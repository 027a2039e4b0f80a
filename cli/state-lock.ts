/** One server at a time on one state directory: two would each keep half of a database in memory. */
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { CliFailure } from "./failure.ts";

const lockFile = (directory: string): string => join(directory, "server");

/** A server that was killed left its address behind, and does not answer there. */
const answers = async (url: string): Promise<boolean> => {
  try {
    const response = await fetch(`${url}/health`, { signal: AbortSignal.timeout(2_000) });
    await response.body?.cancel();
    return true;
  } catch {
    return false;
  }
};

/** @throws CliFailure when another server is at work on the directory */
export const assertUnused = async (directory: string, name: string): Promise<void> => {
  await mkdir(directory, { recursive: true });
  const url = await readFile(lockFile(directory), "utf8").catch(() => "");
  if (/^http:\/\/127\.0\.0\.1:\d+$/.test(url) && (await answers(url))) {
    throw new CliFailure(`${url} already serves from ${name}: stop it, or choose another directory with --state DIR`);
  }
};

/** Leaves the address where the next one looks. */
export const markUsed = async (directory: string, url: string): Promise<() => Promise<void>> => {
  await writeFile(lockFile(directory), url);
  return () => rm(lockFile(directory), { force: true });
};
