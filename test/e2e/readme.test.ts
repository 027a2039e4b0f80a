/** What the README tells a newcomer to do, done. */
import { execFile, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { dirname, delimiter } from "node:path";
import { promisify } from "node:util";
import * as v from "valibot";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ask, type Server, startServer, temporaryDirectory } from "./server.ts";

const run = promisify(execFile);

/** The code block of a page behind `<!-- run: name -->`. */
const block = (name: string, page = "README.md"): string => {
  const text = readFileSync(page, "utf8");
  const code = new RegExp(`<!-- run: ${name} -->\\n\`\`\`\\w+\\n([\\s\\S]*?)\`\`\``).exec(text)?.[1];
  if (code === undefined) throw new Error(`${page} has no block ${name}`);
  return code;
};

/** In the root, as the pages say: the package finds itself by its name there. */
const runInRoot = async (code: string, environment: Record<string, string> = {}): Promise<{ stdout: string }> => {
  const file = `page-${randomUUID()}.ts`;
  await writeFile(file, code);
  try {
    return await run(process.execPath, [file], { env: { ...process.env, ...environment } });
  } finally {
    await rm(file);
  }
};

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
let server: Server;
beforeAll(async () => {
  directory = await temporaryDirectory();
  server = await startServer(directory.path);
});
afterAll(async () => {
  await server.stop();
  await directory.remove();
});

const Results = v.object({
  exposures: v.number(),
  subjects: v.record(v.string(), v.number()),
  outcomes: v.record(v.string(), v.object({ arms: v.record(v.string(), v.object({ sum: v.number() })) })),
});

test("the walkthrough takes the declared experiment to Running, and the quickstart is counted", async () => {
  const path = `${dirname(process.execPath)}${delimiter}${process.env["PATH"] ?? ""}`;
  const walkthrough = block("walkthrough").replaceAll("http://127.0.0.1:8787", server.url);
  const { stdout } = await run("bash", ["-euc", walkthrough], { env: { ...process.env, PATH: path } });
  expect(stdout).toContain('"code":"approval-required"');
  expect((await ask(server.url, "author", "GET", "checkout-redesign")).body).toMatchObject({
    state: "Running",
    liveVersion: 1,
  });

  const quickstart = block("quickstart");
  expect(quickstart.trim().split("\n").length).toBeLessThanOrEqual(17);
  const { stdout: said } = await runInRoot(quickstart, { PROVISO_URL: server.url });
  expect(said).toContain("rules of 1 experiments");
  const read = async (): Promise<v.InferOutput<typeof Results>> =>
    v.parse(Results, (await ask(server.url, "author", "GET", "checkout-redesign/results")).body);
  await expect.poll(async () => (await read()).exposures, { timeout: 20_000 }).toBe(1_000);
  const { subjects, outcomes } = await read();
  expect((subjects["control"] ?? 0) + (subjects["treatment"] ?? 0)).toBe(1_000);
  // Every fourth user who was served one page: about an eighth of all.
  expect(outcomes["purchase"]?.arms["treatment"]?.sum).toBeGreaterThan(80);
  expect(outcomes["purchase"]?.arms["control"]?.sum).toBe(0);
});

test("the embedding page governs and serves in one process", async () => {
  const { stdout } = await runInRoot(block("embedding", "docs/embedding.md"));
  expect(stdout).toMatch(/^Hello(\.|, friend!)\n1 exposure\n$/);
});

test("the same application serves in Node", async () => {
  const file = `page-${randomUUID()}.ts`;
  await writeFile(file, block("node", "docs/embedding.md"));
  const child = spawn(process.execPath, [file], {
    env: { ...process.env, PORT: "0" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    const url = await new Promise<string>((resolve, reject) => {
      let said = "";
      child.stdout.on("data", (chunk: unknown) => {
        said += String(chunk);
        const found = /listening on (\S+)\n/.exec(said)?.[1];
        if (found !== undefined) resolve(found);
      });
      child.once("exit", () => reject(new Error(`it ended: ${said}`)));
    });
    const configuration = { variants: [{ key: "control", control: true }, { key: "treatment" }] };
    expect((await ask(url, "author", "POST", "checkout/versions", { configuration })).status).toBe(201);
    const moved = await ask(url, "author", "POST", "checkout/lifecycle/transition", { targetState: "PendingApproval" });
    expect(moved.body).toMatchObject({ newState: "PendingApproval" });
    expect((await ask(url, "author", "GET", "checkout/results")).body).toMatchObject({ code: "not-found" });
  } finally {
    child.kill("SIGTERM");
    await rm(file);
  }
});
