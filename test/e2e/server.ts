/** The real server as a process group of its own, so that all of it can be killed at once. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as v from "valibot";

export interface Server {
  readonly url: string;
  /** SIGKILL to every process of the server at once: no time to write anything. */
  kill(): Promise<void>;
  /** SIGTERM, and the server puts itself away. */
  stop(): Promise<void>;
}

export const temporaryDirectory = async (): Promise<{
  readonly path: string;
  readonly remove: () => Promise<void>;
}> => {
  const path = await mkdtemp(join(tmpdir(), "proviso-e2e-"));
  return { path, remove: () => rm(path, { recursive: true, force: true, maxRetries: 5 }) };
};

const readyUrl = async (child: ChildProcess): Promise<string> => {
  let output = "";
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const listen = (chunk: unknown): void => {
    output += String(chunk);
    const url = /ready on (http:\/\/127\.0\.0\.1:\d+)/.exec(output)?.[1];
    if (url !== undefined) resolve(url);
  };
  child.stdout?.on("data", listen);
  child.stderr?.on("data", listen);
  child.once("error", reject);
  child.once("exit", (code) => reject(new Error(`the server ended with ${code} before it was ready:\n${output}`)));
  return promise;
};

/** Starts `proviso dev`, on a free port unless one is named. */
export const startServer = (stateDirectory: string, dsl = "proviso.yaml", port = 0): Promise<Server> =>
  startProcess(["dist/cli/main.js", "dev", "--state", stateDirectory], { PORT: String(port), PROVISO_CONFIG: dsl });

/** Starts a program of Node's that serves something, and says where: `ready on http://127.0.0.1:…`. */
export const startProcess = async (
  program: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<Server> => {
  const child = spawn(process.execPath, program, {
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...environment },
  });
  const { pid } = child;
  if (pid === undefined) throw new Error("the server did not start");
  const end = async (signal: "SIGKILL" | "SIGTERM"): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    process.kill(signal === "SIGKILL" ? -pid : pid, signal);
    await exited;
  };
  try {
    return { url: await readyUrl(child), kill: () => end("SIGKILL"), stop: () => end("SIGTERM") };
  } catch (error) {
    await end("SIGKILL");
    throw error;
  }
};

const Body = v.record(v.string(), v.unknown());

export interface Reply {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

export type Person = "author" | "approver";

const identities: Readonly<Record<Person, Record<string, string>>> = {
  author: { "x-proviso-actor": "author", "x-proviso-roles": "editor,operator" },
  approver: { "x-proviso-actor": "approver", "x-proviso-roles": "approver" },
};

/** One request as one of two people. Rejects when no answer came. */
export const ask = async (
  url: string,
  person: Person,
  method: "GET" | "POST",
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Reply> => {
  const response = await fetch(`${url}/api/governance/${path}`, {
    method,
    headers: { ...identities[person], ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: response.status, body: v.parse(Body, await response.json()) };
};

const Proposed = v.object({ proposal: v.object({ changeDigest: v.string() }) });

const expectStatus = (reply: Reply, status: number): Reply => {
  if (reply.status !== status)
    throw new Error(`expected ${status}, found ${reply.status}: ${JSON.stringify(reply.body)}`);
  return reply;
};

/** Creates an experiment and takes it through approval to Running. */
export const start = async (url: string, name: string, more: Readonly<Record<string, unknown>> = {}): Promise<void> => {
  const configuration = { variants: [{ key: "control", control: true }, { key: "treatment" }], ...more };
  expectStatus(await ask(url, "author", "POST", `${name}/versions`, { configuration }), 201);
  const move = (targetState: string): Promise<Reply> =>
    ask(url, "author", "POST", `${name}/lifecycle/transition`, { targetState });
  const { proposal } = v.parse(Proposed, expectStatus(await move("PendingApproval"), 200).body);
  expectStatus(
    await ask(url, "approver", "POST", `${name}/approvals`, {
      decision: "approve",
      changeDigest: proposal.changeDigest,
    }),
    201,
  );
  expectStatus(await move("Approved"), 200);
  expectStatus(await move("Running"), 200);
};
