/** Provider events, through the SDKs of OpenFeature: what their clients hear, and what status they have. */
import { OpenFeature as Server, ProviderEvents, ProviderStatus } from "@openfeature/server-sdk";
import { OpenFeature as Web, ProviderEvents as WebEvents } from "@openfeature/web-sdk";
import { afterEach, describe, expect, test, vi } from "vitest";
import { httpRules, type RulesStatus, staticRules } from "../../src/evaluation/rules.ts";
import { provisoProvider } from "../../src/openfeature/server.ts";
import { watchRules } from "../../src/openfeature/watch.ts";
import { provisoWebProvider } from "../../src/openfeature/web.ts";
import { manualClock } from "../events/clock.ts";
import { rule, ruleSet } from "../evaluation/fixtures.ts";
import { rulesServer } from "../evaluation/rules-server.ts";
import { world } from "../exposure/world.ts";

afterEach(async () => {
  await Server.clearProviders();
  await Web.clearProviders();
  Server.clearHandlers();
  Web.clearHandlers();
});

const down = (): Promise<Response> => Promise.reject(new Error("down"));
const search = rule({ name: "search" });

type Hear = (type: string, flagsChanged?: readonly string[]) => void;

const sdks = {
  async server({ experiments, ...timing }: Parameters<typeof provisoProvider>[0], hear: Hear) {
    await Server.setProviderAndWait(provisoProvider({ experiments, ...timing })).catch(() => {});
    const client = Server.getClient();
    for (const type of [ProviderEvents.Ready, ProviderEvents.Error, ProviderEvents.Stale] as const)
      client.addHandler(type, () => hear(type));
    client.addHandler(ProviderEvents.ConfigurationChanged, (details) =>
      hear(ProviderEvents.ConfigurationChanged, details?.flagsChanged),
    );
    return {
      status: (): string => client.providerStatus,
      evaluate: async () => client.getBooleanValue("checkout", false, { targetingKey: "u" }),
    };
  },
  async web({ experiments, ...timing }: Parameters<typeof provisoWebProvider>[0], hear: Hear) {
    await Web.setContext({ targetingKey: "u" });
    await Web.setProviderAndWait(provisoWebProvider({ experiments, ...timing })).catch(() => {});
    const client = Web.getClient();
    for (const type of [WebEvents.Ready, WebEvents.Error, WebEvents.Stale] as const)
      client.addHandler(type, () => hear(type));
    client.addHandler(WebEvents.ConfigurationChanged, (details) =>
      hear(WebEvents.ConfigurationChanged, details?.flagsChanged),
    );
    return {
      status: (): string => client.providerStatus,
      evaluate: async () => client.getBooleanValue("checkout", false),
    };
  },
} as const;

const setUp = async (
  sdk: keyof typeof sdks,
  { watchMs, begin }: { readonly watchMs?: number; readonly begin?: "down" } = {},
) => {
  const clock = manualClock();
  const server = rulesServer(ruleSet(rule(), search));
  if (begin === "down") server.answerWith(down);
  const { now, startTimer } = clock;
  const rules = httpRules({ url: "https://experiments.example", fetch: server.fetch, now, startTimer });
  const { experiments } = world({}, { rules });
  const heard: string[] = [];
  const changed: (readonly string[])[] = [];
  const { status, evaluate } = await sdks[sdk]({ experiments, now, startTimer, watchMs }, (type, flagsChanged) => {
    heard.push(type);
    if (flagsChanged !== undefined) changed.push(flagsChanged);
  });
  // A handler for what the provider is already in is called at once.
  await vi.waitFor(() => expect(heard).toHaveLength(1));
  heard.length = 0;
  return { clock, server, status, evaluate, heard, changed };
};

describe.each(["server", "web"] as const)("the provider of the %s's SDK", (sdk) => {
  test("tells which flags have changed, once newer rules are there: new, gone and different ones", async () => {
    const { clock, server, evaluate, heard, changed } = await setUp(sdk);
    await evaluate();
    await clock.advance(31_000);
    server.publish(ruleSet(rule({ state: "Paused" }), rule({ name: "cart" })));
    await evaluate();
    await clock.advance(0);
    expect(heard).toEqual(["PROVIDER_CONFIGURATION_CHANGED"]);
    expect(changed.map((names) => names.toSorted())).toEqual([["cart", "checkout", "search"]]);
  });

  test("says nothing of rules that are the same, or that differ in what no flag shows", async () => {
    const { clock, server, evaluate, heard } = await setUp(sdk);
    for (const dataPlane of [undefined, { flushEvents: 9, flushBytes: 40_000, flushIntervalMs: 5, sampling: 1 }]) {
      await clock.advance(31_000);
      if (dataPlane !== undefined) server.publish({ ...ruleSet(rule(), search), dataPlane });
      await evaluate();
      await clock.advance(0);
    }
    expect(server.requests).toHaveLength(3);
    expect(heard).toEqual([]);
  });

  test("is stale once refreshing has failed for too long, evaluates still, and is ready when it works again", async () => {
    const { clock, server, status, evaluate, heard } = await setUp(sdk);
    server.answerWith(down);
    for (let minute = 0; minute < 6; minute += 1) {
      await clock.advance(60_000);
      expect(await evaluate()).toBeTypeOf("boolean");
      await clock.advance(0);
    }
    expect(heard).toEqual(["PROVIDER_STALE"]);
    expect(status()).toBe(ProviderStatus.STALE);
    server.answerWith(undefined);
    server.publish(ruleSet(rule({ version: 4 }), search));
    await clock.advance(60_000);
    await evaluate();
    await clock.advance(0);
    expect(heard).toEqual(["PROVIDER_STALE", "PROVIDER_READY", "PROVIDER_CONFIGURATION_CHANGED"]);
    expect(status()).toBe(ProviderStatus.READY);
  });

  test("without rules it is in error, and ready once there are some", async () => {
    const { clock, server, status, evaluate, heard } = await setUp(sdk, { begin: "down" });
    expect(status()).toBe(ProviderStatus.ERROR);
    server.answerWith(undefined);
    await clock.advance(60_000);
    await evaluate();
    await clock.advance(0);
    expect(heard).toEqual(["PROVIDER_READY"]);
    expect(status()).toBe(ProviderStatus.READY);
  });

  test("asks by itself where it is told to, until it is closed, and keeps no process alive", async () => {
    const { clock, server, heard } = await setUp(sdk, { watchMs: 20_000 });
    server.publish(ruleSet(rule({ state: "Paused" }), search));
    expect(clock.pending().map(({ holdsProcess }) => holdsProcess)).toEqual([false]);
    await clock.advance(21_000);
    expect(heard).toEqual(["PROVIDER_CONFIGURATION_CHANGED"]);
    server.answerWith(down);
    await clock.advance(400_000);
    expect(heard).toEqual(["PROVIDER_CONFIGURATION_CHANGED", "PROVIDER_STALE"]);
    await Server.clearProviders();
    await Web.clearProviders();
    expect(clock.pending()).toEqual([]);
  });
});

describe("no timer is left over", () => {
  const watchMs = 20_000;

  test("by a provider that is closed while it waits for its first rules; opened again it has one", async () => {
    const clock = manualClock();
    const { now, startTimer } = clock;
    const { promise, resolve } = Promise.withResolvers<Response>();
    const server = rulesServer(ruleSet(rule()));
    server.answerWith(() => promise);
    const rules = httpRules({ url: "https://experiments.example", fetch: server.fetch, now, startTimer });
    const { experiments } = world({}, { rules });
    const provider = provisoProvider({ experiments, now, startTimer, watchMs });
    const opening = provider.initialize?.();
    await provider.onClose?.();
    resolve(Response.json(ruleSet(rule())));
    await opening;
    expect(clock.pending()).toEqual([]);
    await provider.initialize?.();
    expect(clock.pending()).toHaveLength(1);
  });

  test("by a refresh that began before the end and comes back after the next beginning", async () => {
    const clock = manualClock();
    const fixed = staticRules(ruleSet(rule()));
    const { promise, resolve } = Promise.withResolvers<RulesStatus>();
    const rules = { ...fixed, refresh: () => promise };
    const watch = watchRules({ rules, emit: () => {}, watchMs, now: clock.now, startTimer: clock.startTimer });
    watch.begin();
    await clock.advance(watchMs);
    watch.end();
    watch.begin();
    resolve(fixed.status());
    await clock.advance(0);
    expect(clock.pending()).toHaveLength(1);
    watch.end();
    expect(clock.pending()).toEqual([]);
  });
});
