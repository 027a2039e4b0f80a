/** A signal is raised once for each crossing: whoever looks, however often, after restarts, and into the list of them. */
import { expect, test } from "vitest";
import { memoryStore } from "../../adapters/store/memory.ts";
import type { RaisedSignal } from "../../src/governance/events.ts";
import { decideSignal, signalsAtOnce, signalsKept } from "../../src/governance/decide-signal.ts";
import { type By, createGovernance, type GovernanceOptions } from "../../src/governance/governance.ts";
import { createApi } from "../support/api.ts";
import { scenario, startOfTime } from "../support/scenario.ts";

const author: By = { actor: { id: "author@example.com", kind: "human", roles: ["editor", "operator"] } };
const variants = [{ key: "control", control: true }, { key: "treatment" }];

const signal = (name: string): RaisedSignal => ({
  key: JSON.stringify([name, 0]),
  signalType: name,
  severity: "Info",
  message: `${name} was crossed`,
  data: { figure: 1 },
});

const setUp = async (more: Partial<GovernanceOptions["telemetry"]> = {}) => {
  const store = memoryStore();
  let holding: readonly string[] = [];
  let fails = false;
  const options: GovernanceOptions = {
    store,
    now: () => startOfTime,
    telemetry: {
      read: () => Promise.reject(new Error("unused")),
      signals: () => (fails ? Promise.reject(new Error("away")) : Promise.resolve(holding.map(signal))),
      ...more,
    },
  };
  const governance = createGovernance(options);
  await governance.define("checkout", { variants }, author);
  await governance.submit("checkout", {}, author);
  await governance.transition("checkout", "Approved", {}, author);
  const told = async (): Promise<readonly string[]> => {
    const { events } = await governance.history("checkout", { types: ["SignalRaised", "SignalsCleared"] });
    return events.map((event) =>
      event.type === "SignalRaised"
        ? event.data.signalType
        : `cleared ${"keys" in event.data ? event.data.keys.length : 0}`,
    );
  };
  return {
    store,
    governance,
    /** What a restart leaves: the store, and nothing in memory. */
    again: () => createGovernance(options),
    hold: (...names: readonly string[]) => void (holding = names),
    fail: (now: boolean) => void (fails = now),
    told,
  };
};

test("given what holds, when two processes look at once and again after a restart, then it is told once", async () => {
  const world = await setUp();
  await world.governance.transition("checkout", "Running", {}, author);
  world.hold("SequentialCheckpoint", "MinimumSampleReached");
  await Promise.all([world.governance.tick(), world.again().tick(), world.governance.tick()]);
  await world.again().tick();
  expect(await world.told()).toEqual(["SequentialCheckpoint", "MinimumSampleReached"]);
});

test("given one that fell back, when it crosses again, then it is told again, and the others are not", async () => {
  const world = await setUp();
  await world.governance.transition("checkout", "Running", {}, author);
  for (const names of [["A", "B"], ["B"], ["B"], ["A", "B"]]) {
    world.hold(...names);
    await world.again().tick();
  }
  expect(await world.told()).toEqual(["A", "B", "cleared 1", "A"]);
});

test("given a ledger that does not answer, then nothing is told, nothing is cleared, and the next look finds it", async () => {
  const world = await setUp();
  await world.governance.transition("checkout", "Running", {}, author);
  world.hold("A");
  await world.governance.tick();
  world.fail(true);
  await world.governance.tick();
  expect(await world.told()).toEqual(["A"]);
  world.fail(false);
  world.hold("A", "B");
  await world.governance.tick();
  expect(await world.told()).toEqual(["A", "B"]);
});

test("an experiment that does not serve is not looked at", async () => {
  const world = await setUp();
  world.hold("A");
  await world.governance.tick();
  await world.governance.transition("checkout", "Running", {}, author);
  await world.governance.transition("checkout", "Paused", {}, author);
  await world.governance.tick();
  expect(await world.told()).toEqual([]);
});

test("a brake that the same look pulls does not keep its signal from being told", async () => {
  const world = await setUp({
    guardrails: () =>
      Promise.resolve([
        {
          guardrail: "autoStop SampleRatioMismatch",
          metric: "sampleRatio",
          verdict: "violated",
          action: "pause",
          variant: null,
          why: "mismatch",
          figures: {},
        },
      ]),
  });
  await world.governance.revise("checkout", { variants, autoStop: [{ signal: "SampleRatioMismatch" }] }, author);
  await world.governance.publish("checkout", 2, {}, author);
  await world.governance.transition("checkout", "Running", {}, author);
  world.hold("SampleRatioMismatch");
  await world.governance.tick();
  expect(
    (await world.store.load({ tenant: "default", environment: "default", experiment: "checkout" }))?.snapshot.state
      .lifecycle,
  ).toBe("Paused");
  expect(await world.told()).toEqual(["SampleRatioMismatch"]);
});

test("more than fit into one commit come with the next looks, each once", async () => {
  const world = await setUp();
  await world.governance.transition("checkout", "Running", {}, author);
  const names = Array.from({ length: signalsAtOnce + 7 }, (_, index) => `S${index}`);
  world.hold(...names);
  await world.governance.tick();
  expect(await world.told()).toHaveLength(signalsAtOnce);
  await world.governance.tick();
  await world.governance.tick();
  expect(await world.told()).toEqual(names);
});

test("given as many as a state remembers, then no more are raised until some of them no longer hold", () => {
  const scene = scenario().writes().moves("PendingApproval").moves("Approved").moves("Running");
  const state = { ...scene.state(), signals: Array.from({ length: signalsKept }, (_, at) => signal(`S${at}`).key) };
  const look = (from: number) => {
    const signals = Array.from({ length: signalsKept + 60 }, (_, at) => signal(`S${from + at}`));
    const decision = decideSignal(state, { type: "Signal", signals, version: 1, epoch: 0 });
    return decision.outcome === "commit" ? decision.events.map(({ type }) => type) : decision.outcome;
  };
  expect(look(0)).toBe("unchanged");
  expect(look(2)).toEqual(["SignalsCleared", "SignalRaised", "SignalRaised"]);
});

test("GET /{name}/signals lists them, and the warning that a publication went with, as AnalysisSignal events", async () => {
  const warning = { signalType: "PeekingWarning", message: "too early", data: { claim: "publish version 2" } };
  const world = await setUp({ publishingWarning: () => Promise.resolve(warning) });
  await world.governance.transition("checkout", "Running", {}, author);
  world.hold("MinimumSampleReached");
  await world.governance.tick();
  await world.governance.revise(
    "checkout",
    {
      variants: [
        { key: "control", control: true },
        { key: "treatment", weight: 3 },
      ],
    },
    author,
  );
  await world.governance.publish("checkout", 2, {}, author);
  const api = createApi({}, { store: world.store });
  const ada = api.as("ada", "viewer");
  const answer = await ada.get("/api/governance/checkout/signals");
  expect(answer).toMatchObject({
    status: 200,
    body: {
      experimentName: "checkout",
      next: null,
      events: [
        {
          eventType: "AnalysisSignal",
          schemaVersion: "1.0.0",
          payload: {
            experimentName: "checkout",
            signalType: "MinimumSampleReached",
            severity: "Info",
            message: "MinimumSampleReached was crossed",
            data: { figure: 1, version: 1, epoch: 0 },
          },
        },
        { payload: { ...warning, severity: "Warning" } },
      ],
    },
  });
  expect((await ada.get("/api/governance/other/signals")).status).toBe(404);
  expect((await api.anonymous.get("/api/governance/checkout/signals")).status).toBe(401);
});
