/** Guardrails of the real Worker: events in through the queue, an alarm that rings by itself, the brake in the history. */
import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { promisify } from "node:util";
import * as v from "valibot";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ask, type Server, startServer, temporaryDirectory } from "./server.ts";

const run = promisify(execFile);
const dsl = "examples/governance/proviso.yaml";

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
let server: Server;
beforeAll(async () => {
  directory = await temporaryDirectory();
  server = await startServer(directory.path, dsl);
});
afterAll(async () => {
  await server.stop();
  await directory.remove();
});

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

test("docs/governance.md, from a draft to the brake", async () => {
  const page = readFileSync("docs/governance.md", "utf8");
  const code = /<!-- run: guardrail -->\n```ts\n([\s\S]*?)```/.exec(page)?.[1];
  if (code === undefined) throw new Error("the page has no block guardrail");
  const file = `page-${randomUUID()}.ts`;
  await writeFile(file, code);
  try {
    const { stdout } = await run(process.execPath, [file], { env: { ...process.env, PROVISO_URL: server.url } });
    expect(stdout.trim().split("\n")).toEqual([
      "Approved",
      "Ramping at 25 %: evidence-inconclusive",
      "RolledBack by system:guardrail",
      expect.stringMatching(/^error in one-page is 0\.\d+ above control's, at least 0\.\d+ at any look: beyond 0\.01$/),
      "Draft true",
    ]);
  } finally {
    await rm(file);
  }
});

const Moves = v.object({
  transitions: v.array(
    v.object({
      to: v.string(),
      actor: v.nullable(v.string()),
      guardrail: v.optional(v.record(v.string(), v.unknown())),
    }),
  ),
});
const Proposed = v.object({ proposal: v.object({ changeDigest: v.string() }) });

const movesOf = async (name: string) =>
  v.parse(Moves, (await ask(server.url, "author", "GET", `${name}/lifecycle/history`)).body).transitions;

const startWith = async (name: string, guardrails: readonly object[], more: object = {}): Promise<void> => {
  const configuration = {
    owner: "payments",
    description: "for the test",
    variants: [{ key: "control", control: true }, { key: "treatment" }],
    traffic: 50,
    guardrails,
    ...more,
  };
  const move = (targetState: string) =>
    ask(server.url, "author", "POST", `${name}/lifecycle/transition`, { targetState });
  await ask(server.url, "author", "POST", `${name}/versions`, { configuration });
  const { proposal } = v.parse(Proposed, (await move("PendingApproval")).body);
  await ask(server.url, "approver", "POST", `${name}/approvals`, {
    decision: "approve",
    changeDigest: proposal.changeDigest,
  });
  expect((await move("Running")).status).toBe(200);
};

/** Subjects exposed to an arm, of whom so many met an error. */
const send = async (
  name: string,
  variant: string,
  subjects: number,
  errors: number,
  headers: Record<string, string> = {},
  at = new Date(),
): Promise<{ accepted: number }> => {
  const timestamp = at.toISOString();
  const about = (subject: number) => ({ experimentName: name, subjectId: `${variant}-${subject}` });
  const events = Array.from({ length: subjects }, (_, subject) => subject).flatMap((subject) => [
    {
      eventId: randomUUID(),
      timestamp,
      eventType: "Exposure",
      payload: { ...about(subject), variantKey: variant, epoch: 0 },
    },
    ...(subject < errors
      ? [
          {
            eventId: randomUUID(),
            timestamp,
            eventType: "Error",
            payload: { ...about(subject), variantKey: variant, errorName: "TypeError" },
          },
        ]
      : []),
  ]);
  let accepted = 0;
  for (let start = 0; start < events.length; start += 1_000) {
    const response = await fetch(`${server.url}/api/events`, {
      method: "POST",
      headers,
      body: JSON.stringify({ events: events.slice(start, start + 1_000) }),
    });
    accepted += v.parse(v.object({ accepted: v.number() }), await response.json()).accepted;
  }
  return { accepted };
};

const exposuresOf = async (name: string): Promise<unknown> =>
  (await ask(server.url, "author", "GET", `${name}/results`)).body["exposures"];

test("it fires once, also when the server is killed before the alarm and after the brake", async () => {
  await startWith("killed", [
    { metric: "error", maximumIncrease: 0.01 },
    { metric: "error", maximum: 0.1 },
  ]);
  await send("killed", "control", 600, 3);
  await send("killed", "treatment", 600, 120);
  await expect.poll(() => exposuresOf("killed"), { timeout: 20_000 }).toBe(1_200);
  // Dead before or after the first look: which of the two does not matter.
  await server.kill();
  server = await startServer(directory.path, dsl);
  await expect.poll(async () => (await movesOf("killed")).at(-1)?.to, { timeout: 20_000 }).toBe("RolledBack");
  await server.kill();
  server = await startServer(directory.path, dsl);
  // Three intervals: whatever was still to ring has rung.
  await sleep(3_000);
  const pulled = (await movesOf("killed")).filter(({ guardrail }) => guardrail !== undefined);
  expect(pulled).toMatchObject([
    { to: "RolledBack", actor: "system:guardrail", guardrail: { metric: "error", variant: "treatment" } },
  ]);
  expect((await ask(server.url, "author", "GET", "killed/audit/verify")).body).toMatchObject({ valid: true });
}, 120_000);

test("what a browser's key sends neither counts nor is taken for an outcome; where control is no better it pauses", async () => {
  await startWith("from-pages", [{ metric: "error", maximum: 0.1 }]);
  const page = { "x-proviso-key": "browser" };
  // Exposures are taken, and the errors beside them are not.
  expect(await send("from-pages", "treatment", 300, 200, page)).toEqual({ accepted: 300 });
  await expect.poll(() => exposuresOf("from-pages"), { timeout: 20_000 }).toBe(300);
  await sleep(2_500);
  expect((await movesOf("from-pages")).at(-1)?.to).toBe("Running");
  // The same subjects, told by a server: now they count, each once.
  await send("from-pages", "treatment", 300, 200);
  await send("from-pages", "control", 300, 190);
  await expect
    .poll(async () => (await movesOf("from-pages")).at(-1), { timeout: 20_000 })
    .toMatchObject({
      to: "Paused",
      actor: "system:guardrail",
      guardrail: { figures: { controlBreaks: true } },
    });
  expect(String((await movesOf("from-pages")).at(-1)?.guardrail?.["why"])).toContain("rolling back cannot help");
}, 120_000);

test("notices are written once for a start, and stop nothing", async () => {
  await startWith("noticed", [{ metric: "error", maximum: 0.1, onViolation: "notify" }]);
  await send("noticed", "treatment", 300, 200);
  const Notices = v.object({ events: v.array(v.object({ data: v.record(v.string(), v.unknown()) })) });
  const notices = async () =>
    v.parse(Notices, (await ask(server.url, "author", "GET", "noticed/audit?types=GuardrailBroken")).body).events;
  await expect.poll(notices, { timeout: 20_000 }).toHaveLength(1);
  await sleep(2_500);
  expect(await notices()).toHaveLength(1);
  expect((await movesOf("noticed")).at(-1)?.to).toBe("Running");
}, 120_000);

test("a sample ratio mismatch pauses where the configuration says so", async () => {
  await startWith("tilted", [], { autoStop: [{ signal: "SampleRatioMismatch" }], plan: { sample: 1_000 } });
  // Older than the watermark, so that the next checkpoint counts them.
  const earlier = new Date(Date.now() - 10 * 60_000);
  await send("tilted", "control", 700, 0, {}, earlier);
  await send("tilted", "treatment", 400, 0, {}, earlier);
  await expect
    .poll(async () => (await movesOf("tilted")).at(-1), { timeout: 20_000 })
    .toMatchObject({
      to: "Paused",
      actor: "system:guardrail",
      guardrail: { metric: "sampleRatio", guardrail: "autoStop SampleRatioMismatch" },
    });
  // What crossed is told, each once: also when the same look has pulled the brake.
  const Signals = v.object({ events: v.array(v.object({ payload: v.object({ signalType: v.string() }) })) });
  const signals = async () =>
    v
      .parse(Signals, (await ask(server.url, "author", "GET", "tilted/signals")).body)
      .events.map(({ payload }) => payload.signalType)
      .toSorted();
  await expect.poll(signals, { timeout: 20_000 }).toEqual(["MinimumSampleReached", "SampleRatioMismatch"]);
  await send("tilted", "control", 100, 0, {}, earlier);
  await sleep(2_500);
  expect(await signals()).toEqual(["MinimumSampleReached", "SampleRatioMismatch"]);
}, 120_000);
