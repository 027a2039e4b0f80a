/** What is seen of the work: metrics that Prometheus reads, spans by a tracer or over OTLP, and nothing of people. */
import { AsyncLocalStorage } from "node:async_hooks";
import { context, trace, type Context, type ContextManager, ROOT_CONTEXT } from "@opentelemetry/api";
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base";
import * as v from "valibot";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { memoryStore } from "../../adapters/store/memory.ts";
import { createGovernance } from "../../src/governance/governance.ts";
import { createMetrics } from "../../src/observe/metrics.ts";
import {
  type Attributes,
  type Observer,
  observers,
  type Operation,
  unobserved,
  watched,
} from "../../src/observe/observer.ts";
import { openTelemetryObserver } from "../../src/observe/open-telemetry.ts";
import { otlpObserver } from "../../src/observe/otlp.ts";
import { observedStore } from "../../src/observe/store.ts";
import { listener } from "../delivery/support.ts";
import { approver, author, fullHistory, words } from "../notices/history.ts";
import { configuration, createApi } from "../support/api.ts";
import { startReceiver } from "../support/receiver.ts";

const people = [author.actor.id, approver.actor.id, words];

/** Every line is one of the format's; values by name and labels. */
const parse = (text: string): ReadonlyMap<string, number> => {
  expect(text.endsWith("\n")).toBe(true);
  const samples = text
    .trimEnd()
    .split("\n")
    .filter((line) => !line.startsWith("# "));
  const form =
    /^([a-z_]+(?:\{[a-z]+="(?:[^"\\\n]|\\.)*"(?:,[a-z]+="(?:[^"\\\n]|\\.)*")*\})?) (\d+(?:\.\d+)?(?:e-\d+)?)$/;
  return new Map(
    samples.map((line) => {
      const [, name = `not a sample: ${line}`, value] = form.exec(line) ?? [];
      return [name, Number(value)];
    }),
  );
};

describe("metrics", () => {
  test("of a whole history: commands by outcome, decisions, denials, round trips, deliveries", async () => {
    const metrics = createMetrics();
    const { subscriber } = listener("notices:a");
    await fullHistory({ observer: metrics, subscribers: [subscriber] });
    const samples = parse(metrics.text());
    expect(samples.get('proviso_commands_total{type="WriteVersion",outcome="created",code=""}')).toBe(2);
    expect(samples.get('proviso_commands_total{type="Transition",outcome="denied",code="policy-violation"}')).toBe(1);
    expect(samples.get('proviso_denials_total{code="policy-violation"}')).toBe(1);
    expect(samples.get('proviso_decisions_total{type="Say",outcome="commit"}')).toBe(4);
    expect(
      samples.get('proviso_store_operations_total{store="memory",operation="commit",outcome="ok"}'),
    ).toBeGreaterThan(15);
    expect(samples.get('proviso_deliveries_total{subscriber="notices:a",outcome="ok"}')).toBeGreaterThan(0);
    const counts = [...samples].filter(([name]) => name.startsWith("proviso_command_duration_seconds_count"));
    const commands = [...samples].filter(([name]) => name.startsWith("proviso_commands_total"));
    const sum = (rows: readonly (readonly [string, number])[]) => rows.reduce((total, [, value]) => total + value, 0);
    expect(sum(counts)).toBe(sum(commands));
    for (const value of people) expect(metrics.text()).not.toContain(value);
  });

  test("a lost race is a conflict and a retry; a delivery that fails is an error", async () => {
    const metrics = createMetrics();
    const store = memoryStore();
    const dead = listener("dead", () => Promise.reject(new Error("away")));
    const one = createGovernance({ store, observer: metrics, subscribers: [dead.subscriber] });
    const other = createGovernance({ store });
    const variants = [{ key: "control", control: true }, { key: "treatment" }];
    await one.define("checkout", { variants }, author);
    await other.revise("checkout", { variants, traffic: 50 }, author);
    expect(await one.revise("checkout", { variants, traffic: 60 }, author)).toMatchObject({ ok: true });
    const samples = parse(metrics.text());
    expect(samples.get('proviso_conflicts_total{conflict="stale"}')).toBe(1);
    expect(samples.get('proviso_retries_total{type="WriteVersion"}')).toBe(1);
    expect(samples.get('proviso_deliveries_total{subscriber="dead",outcome="error"}')).toBe(1);
  });

  test("histograms add up, and grow with what they count", () => {
    let time = 0;
    const metrics = createMetrics(() => time);
    for (const ms of [1, 30, 30, 700, 60_000]) metrics.run("command", { type: "Kill" }, () => (time += ms));
    const samples = parse(metrics.text());
    const bucket = (bound: string) => samples.get(`proviso_command_duration_seconds_bucket{type="Kill",le="${bound}"}`);
    expect(["0.005", "0.025", "0.05", "0.5", "1", "10", "+Inf"].map(bucket)).toEqual([1, 1, 3, 3, 4, 4, 5]);
    expect(samples.get('proviso_command_duration_seconds_sum{type="Kill"}')).toBeCloseTo(60.761);
    expect(samples.get('proviso_command_duration_seconds_count{type="Kill"}')).toBe(5);
  });

  test("labels hold any text, and no more than so many of them are remembered", () => {
    const metrics = createMetrics(() => 0);
    metrics.run("decision", { type: 'a"b\\c\nd', outcome: "commit" }, () => undefined);
    expect(metrics.text()).toContain('type="a\\"b\\\\c\\nd"');
    for (let index = 0; index < 6_000; index += 1) metrics.run("decision", { type: `t${index}` }, () => undefined);
    expect(parse(metrics.text()).size).toBe(5_000);
  });

  test("are served to whom the deployment says", async () => {
    const metrics = createMetrics();
    const closed = createApi();
    expect((await closed.as("op", "operator").get("/metrics")).body).toMatchObject({ code: "not-found" });
    const open = createApi({}, { observer: metrics, metrics: { text: () => metrics.text(), public: true } });
    await open.as("ada", "editor").post("/api/governance/checkout/versions", { configuration: configuration() });
    const response = await open.send(new Request("http://127.0.0.1/metrics"));
    expect([response.status, response.headers.get("content-type")]).toEqual([
      200,
      "text/plain; version=0.0.4; charset=utf-8",
    ]);
    expect(parse(await response.text()).get('proviso_requests_total{route="writeVersion",status="201"}')).toBe(1);
    const own = createApi({}, { metrics: { text: () => metrics.text(), public: false } });
    const asked = async (roles: string): Promise<number> =>
      (
        await own.send(
          new Request("http://127.0.0.1/metrics", { headers: { "x-proviso-actor": "a", "x-proviso-roles": roles } }),
        )
      ).status;
    expect([await asked("viewer"), await asked("operator"), await asked("admin")]).toEqual([403, 200, 200]);
  });

  test("a refusal is counted under its status", async () => {
    const metrics = createMetrics();
    const api = createApi({}, { observer: metrics });
    await api.as("ada", "viewer").get("/api/governance/nothing");
    await api.as("ada", "viewer").post("/api/governance/nothing/versions", {});
    const samples = parse(metrics.text());
    expect(samples.get('proviso_requests_total{route="readExperiment",status="404"}')).toBe(1);
    expect(samples.get('proviso_requests_total{route="writeVersion",status="403"}')).toBe(1);
  });
});

/** What the host's OpenTelemetry would bring: a context manager over AsyncLocalStorage. */
const contextManager = (): ContextManager => {
  const storage = new AsyncLocalStorage<Context>();
  const manager: ContextManager = {
    active: () => storage.getStore() ?? ROOT_CONTEXT,
    with: (active, work, self, ...args) => storage.run(active, () => work.call(self, ...args)),
    bind: (_active, target) => target,
    enable: () => manager,
    disable: () => manager,
  };
  return manager;
};

describe("spans by a tracer of @opentelemetry/api", () => {
  beforeAll(() => void context.setGlobalContextManager(contextManager()));
  afterAll(() => context.disable());

  test("commands hold their evidence, decisions and round trips; nothing of people is in them", async () => {
    const exporter = new InMemorySpanExporter();
    const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
    await fullHistory({ observer: openTelemetryObserver(provider.getTracer("proviso")) });
    const spans = exporter.getFinishedSpans();
    const byId = new Map(spans.map((span) => [span.spanContext().spanId, span]));
    const parentOf = (name: string): readonly (string | undefined)[] => [
      ...new Set(
        spans.filter((span) => span.name === name).map((span) => byId.get(span.parentSpanContext?.spanId ?? "")?.name),
      ),
    ];
    expect(parentOf("proviso.decision")).toEqual(["proviso.command"]);
    expect(parentOf("proviso.evidence")).toEqual(["proviso.command"]);
    expect(parentOf("proviso.store")).toContain("proviso.command");
    const denied = spans.find((span) => span.attributes["proviso.code"] === "policy-violation");
    expect(denied).toMatchObject({
      name: "proviso.command",
      attributes: { "proviso.type": "Transition", "proviso.outcome": "denied", "proviso.experiment": "checkout" },
    });
    const text = JSON.stringify(
      spans.map(({ name, attributes, status, events }) => ({ name, attributes, status, events })),
    );
    for (const value of people) expect(text).not.toContain(value);
  });

  test("a failure is an error by its name, without its message", async () => {
    const exporter = new InMemorySpanExporter();
    const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
    const observer = openTelemetryObserver(provider.getTracer("proviso"));
    const failing = observer.run("delivery", {}, () => Promise.reject(new RangeError("the secret is hunter2")));
    await expect(failing).rejects.toThrow(RangeError);
    expect(exporter.getFinishedSpans()[0]?.status).toEqual({ code: 2, message: "RangeError" });
  });

  test("the tracer of the API without an SDK does nothing, and costs no result", () => {
    expect(openTelemetryObserver(trace.getTracer("none")).run("decision", {}, () => 42)).toBe(42);
  });
});

/** OTLP's JSON as the collector reads it (opentelemetry-proto, trace/v1): an unknown member is an error. */
const Attribute = v.strictObject({
  key: v.pipe(v.string(), v.startsWith("proviso.")),
  value: v.union([
    v.strictObject({ stringValue: v.string() }),
    v.strictObject({ boolValue: v.boolean() }),
    v.strictObject({ doubleValue: v.number() }),
  ]),
});
const hex = (bytes: number) => v.pipe(v.string(), v.regex(new RegExp(`^[0-9a-f]{${bytes * 2}}$`)));
const nano = v.pipe(v.string(), v.regex(/^\d{16,19}$/));
const Traces = v.strictObject({
  resourceSpans: v.array(
    v.strictObject({
      resource: v.strictObject({
        attributes: v.array(
          v.strictObject({ key: v.literal("service.name"), value: v.strictObject({ stringValue: v.string() }) }),
        ),
      }),
      scopeSpans: v.array(
        v.strictObject({
          scope: v.strictObject({ name: v.literal("proviso") }),
          spans: v.array(
            v.strictObject({
              traceId: hex(16),
              spanId: hex(8),
              parentSpanId: v.exactOptional(hex(8)),
              name: v.string(),
              kind: v.literal(1),
              startTimeUnixNano: nano,
              endTimeUnixNano: nano,
              attributes: v.array(Attribute),
              status: v.exactOptional(v.strictObject({ code: v.literal(2), message: v.string() })),
            }),
          ),
        }),
      ),
    }),
  ),
});

describe("spans over OTLP", () => {
  test("one request for each trace, as the protocol has it, children under their parents", async () => {
    const receiver = await startReceiver();
    try {
      const sent: Promise<unknown>[] = [];
      const observer = otlpObserver({
        url: receiver.url,
        development: true,
        headers: { authorization: "Bearer token" },
        scope: new AsyncLocalStorage<unknown>(),
        background: (work) => sent.push(work),
      });
      await fullHistory({ observer });
      await Promise.all(sent);
      expect(receiver.arrived.length).toBeGreaterThan(15);
      expect(receiver.arrived[0]?.headers["authorization"]).toBe("Bearer token");
      const traces = receiver.arrived.map(({ body }) =>
        v
          .parse(Traces, JSON.parse(body))
          .resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans)),
      );
      for (const spans of traces) {
        expect(new Set(spans.map(({ traceId }) => traceId)).size).toBe(1);
        const ids = new Set(spans.map(({ spanId }) => spanId));
        const roots = spans.filter(({ parentSpanId }) => parentSpanId === undefined);
        expect(roots).toHaveLength(1);
        expect(spans.every(({ parentSpanId }) => parentSpanId === undefined || ids.has(parentSpanId))).toBe(true);
      }
      expect(traces.some((spans) => spans.some(({ name }) => name === "proviso.decision"))).toBe(true);
      for (const value of people) expect(receiver.arrived.map(({ body }) => body).join("")).not.toContain(value);
    } finally {
      await receiver.close();
    }
  });

  test("a collector that is away loses traces, and holds up nothing", async () => {
    const reported: unknown[] = [];
    const sent: Promise<unknown>[] = [];
    const observer = otlpObserver({
      url: "https://otel.example/v1/traces",
      fetch: () => Promise.reject(new TypeError("fetch failed")),
      background: (work) => sent.push(work),
      report: (error) => reported.push(error),
    });
    expect(await observer.run("command", {}, () => Promise.resolve("done"))).toBe("done");
    await Promise.all(sent);
    expect(reported).toHaveLength(1);
  });

  test.each([
    [0, 0],
    [0.25, 1],
    [1, 4],
  ])("of four traces a share of %d keeps %d", async (sampling, expected) => {
    let sent = 0;
    const firsts = ["00000000", "40000000", "80000000", "ffffffff"];
    const observer = otlpObserver({
      url: "https://otel.example/v1/traces",
      sampling,
      randomHex: (bytes) => (bytes === 16 ? `${firsts.shift() ?? ""}${"0".repeat(24)}` : "1".repeat(16)),
      fetch: () => {
        sent += 1;
        return Promise.resolve({ status: 200, headers: new Headers(), body: null });
      },
    });
    for (let index = 0; index < 4; index += 1) observer.run("command", {}, () => undefined);
    await Promise.resolve();
    expect(sent).toBe(expected);
  });

  test("a trace without end does not grow for ever", async () => {
    const bodies: string[] = [];
    const observer = otlpObserver({
      url: "https://otel.example/v1/traces",
      scope: new AsyncLocalStorage<unknown>(),
      fetch: (_url, { body }) => {
        bodies.push(body);
        return Promise.resolve({ status: 200, headers: new Headers(), body: null });
      },
    });
    observer.run("command", {}, () => {
      for (let index = 0; index < 2_000; index += 1) observer.run("decision", {}, () => undefined);
    });
    await expect.poll(() => bodies).toHaveLength(1);
    expect(v.parse(Traces, JSON.parse(bodies[0] ?? "")).resourceSpans[0]?.scopeSpans[0]?.spans).toHaveLength(500);
  });
});

describe("observers", () => {
  const recorder = () => {
    const seen: [Operation, Attributes, boolean][] = [];
    const observer: Observer = {
      run: (operation, attributes, work) => {
        let noted = attributes;
        return watched(
          () => work((more) => void (noted = { ...noted, ...more })),
          (failure) => void seen.push([operation, noted, failure === undefined]),
        );
      },
    };
    return { observer, seen };
  };

  test("several see the same, and results and failures pass through", async () => {
    const [one, other] = [recorder(), recorder()];
    const both = observers(one.observer, other.observer);
    expect(both.run("decision", { a: 1 }, (note) => (note({ b: 2 }), "sync"))).toBe("sync");
    expect(await both.run("store", {}, () => Promise.resolve("async"))).toBe("async");
    expect(() =>
      both.run("decision", {}, () => {
        throw new Error("sync");
      }),
    ).toThrow("sync");
    await expect(both.run("store", {}, () => Promise.reject(new Error("async")))).rejects.toThrow("async");
    const expected = [
      ["decision", { a: 1, b: 2 }, true],
      ["store", {}, true],
      ["decision", {}, false],
      ["store", {}, false],
    ];
    expect(one.seen).toEqual(expected);
    expect(other.seen).toEqual(expected);
  });

  test("none is nobody, and nobody leaves the store as it is", () => {
    expect(observers()).toBe(unobserved);
    const store = memoryStore();
    expect(observedStore(store, unobserved)).toBe(store);
  });
});
