/** A real redis-server as a child process on a free port of the loopback, ended by its process id. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import ioredis from "ioredis";

export interface RedisServer {
  readonly port: number;
  /** Ends it at once and waits until it is gone. */
  stop(): Promise<void>;
}

/** Why there can be no server here; null when there can. */
export const redisMissing = (): string | null =>
  spawnSync("redis-server", ["--version"]).status === 0 ? null : "redis-server is not installed";

const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("no free port");
  return address.port;
};

const end = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
};

const answers = async (port: number): Promise<boolean> => {
  const redis = new ioredis.Redis({ port, host: "127.0.0.1", lazyConnect: true, retryStrategy: () => null });
  redis.on("error", () => undefined);
  try {
    await redis.connect();
    return (await redis.ping()) === "PONG";
  } catch {
    return false;
  } finally {
    redis.disconnect();
  }
};

/** A minute: machines are shared. */
const attemptsMax = 2_400;

/** @param options further command-line options, e.g. `["--maxmemory-policy", "allkeys-lru"]` */
export const startRedis = async (
  options: readonly string[] = [],
  wanted: { readonly port?: number } = {},
): Promise<RedisServer> => {
  const port = wanted.port ?? (await freePort());
  const place = ["--port", String(port), "--bind", "127.0.0.1"];
  // Nothing on disk but what a replica receives, and a replica that asks is served at once.
  const folder = await mkdtemp(join(tmpdir(), "proviso-redis-"));
  const memory = ["--dir", folder, "--save", "", "--appendonly", "no"];
  const fixed = [...place, ...memory, "--repl-diskless-sync-delay", "0"];
  const child = spawn("redis-server", [...fixed, ...options], { stdio: "ignore" });
  const failed = new Promise<never>((_resolve, reject) => {
    child.once("error", reject);
  });
  // Without a listener of its own, a failure that comes later would end the process.
  failed.catch(() => undefined);
  // A test run that is ended in the middle must leave nothing behind.
  const orphaned = (): void => void child.kill("SIGKILL");
  process.once("exit", orphaned);
  const stop = async (): Promise<void> => {
    process.off("exit", orphaned);
    await end(child);
    await rm(folder, { recursive: true, force: true });
  };
  try {
    for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
      if (child.exitCode !== null) throw new Error(`redis-server ended with ${child.exitCode}`);
      if (await Promise.race([answers(port), failed])) return { port, stop };
      await sleep(25);
    }
    throw new Error("redis-server does not answer");
  } catch (error) {
    await stop();
    throw error;
  }
};
