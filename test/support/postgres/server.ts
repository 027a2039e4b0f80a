/** Servers for tests: PostgreSQL as it is installed here, and the embedded one. Each ends with the test file. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import { PGLiteSocketServer } from "@electric-sql/pglite-socket";

export interface PostgresServer {
  readonly url: string;
  readonly port: number;
  stop(): Promise<void>;
}

const debianFolder = "/usr/lib/postgresql";

/** The folder with `initdb` and `postgres`, or null where there is none. */
const binaries = (): string | null => {
  const versions = existsSync(debianFolder) ? readdirSync(debianFolder) : [];
  const folders = [
    ...versions.toSorted((left, right) => Number(right) - Number(left)).map((name) => join(debianFolder, name, "bin")),
    ...(process.env["PATH"] ?? "").split(":"),
  ];
  return folders.find((folder) => existsSync(join(folder, "initdb")) && existsSync(join(folder, "postgres"))) ?? null;
};

/** What is missing here, in words; null where a server can be started. */
export const missingPostgres = (): string | null =>
  binaries() === null ? "PostgreSQL (initdb, postgres) is not installed" : null;

export const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new TypeError("no port");
  return address.port;
};

/** PostgreSQL refuses to run as root; the package has made a user for it. */
const servant = (): { readonly uid: number; readonly gid: number } | undefined => {
  if (process.getuid?.() !== 0) return undefined;
  const id = (flag: string): number => Number(execFileSync("id", [flag, "postgres"], { encoding: "utf8" }));
  return { uid: id("-u"), gid: id("-g") };
};

/** Resolves when the server says that it is ready; one that has ended instead says why. */
const ready = (child: ChildProcess): Promise<void> =>
  new Promise((resolve, reject) => {
    let log = "";
    child.once("error", reject);
    child.once("exit", () => reject(new Error(`PostgreSQL ended at once: ${log}`)));
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      log = (log + text).slice(-4_096);
      if (log.includes("ready to accept connections")) resolve();
    });
  });

/** A cluster of its own in a directory of its own, on loopback alone, ended by its process id also when this throws. */
export const startPostgres = async (): Promise<PostgresServer> => {
  const bin = binaries();
  if (bin === null) throw new Error(missingPostgres() ?? "");
  const home = mkdtempSync(join(tmpdir(), "proviso-postgres-"));
  let child: ChildProcess | undefined;
  const stop = async (): Promise<void> => {
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      // Fast shutdown: open connections are closed.
      child.kill("SIGINT");
      await once(child, "exit");
    }
    rmSync(home, { recursive: true, force: true });
  };
  try {
    const user = servant();
    if (user !== undefined) chownSync(home, user.uid, user.gid);
    const data = join(home, "data");
    const as = { ...user, cwd: home, env: { PATH: process.env["PATH"], LC_ALL: "C.UTF-8" } };
    // A collation that does not sort by code point, as most databases have: the schema must not depend on it.
    const initdb = ["-D", data, "-U", "proviso", "-A", "trust", "-E", "UTF8", "--no-sync", "--no-instructions"];
    execFileSync(join(bin, "initdb"), initdb, { ...as, stdio: "pipe" });
    const port = await freePort();
    const settings = [`port=${port}`, "listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off"];
    const started = spawn(join(bin, "postgres"), ["-D", data, ...settings.flatMap((setting) => ["-c", setting])], {
      ...as,
      stdio: ["ignore", "ignore", "pipe"],
    });
    child = started;
    await ready(started);
    const url = `postgres://proviso:any@127.0.0.1:${port}/postgres`;
    return { url, port, stop };
  } catch (error) {
    await stop();
    throw error;
  }
};

/** PostgreSQL as WebAssembly in this process, behind a socket. It runs one transaction at a time. */
export const startEmbedded = async (): Promise<PostgresServer> => {
  const database = await PGlite.create();
  const port = await freePort();
  const server = new PGLiteSocketServer({ db: database, port, host: "127.0.0.1", maxConnections: 20 });
  await server.start();
  return {
    url: `postgres://postgres:any@127.0.0.1:${port}/postgres?sslmode=disable`,
    port,
    async stop() {
      await server.stop();
      await database.close();
    },
  };
};
