/** A guardrail fires once for a version, epoch and start: whoever else looks, whatever was lost, whatever came between. */
import { expect, test } from "vitest";
import { memoryStore } from "../../adapters/store/memory.ts";
import { createGovernance, type By, type GovernanceOptions } from "../../src/governance/governance.ts";
import type { GuardrailReading } from "../../src/governance/guardrails.ts";
import type { GovernanceStore } from "../../src/governance/store.ts";
import { startOfTime } from "../support/scenario.ts";

const minute = 60_000;
const author: By = { actor: { id: "author@example.com", kind: "human", roles: ["editor", "operator"] } };
const variants = [{ key: "control", control: true }, { key: "treatment" }];
const guardrails = [{ metric: "error", maximumIncrease: 0.01 }];

const violated = (action: GuardrailReading["action"]): GuardrailReading => ({
  guardrail: "error maximumIncrease 0.01",
  metric: "error",
  verdict: "violated",
  action,
  variant: "treatment",
  why: "above",
  figures: { lower: 0.02 },
});

type Reading = () => Promise<readonly GuardrailReading[]>;

const setUp = async (read: Reading, store: GovernanceStore = memoryStore()) => {
  let time = startOfTime;
  const options: GovernanceOptions = {
    store,
    now: () => time,
    telemetry: { read: () => Promise.reject(new Error("unused")), guardrails: read },
  };
  const governance = createGovernance(options);
  await governance.define("checkout", { variants, guardrails }, author);
  await governance.submit("checkout", {}, author);
  await governance.transition("checkout", "Approved", {}, author);
  await governance.transition("checkout", "Running", {}, author);
  return { governance, another: createGovernance(options), wait: (ms: number) => void (time += ms) };
};

const pulledIn = async ({ governance }: Awaited<ReturnType<typeof setUp>>): Promise<readonly string[]> => {
  const { events } = await governance.history("checkout", { types: ["Transitioned", "GuardrailBroken"] });
  return events.flatMap((event) => {
    if (event.type === "GuardrailBroken") return ["notice"];
    return event.type === "Transitioned" && event.data.guardrail !== undefined ? [event.data.to] : [];
  });
};

test.each([
  { action: "rollBack", pulled: "RolledBack" },
  { action: "pause", pulled: "Paused" },
  { action: "notify", pulled: "notice" },
] as const)("two objects that look at one moment: $action happens once", async ({ action, pulled }) => {
  const world = await setUp(() => Promise.resolve([violated(action)]));
  await Promise.all([world.governance.tick(), world.another.tick(), world.governance.tick()]);
  await Promise.all([world.governance.tick(), world.another.tick()]);
  expect(await pulledIn(world)).toEqual([pulled]);
});

test("an answer of the store that was lost after the commit: the next alarm finds it done", async () => {
  const inner = memoryStore();
  let loses = false;
  const store: GovernanceStore = {
    ...inner,
    async commit(...given) {
      const result = await inner.commit(...given);
      if (!loses) return result;
      loses = false;
      throw new Error("the connection died");
    },
  };
  const world = await setUp(() => Promise.resolve([violated("rollBack")]), store);
  loses = true;
  await world.another.tick().catch(() => undefined);
  expect(loses).toBe(false);
  await world.another.tick();
  await world.governance.tick();
  expect(await pulledIn(world)).toEqual(["RolledBack"]);
});

test("a finding about a start that is over pulls nothing of the next one", async () => {
  let between: (() => Promise<void>) | undefined;
  const world = await setUp(async () => {
    await between?.();
    between = undefined;
    return [violated("rollBack")];
  });
  between = async () => {
    await world.another.pause("checkout", author);
    world.wait(minute);
    await world.another.transition("checkout", "Running", {}, author);
  };
  await world.governance.tick();
  expect(await pulledIn(world)).toEqual([]);
  // What is found of the present start counts.
  await world.governance.tick();
  expect(await pulledIn(world)).toEqual(["RolledBack"]);
});

test("the strongest brake goes first, and what it stops needs no other", async () => {
  const world = await setUp(() => Promise.resolve([violated("notify"), violated("pause"), violated("rollBack")]));
  await world.governance.tick();
  expect(await pulledIn(world)).toEqual(["RolledBack"]);
});

test("what there is to say against shipping is asked for then, and its absence keeps nobody", async () => {
  const asked: string[] = [];
  const warning = { signalType: "PeekingWarning", message: "too early", data: {} };
  for (const answer of [() => Promise.resolve(warning), () => Promise.reject(new Error("away"))]) {
    const governance = createGovernance({
      store: memoryStore(),
      telemetry: {
        read: () => Promise.reject(new Error("unused")),
        shippingWarning: (_ref, _state, variant) => {
          asked.push(variant);
          return answer();
        },
      },
    });
    await governance.define("checkout", { variants }, author);
    await governance.submit("checkout", {}, author);
    for (const to of ["Approved", "Running"] as const) await governance.transition("checkout", to, {}, author);
    await governance.conclude("checkout", { outcome: "ship", variant: "treatment", reason: "it sells" }, author);
    const found = await governance.get("checkout", author);
    expect(found).toMatchObject({ state: "Archived", conclusion: { outcome: "ship" } });
    expect(JSON.stringify(found).includes("too early")).toBe(asked.length === 1);
  }
  expect(asked).toEqual(["treatment", "treatment"]);
});
