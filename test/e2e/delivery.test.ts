/** The Worker delivers: rules, notices and audit records, after a SIGKILL as well, and whatever one of them does. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";
import * as v from "valibot";
import { expect, test } from "vitest";
import { parseRuleSet } from "../../src/evaluation/parse-rules.ts";
import { rulesKey } from "../../src/evaluation/rules-key.ts";
import { verifyChain } from "../../src/governance/chain.ts";
import { defaultScope } from "../../src/scope.ts";
import { type HttpReceiver, startReceiver } from "../support/receiver.ts";
import { ask, type Server, start, startServer, temporaryDirectory } from "./server.ts";

const secret = `whsec_${btoa("k".repeat(32))}`;

interface World {
  readonly notices: HttpReceiver;
  readonly audit: HttpReceiver;
  readonly traces: HttpReceiver;
  readonly server: () => Server;
  readonly restart: () => Promise<void>;
  /** Kills the server, and reads what it has put into KV: `first: Running`, with `killed` where a kill switch is on. */
  readonly killAndReadKv: () => Promise<readonly string[]>;
}

const kvIn = async (state: string): Promise<readonly string[]> => {
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      modules: true,
      script: "",
      cf: false,
      kvNamespaces: { RULES: "rules" },
      resourcePersistencePath: state,
    }),
  );
  try {
    const text = await (await miniflare.getKVNamespace("RULES")).get(rulesKey(defaultScope), "text");
    const { experiments } = parseRuleSet(JSON.parse(text ?? "null"));
    return experiments.map(({ name, state: at, killed }) => `${name}: ${at}${killed === true ? ", killed" : ""}`);
  } finally {
    await miniflare.dispose();
  }
};

const inWorld = async (work: (world: World) => Promise<void>): Promise<void> => {
  const directory = await temporaryDirectory();
  const [notices, audit, traces] = [await startReceiver(), await startReceiver(), await startReceiver()];
  const dsl = join(directory.path, "proviso.yaml");
  await writeFile(
    dsl,
    `governance:
  approvalGates: [{ type: manual, from: PendingApproval, to: Approved }]
  notices:
    - { type: webhook, name: team, url: "${notices.url}", secret: HOOK_SECRET, kinds: [committed, rolledBack] }
  audit:
    - { type: webhook, url: "${audit.url}", secret: HOOK_SECRET }
  rules: { kv: RULES }
  telemetry: { metrics: public, traces: { url: "${traces.url}" } }
`,
  );
  process.env["HOOK_SECRET"] = secret;
  let server = await startServer(join(directory.path, "state"), dsl);
  try {
    await work({
      notices,
      audit,
      traces,
      server: () => server,
      restart: async () => {
        await server.kill();
        server = await startServer(join(directory.path, "state"), dsl);
      },
      killAndReadKv: async () => {
        await server.kill();
        return kvIn(join(directory.path, "state"));
      },
    });
  } finally {
    delete process.env["HOOK_SECRET"];
    await server.kill();
    await Promise.all([notices.close(), audit.close(), traces.close(), directory.remove()]);
  }
};

const Message = v.object({ data: v.object({ seq: v.number(), kind: v.string(), summary: v.string() }) });
const noticesIn = ({ arrived }: HttpReceiver) => arrived.map(({ body }) => v.parse(Message, JSON.parse(body)).data);

const Records = v.object({
  data: v.object({ records: v.array(v.object({ experiment: v.string(), event: v.looseObject({ seq: v.number() }) })) }),
});
/** Audit records of an experiment, each once, in order of arrival. */
const eventsIn = ({ arrived }: HttpReceiver, experiment: string) => {
  const records = arrived.flatMap(({ body }) => v.parse(Records, JSON.parse(body)).data.records);
  const events = records.filter((record) => record.experiment === experiment).map(({ event }) => event);
  return [...new Map(events.map((event) => [event.seq, event])).values()];
};

const Rules = v.object({ experiments: v.array(v.object({ name: v.string(), state: v.string() })) });
const rulesOf = async (url: string): Promise<Readonly<Record<string, string>>> => {
  const response = await fetch(`${url}/api/rules`);
  const { experiments } = v.parse(Rules, await response.json());
  return Object.fromEntries(experiments.map(({ name, state }) => [name, state]));
};

const move = async (url: string, name: string, targetState: string): Promise<void> => {
  const { status } = await ask(url, "author", "POST", `${name}/lifecycle/transition`, { targetState });
  expect(status).toBe(200);
};

const Page = v.object({ events: v.array(v.unknown()) });
const lengthOf = async (url: string, name: string): Promise<number> =>
  v.parse(Page, (await ask(url, "author", "GET", `${name}/audit?limit=100`)).body).events.length;

test("what is committed is published, told and recorded; a dead webhook holds up nothing else, and shows", async () => {
  await inWorld(async ({ notices, audit, traces, server, killAndReadKv }) => {
    const { url } = server();
    await start(url, "first");
    await expect
      .poll(() => noticesIn(notices).map(({ summary }) => summary))
      .toEqual(["first: Draft → PendingApproval", "first: PendingApproval → Approved", "first: Approved → Running"]);
    await expect.poll(() => rulesOf(url)).toEqual({ first: "Running" });
    const etag = (await fetch(`${url}/api/rules`)).headers.get("etag") ?? "";
    const again = await fetch(`${url}/api/rules`, { headers: { "if-none-match": etag } });
    expect([again.status, await again.text()]).toEqual([304, ""]);
    expect(await (await fetch(`${url}/health`)).json()).toEqual({ status: "healthy", dependencies: { d1: "healthy" } });

    // Objects and requests share an isolate here, as they may, and its metrics.
    const metrics = await (await fetch(`${url}/metrics`)).text();
    expect(metrics).toContain('proviso_requests_total{route="transition",status="200"} 3');
    expect(metrics).toContain('proviso_commands_total{type="Transition",outcome="done",code=""} 3');
    expect(metrics).toMatch(/proviso_deliveries_total\{subscriber="(?:rules|notices:team)",outcome="ok"\} \d/);
    const spans = (): string => traces.arrived.map(({ body }) => body).join("");
    await expect.poll(spans).toContain("proviso.decision");
    expect(spans()).toContain("proviso.request");

    notices.next.push(...Array.from({ length: 20 }, () => 500));
    await move(url, "first", "Paused");
    await expect.poll(() => rulesOf(url)).toEqual({ first: "Paused" });
    await expect.poll(async () => eventsIn(audit, "first").length).toBe(await lengthOf(url, "first"));
    expect(verifyChain(eventsIn(audit, "first"))).toMatchObject({ valid: true });
    await expect
      .poll(async () => (await fetch(`${url}/health`)).json(), { timeout: 30_000, interval: 500 })
      .toEqual({ status: "degraded", dependencies: { d1: "healthy", "notices:team": "degraded" } });
    expect((await fetch(`${url}/health`)).status).toBe(200);
    expect(await killAndReadKv()).toEqual(["first: Paused"]);
  });
});

test(
  "killed between commit and delivery: everything arrives after the restart, in order",
  { timeout: 180_000 },
  async () => {
    await inWorld(async ({ notices, audit, server, restart, killAndReadKv }) => {
      await start(server().url, "killed");
      await expect.poll(() => noticesIn(notices)).toHaveLength(3);
      // The receivers take nothing, so that what is committed now is undelivered when the server dies.
      for (const receiver of [notices, audit]) receiver.next.push(...Array.from({ length: 4 }, () => "hang" as const));
      await move(server().url, "killed", "Paused");
      await move(server().url, "killed", "Running");
      expect((await ask(server().url, "author", "POST", "killed/kill-switch", { on: true })).status).toBe(200);
      await restart();
      for (const receiver of [notices, audit]) receiver.next.length = 0;
      // Nobody asks for anything: the alarm that was set before the commit rings.
      const count = await lengthOf(server().url, "killed");
      await expect.poll(() => eventsIn(audit, "killed").length, { timeout: 60_000 }).toBe(count);
      expect(verifyChain(eventsIn(audit, "killed"))).toMatchObject({ valid: true, length: count });
      await expect.poll(() => new Set(noticesIn(notices).map(({ seq }) => seq)).size, { timeout: 60_000 }).toBe(6);
      const seqs = [...new Set(noticesIn(notices).map(({ seq }) => seq))];
      expect(seqs).toEqual(seqs.toSorted((one, other) => one - other));
      // The same notice has the same id, however often it came.
      const ids = notices.arrived.map(({ headers }) => headers["webhook-id"]);
      expect(new Set(ids).size).toBe(6);
      await expect.poll(() => rulesOf(server().url)).toEqual({ killed: "Running" });
      // KV can be read only where no server runs: should a kill come ahead of the write, the next server writes.
      const inKv = async (): Promise<readonly string[]> => {
        await sleep(500);
        const found = await killAndReadKv();
        if (found[0] !== "killed: Running, killed") await restart();
        return found;
      };
      await expect.poll(inKv, { timeout: 60_000 }).toEqual(["killed: Running, killed"]);
    });
  },
);
