import { describe, expect, test } from "vitest";
import { memorySink } from "../../adapters/sink/memory.ts";
import { createExperiments, type Experiments, type ExperimentsOptions } from "../../src/evaluation/experiments.ts";
import { httpRules, staticRules } from "../../src/evaluation/rules.ts";
import { manualClock, settle } from "../events/clock.ts";
import { rule, ruleSet, subjectFor } from "./fixtures.ts";

const setup = (options: Partial<ExperimentsOptions> = {}) => {
  const clock = manualClock();
  const sink = memorySink();
  const errors: unknown[] = [];
  const experiments = createExperiments({
    rules: staticRules(ruleSet(rule(), rule({ name: "search", salt: "search" }))),
    sink,
    now: clock.now,
    buffer: { startTimer: clock.startTimer, random: () => 0 },
    onError: (error) => errors.push(error),
    ...options,
  });
  return { experiments, sink, clock, errors };
};

const { experiments: reader } = setup();
const treated = subjectFor((id) => reader.assign("checkout", id).variant === "treatment");
const controlled = subjectFor((id) => reader.assign("checkout", id).variant === "control");

describe("types of events that the rules switch off", () => {
  const rules = staticRules({
    ...ruleSet(rule()),
    dataPlane: {
      flushEvents: 10,
      flushBytes: 1_000,
      flushIntervalMs: 10,
      sampling: 1,
      off: ["Exposure", "Error", "AnalysisSignal"],
    },
  });

  test("are not sent, and others are", async () => {
    const { experiments, sink } = setup({ rules });
    const trial = experiments.trial("checkout", { control: () => 0, treatment: () => 1 });
    trial.for(treated)();
    experiments.failed(experiments.assign("checkout", treated), treated, new Error("no"));
    const signal = { experimentName: "checkout", signalType: "Custom", severity: "Info", message: "" } as const;
    expect(experiments.record({ eventType: "AnalysisSignal", payload: signal })).toBe(false);
    expect(experiments.outcome({ subject: treated, metric: "purchase", kind: "duration", value: 12 })).toBe(true);
    await experiments.flush();
    expect(sink.events().map(({ eventType }) => eventType)).toEqual(["Outcome"]);
  });
});

describe("an event of one's own", () => {
  test("gets its envelope and its scope, and keeps what it says itself", async () => {
    const { experiments, sink, clock } = setup();
    const payload = { experimentName: "checkout", signalType: "Custom", severity: "Info", message: "look" } as const;
    expect(experiments.record({ eventType: "AnalysisSignal", payload, correlationId: "request-1" })).toBe(true);
    expect(experiments.record({ eventType: "AnalysisSignal", payload: { ...payload, tenantId: "other" } })).toBe(true);
    await experiments.flush();
    expect(sink.events()).toMatchObject([
      {
        timestamp: new Date(clock.now()).toISOString(),
        correlationId: "request-1",
        payload: { ...payload, tenantId: "acme", environment: "production" },
      },
      { payload: { tenantId: "other", environment: "production" } },
    ]);
  });
});

describe("assign and expose", () => {
  test("assigning records nothing, exposing does", async () => {
    const { experiments, sink } = setup();
    expect(experiments.assign("checkout", treated)).toMatchObject({ variant: "treatment", exposed: true });
    await experiments.flush();
    expect(sink.events()).toEqual([]);
    expect(experiments.expose("checkout", treated)).toEqual(experiments.assign("checkout", treated));
    expect(await experiments.flush()).toBe(true);
    expect(sink.events()).toMatchObject([
      {
        eventType: "Exposure",
        payload: {
          experimentName: "checkout",
          subjectId: treated,
          variantKey: "treatment",
          tenantId: "acme",
          environment: "production",
          isRepeatExposure: false,
        },
      },
    ]);
  });

  test("an unknown experiment exposes nobody", async () => {
    const { experiments, sink } = setup();
    expect(experiments.expose("nowhere", treated)).toMatchObject({ variant: "control", errorCode: "FLAG_NOT_FOUND" });
    await experiments.flush();
    expect(sink.events()).toEqual([]);
  });

  test("a scope of one's own goes before that of the rules", async () => {
    const { experiments, sink } = setup({ scope: { environment: "staging" } });
    experiments.expose("checkout", treated);
    await experiments.flush();
    expect(sink.events()[0]?.payload).toMatchObject({ tenantId: "acme", environment: "staging" });
  });
});

describe("trial", () => {
  test("serves, records the exposure once, marks repeats, and reports failures in the assigned arm", async () => {
    const { experiments, sink } = setup();
    const pay = experiments.trial("checkout", {
      control: async (cents: number) => `paid ${cents}`,
      treatment: async (cents: number): Promise<string> => {
        throw new RangeError(`cannot pay ${cents}`);
      },
    });
    expect(await pay.for(treated, { country: "US" })(5)).toBe("paid 5");
    expect(await pay.for(treated)(6)).toBe("paid 6");
    expect(await pay.for(controlled)(7)).toBe("paid 7");
    await experiments.flush();
    const summary = sink.events().map(({ eventType, payload }) => ({
      eventType,
      subject: payload.subjectId,
      variant: "variantKey" in payload && payload.variantKey,
      repeat: "isRepeatExposure" in payload && payload.isRepeatExposure,
      fallback: "fallback" in payload && payload.fallback,
    }));
    const exposed = { eventType: "Exposure", repeat: false, fallback: false };
    const failed = { eventType: "Error", subject: treated, variant: "treatment", repeat: false, fallback: "control" };
    expect(summary).toEqual([
      { ...exposed, subject: treated, variant: "treatment" },
      failed,
      { ...exposed, subject: treated, variant: "treatment", repeat: true },
      failed,
      { ...exposed, subject: controlled, variant: "control" },
    ]);
  });

  test("goes on when recording is impossible: a broken sink, a full buffer, a broken clock", async () => {
    const broken = {
      name: "broken",
      send: () => Promise.reject(new Error("down")),
      health: () => ({ status: "unhealthy" as const, description: "" }),
    };
    const clock = manualClock();
    const { experiments, errors } = setup({
      sink: broken,
      now: clock.now,
      buffer: { startTimer: clock.startTimer, maxEvents: 2, flushEvents: 1, attempts: 2 },
    });
    const call = experiments.trial("checkout", { control: () => 1, treatment: () => 2 });
    for (let index = 0; index < 100; index += 1) expect([1, 2]).toContain(call.for(`user-${index}`)());
    await clock.advance(1_000);
    expect(errors.length).toBeGreaterThan(0);
    expect(experiments.health().events?.events).toBeLessThanOrEqual(2);

    const clockless = setup({
      now() {
        throw new Error("no time");
      },
    });
    expect(clockless.experiments.trial("checkout", { control: () => 1, treatment: () => 2 }).for(treated)()).toBe(2);
    expect(clockless.errors.map(String)).toEqual(["Error: no time"]);
  });
});

describe("outcome", () => {
  test("of a named experiment goes there", async () => {
    const { experiments, sink } = setup();
    expect(
      experiments.outcome({ experiment: "checkout", subject: "user-1", metric: "sales", kind: "count", value: 2 }),
    ).toBe(true);
    await experiments.flush();
    expect(sink.events().map(({ payload }) => payload.experimentName)).toEqual(["checkout"]);
  });

  test("without one goes to each experiment that runs or is paused", async () => {
    const states = ["Running", "Ramping", "Paused", "Draft", "Approved", "RolledBack", "Archived"] as const;
    const rules = staticRules(ruleSet(...states.map((state) => rule({ name: state, state }))));
    const { experiments, sink } = setup({ rules });
    expect(experiments.outcome({ subject: "user-1", metric: "sales", kind: "binary", value: true })).toBe(true);
    await experiments.flush();
    expect(sink.events().map(({ payload }) => payload.experimentName)).toEqual(["Running", "Ramping", "Paused"]);
    expect(new Set(sink.events().map(({ eventId }) => eventId)).size).toBe(3);
  });

  test("that goes nowhere says so", () => {
    const { experiments } = setup({ rules: staticRules(ruleSet()) });
    expect(experiments.outcome({ subject: "user-1", metric: "sales", kind: "binary", value: true })).toBe(false);
  });

  test("that is malformed is told, not thrown", () => {
    const { experiments, errors } = setup();
    expect(
      experiments.outcome({ experiment: "checkout", subject: "user-1", metric: "sales", kind: "count", value: NaN }),
    ).toBe(false);
    const tell: (...args: Parameters<typeof experiments.outcome>) => boolean = (input) => experiments.outcome(input);
    expect(Reflect.apply(tell, undefined, [])).toBe(false);
    expect(errors).toHaveLength(2);
  });
});

describe("without a sink", () => {
  test("evaluation works, and health says that nothing is recorded", async () => {
    const experiments = createExperiments({ rules: staticRules(ruleSet(rule())) });
    expect(experiments.expose("checkout", treated).variant).toBe("treatment");
    expect(experiments.trial("checkout", { control: () => 1, treatment: () => 2 }).for(treated)()).toBe(2);
    expect(experiments.outcome({ subject: "u", metric: "m", kind: "count", value: 1 })).toBe(false);
    expect(await experiments.flush()).toBe(true);
    expect(experiments.health()).toMatchObject({
      status: "healthy",
      description: "rules of 1 experiments; no sink: nothing is recorded",
    });
    expect(experiments.health()).not.toHaveProperty("events");
    await experiments.close();
  });
});

describe("sampling", () => {
  test.each([-0.1, 1.1, NaN, Infinity])("of %d is refused", (sampling) => {
    expect(() => setup({ sampling })).toThrow(RangeError);
  });

  test.each([1, 0.5, 0.0001, 0])("of %d is taken", (sampling) => {
    expect(() => setup({ sampling })).not.toThrow();
  });
});

describe("what the rules say of sending", () => {
  const dataPlane = { flushEvents: 2, flushBytes: 65_536, flushIntervalMs: 60_000, sampling: 0.5 };
  const rules = staticRules({ ...ruleSet(rule()), dataPlane });
  const exposeAll = (to: Experiments): void => {
    for (let index = 0; index < 100; index += 1) to.expose("checkout", `user-${index}`);
  };

  test("applies: batches and sampling", async () => {
    const { experiments, sink, clock } = setup({ rules });
    exposeAll(experiments);
    await clock.advance(0);
    const kept = sink.events().length;
    expect(kept).toBeGreaterThan(25);
    expect(kept).toBeLessThan(75);
    expect(sink.events()[0]?.payload).toMatchObject({ weight: 2 });
  });

  test("gives way to what is set by hand", async () => {
    const clock = manualClock();
    const buffer = { startTimer: clock.startTimer, flushEvents: 1_000, flushIntervalMs: 5_000 };
    const { experiments, sink } = setup({ rules, sampling: 1, now: clock.now, buffer });
    exposeAll(experiments);
    await clock.advance(4_999);
    expect(sink.events()).toEqual([]);
    await clock.advance(1);
    expect(sink.events()).toHaveLength(100);
    expect(sink.events()[0]?.payload).not.toHaveProperty("weight");
  });

  test("applies where the application says undefined", async () => {
    // As plain JavaScript does, which no type holds back.
    const buffer = Object.fromEntries(
      ["flushEvents", "flushBytes", "flushIntervalMs"].map((name) => [name, undefined]),
    );
    const { experiments, sink, clock } = setup({ rules, buffer });
    exposeAll(experiments);
    await clock.advance(0);
    expect(sink.events().length).toBeGreaterThan(25);
    expect(clock.pending().length).toBeLessThanOrEqual(1);
  });

  test("a share of 0 sends nothing", async () => {
    const none = staticRules({ ...ruleSet(rule()), dataPlane: { ...dataPlane, sampling: 0 } });
    const { experiments, sink } = setup({ rules: none });
    exposeAll(experiments);
    await experiments.flush();
    expect(sink.events()).toEqual([]);
  });
});

describe("ready", () => {
  const answer = (body: string, status = 200) => Promise.resolve(new Response(body, { status }));
  const url = "https://experiments.example";

  test("waits for the first rules, and not again", async () => {
    let asked = 0;
    const rules = httpRules({
      url,
      fetch: () => {
        asked += 1;
        return answer(JSON.stringify(ruleSet(rule())));
      },
    });
    const { experiments } = setup({ rules });
    expect(await experiments.ready()).toMatchObject({ state: "fresh", experiments: 1 });
    expect(await experiments.ready()).toMatchObject({ state: "fresh" });
    expect(asked).toBe(1);
    expect(experiments.assign("checkout", treated).variant).toBe("treatment");
  });

  test("does not reject when there are none: everybody gets control", async () => {
    const { experiments } = setup({ rules: httpRules({ url, fetch: () => answer("", 500) }) });
    expect(await experiments.ready()).toEqual({
      state: "empty",
      experiments: 0,
      unreadable: [],
      error: "rules: https://experiments.example/api/rules answered 500",
    });
    expect(experiments.assign("checkout", treated)).toMatchObject({
      variant: "control",
      errorCode: "PROVIDER_NOT_READY",
    });
    expect(experiments.trial("checkout", { control: () => 1, treatment: () => 2 }).for(treated)()).toBe(1);
    expect(experiments.health()).toMatchObject({ status: "unhealthy" });
    expect(experiments.health().description).toMatch(/^no rules loaded: rules: .* answered 500; /);
  });
});

describe("health", () => {
  test("is the worse of rules and events", async () => {
    const down = { name: "far", send: () => Promise.reject(new Error("down")), health: () => setup().sink.health() };
    const { experiments, clock } = setup({ sink: down });
    expect(experiments.health().status).toBe("healthy");
    experiments.expose("checkout", treated);
    await clock.advance(1_000);
    expect(experiments.health()).toMatchObject({
      status: "degraded",
      rules: { state: "fresh" },
      events: { events: 1 },
    });
    expect(experiments.health().description).toContain("1 failed send to far; last error: down");
  });

  test("tells of rules that cannot be read", async () => {
    const broken = JSON.stringify(ruleSet(rule(), rule({ name: "b", epoch: -1 })));
    const rules = httpRules({ url: "https://x.example", fetch: () => Promise.resolve(new Response(broken)) });
    const { experiments } = setup({ rules });
    await experiments.ready();
    expect(experiments.health()).toMatchObject({ status: "degraded" });
    expect(experiments.health().description).toContain("1 of 2 rules unreadable");
  });
});

test("in a Worker, one waitUntil a request sends the events and lets a refresh of the rules end", async () => {
  const bodies = [ruleSet(rule()), ruleSet(rule({ state: "Paused" }))].map((each) => JSON.stringify(each));
  const { clock } = setup();
  const rules = httpRules({
    url: "https://x.example",
    now: clock.now,
    fetch: () => Promise.resolve(new Response(bodies.shift() ?? "")),
  });
  const { experiments, sink } = setup({ rules });
  await experiments.ready();
  clock.advanceWithoutTimers(31_000);
  const promises: Promise<unknown>[] = [];
  experiments.expose("checkout", treated);
  experiments.waitUntil({ waitUntil: (promise) => void promises.push(promise) });
  await Promise.all(promises);
  expect(sink.events()).toHaveLength(1);
  expect(experiments.assign("checkout", treated).reason).toBe("DISABLED");
});

test("after close evaluation goes on, and what is recorded is counted as dropped", async () => {
  const { experiments, sink } = setup();
  experiments.expose("checkout", treated);
  await experiments.close();
  expect(sink.events()).toHaveLength(1);
  expect(experiments.expose("checkout", controlled).exposed).toBe(true);
  await settle();
  expect(sink.events()).toHaveLength(1);
  expect(experiments.health().events?.dropped.closed).toBe(1);
});
