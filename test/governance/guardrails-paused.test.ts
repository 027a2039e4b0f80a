/** Guardrails while enrolment is stopped: whoever is in is still served a treatment, so they are watched; else they rest. */
import { describe, expect, test } from "vitest";
import { memoryStore } from "../../adapters/store/memory.ts";
import { createGovernance } from "../../src/governance/governance.ts";
import type { GuardrailReading } from "../../src/governance/guardrails.ts";
import { nextWake } from "../../src/governance/due.ts";
import { ruleOf } from "../../src/governance/publish.ts";
import { watchOf } from "../../src/ledger/guardrail-readings.ts";
import { author } from "../notices/history.ts";
import { startOfTime } from "../support/scenario.ts";

const minute = 60_000;
const ref = { tenant: "default", environment: "default", experiment: "checkout" };
const variants = [{ key: "control", control: true }, { key: "treatment" }];

const paused = async (mode: "control" | "stopEnrolment", onViolation: "rollBack" | "pause" | "notify" = "rollBack") => {
  let time = startOfTime;
  let verdict: GuardrailReading["verdict"] = "safe";
  let asked = 0;
  let meanwhile: () => Promise<unknown> = () => Promise.resolve();
  const store = memoryStore();
  const governance = createGovernance({
    store,
    now: () => time,
    telemetry: {
      read: () => Promise.reject(new Error("no figures")),
      guardrails: async () => {
        asked += 1;
        await meanwhile();
        const action = verdict === "violated" ? onViolation : "none";
        const metric = "error";
        const guardrail = "error maximumIncrease 0.01";
        return [{ guardrail, metric, verdict, action, variant: "treatment", why: "1.2 % more", figures: {} }];
      },
    },
  });
  const guardrails = [{ metric: "error", maximumIncrease: 0.01, onViolation }];
  await governance.define(ref, { variants, guardrails }, author);
  for (const to of ["PendingApproval", "Approved", "Running"] as const)
    await governance.transition(ref, to, {}, author);
  const started = time;
  time += minute;
  await governance.pause(ref, author, undefined, mode);
  asked = 0;
  const state = async () => {
    const loaded = await store.load(ref);
    if (loaded === null) throw new TypeError("an experiment");
    return loaded.snapshot.state;
  };
  return {
    governance,
    state,
    started,
    asked: () => asked,
    types: async () => (await store.history(ref, { limit: 100 })).events.map(({ type }) => type),
    meets: (work: () => Promise<unknown>) => void (meanwhile = work),
    says: (next: GuardrailReading["verdict"]) => void (verdict = next),
    ticks: async () => {
      time += minute;
      await governance.tick(ref);
    },
  };
};

describe("a pause that stops enrolment", () => {
  test("is watched from the start of the experiment on, by the alarm", async () => {
    const it = await paused("stopEnrolment");
    const state = await it.state();
    expect(Date.parse(state.servingSince ?? "")).toBe(it.started);
    expect(watchOf(state)).toMatchObject({ since: it.started, metrics: [{ metric: "error" }] });
    expect(nextWake(state, startOfTime, minute)).toBe(startOfTime + minute);
    await it.ticks();
    expect(it.asked()).toBeGreaterThan(0);
    expect((await it.state()).lifecycle).toBe("Paused");
  });

  test("ends in RolledBack where the guardrail says so, and once", async () => {
    const it = await paused("stopEnrolment");
    it.says("violated");
    await it.ticks();
    expect(await it.state()).toMatchObject({ lifecycle: "RolledBack", servingSince: null });
    const types = await it.types();
    await it.ticks();
    expect(await it.types()).toEqual(types);
  });

  test("becomes control for everybody, by the kill switch, where the guardrail would pause; written down, and once", async () => {
    const it = await paused("stopEnrolment", "pause");
    const before = await it.types();
    it.says("violated");
    await it.ticks();
    expect((await it.types()).slice(before.length)).toEqual(["GuardrailBroken", "Killed"]);
    expect(ruleOf(await it.state())).toMatchObject({ state: "Paused", killed: true });
    await it.ticks();
    expect((await it.types()).slice(before.length)).toEqual(["GuardrailBroken", "Killed"]);
  });

  test("given it is resumed while its guardrails are read, then what they found of the pause switches nothing off", async () => {
    const it = await paused("stopEnrolment", "pause");
    it.says("violated");
    it.meets(async () => {
      it.meets(() => Promise.resolve());
      it.says("safe");
      await it.governance.transition(ref, "Running", {}, author);
      it.says("violated");
    });
    await it.ticks();
    expect(await it.state()).toMatchObject({ lifecycle: "Running", killed: { experiment: false } });
    expect(await it.types()).not.toContain("GuardrailBroken");
  });

  test("is told of where the guardrail only notifies, once", async () => {
    const it = await paused("stopEnrolment", "notify");
    const before = await it.types();
    it.says("violated");
    await it.ticks();
    await it.ticks();
    expect((await it.types()).slice(before.length)).toEqual(["GuardrailBroken"]);
  });

  test("is over when it is resumed, which waits for nothing and is a new start", async () => {
    const it = await paused("stopEnrolment");
    it.says("inconclusive");
    expect(await it.governance.transition(ref, "Running", {}, author)).toMatchObject({ ok: true });
    const state = await it.state();
    expect(Date.parse(state.servingSince ?? "")).toBe(it.started + minute);
  });
});

test("in a pause for everybody guardrails rest", async () => {
  const it = await paused("control");
  const state = await it.state();
  expect([watchOf(state), state.servingSince, nextWake(state, startOfTime, minute)]).toEqual([null, null, null]);
  it.says("violated");
  await it.ticks();
  expect([it.asked(), (await it.state()).lifecycle]).toEqual([0, "Paused"]);
});
