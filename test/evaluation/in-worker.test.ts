/**
 * The SDK inside workerd, over several requests. There, and only there, a promise, a timer or a fetch belongs to the
 * request that made it: an SDK that shares one between requests works everywhere else and loses events here.
 */
import { once } from "node:events";
import { createServer } from "node:http";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";
import * as v from "valibot";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { rule, ruleSet } from "./fixtures.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const BodySchema = v.object({ events: v.array(v.object({ eventId: v.string() })) });
const HealthSchema = v.object({ status: v.string(), atGlobalScope: v.string(), errors: v.array(v.string()) });

type Mode = "works" | "fails" | "hangs";
let mode: Mode = "works";
const ids = new Set<string>();

/** Rules and ingest, as the Worker's far side. */
const server = createServer((request, response) => {
  const answer = async (): Promise<void> => {
    const body = await text(request);
    if (request.url?.startsWith("/api/rules") === true) {
      response.writeHead(200, { etag: '"1"' }).end(JSON.stringify(ruleSet(rule())));
    } else if (mode === "works") {
      const { events } = v.parse(BodySchema, JSON.parse(body));
      for (const { eventId } of events) ids.add(eventId);
      response.writeHead(202).end(JSON.stringify({ accepted: events.length, rejected: [] }));
    } else if (mode === "fails") {
      response.writeHead(503).end();
    }
  };
  void answer();
});

const program = (base: string): string => `
  import { createExperiments } from "./src/evaluation/experiments.ts";
  import { httpRules } from "./src/evaluation/rules.ts";
  import { httpSink } from "./adapters/sink/http.ts";
  const errors = [];
  const experiments = createExperiments({
    rules: httpRules({ url: "${base}", refreshMs: 50 }),
    sink: httpSink({ url: "${base}", timeoutMs: 400 }),
    buffer: { backoffMs: 20, sendTimeoutMs: 600 },
    onError: (error) => errors.push(String(error)),
  });
  const atGlobalScope = experiments.expose("checkout", "user-0").errorCode;
  const serve = experiments.trial("checkout", { control: async () => "control", treatment: async () => "treatment" });
  export default {
    async fetch(request, env, context) {
      const { pathname } = new URL(request.url);
      if (pathname === "/health") return Response.json({ ...experiments.health(), atGlobalScope, errors });
      await experiments.ready();
      const answer = await serve.for(pathname)();
      if (!pathname.startsWith("/forgetful")) experiments.waitUntil(context);
      return new Response(answer);
    },
  };`;

let worker: Miniflare | undefined;

const call = async (path: string): Promise<string> => {
  if (worker === undefined) throw new Error("no worker");
  const response = await worker.dispatchFetch(`http://worker.example${path}`);
  return response.text();
};

/** The number of events that are there, once it is the expected one or has had its time. */
const arrived = async (expected: number): Promise<number> => {
  await vi.waitUntil(() => ids.size >= expected, { timeout: 10_000, interval: 20 }).catch(() => {});
  return ids.size;
};

const health = async (): Promise<v.InferOutput<typeof HealthSchema>> =>
  v.parse(HealthSchema, JSON.parse(await call("/health")));

beforeAll(async () => {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const base = `http://127.0.0.1:${typeof address === "object" ? address?.port : ""}`;
  const { outputFiles } = await build({
    stdin: { contents: program(base), resolveDir: root, loader: "ts" },
    bundle: true,
    format: "esm",
    platform: "neutral",
    write: false,
  });
  worker = new Miniflare(
    convertV4MiniflareOptions({
      host: "127.0.0.1",
      port: 0,
      cf: false,
      modules: true,
      script: outputFiles[0]?.text ?? "",
      compatibilityDate: "2026-10-01",
      compatibilityFlags: ["nodejs_compat"],
    }),
  );
  await worker.ready;
});

afterAll(async () => {
  await worker?.dispose();
  server.closeAllConnections();
  server.close();
});

describe("in a Worker", () => {
  test("evaluation at global scope throws nothing: there are no rules yet", async () => {
    expect((await health()).atGlobalScope).toBe("PROVIDER_NOT_READY");
  });

  test("each request's exposures arrive: one request after the other, and a hundred at once", async () => {
    const answers = new Set<string>();
    for (let index = 0; index < 20; index += 1) answers.add(await call(`/one-by-one-${index}`));
    expect(answers).toEqual(new Set(["control", "treatment"]));
    expect(await arrived(20)).toBe(20);
    await Promise.all(Array.from({ length: 100 }, (_, index) => call(`/at-once-${index}`)));
    expect(await arrived(120)).toBe(120);
    // Arriving late, after a send that died with its request, would show here.
    expect((await health()).errors).toEqual([]);
  });

  test("those of requests that waited for nothing go with the next that does", async () => {
    await Promise.all(Array.from({ length: 10 }, (_, index) => call(`/forgetful-${index}`)));
    await call("/careful");
    expect(await arrived(131)).toBe(131);
  });

  test("an outage loses none that the buffer can hold", async () => {
    mode = "fails";
    await Promise.all(Array.from({ length: 10 }, (_, index) => call(`/outage-${index}`)));
    mode = "works";
    await call("/after-the-outage");
    expect(await arrived(142)).toBe(142);
  });

  test("a send that never ends holds nothing up for good", async () => {
    mode = "hangs";
    await call("/into-the-void");
    mode = "works";
    await call("/after-the-void");
    expect(await arrived(144)).toBe(144);
    expect((await health()).status).toBe("healthy");
  });
});
