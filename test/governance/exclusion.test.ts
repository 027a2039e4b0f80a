/** Exclusion groups through governance: slots are claims, so a group is never given out twice. */
import { describe, expect, test } from "vitest";
import { memoryStore } from "../../adapters/store/memory.ts";
import { staticRules } from "../../src/evaluation/rules.ts";
import { type By, createGovernance, type Governance } from "../../src/governance/governance.ts";
import type { CommandAnswer } from "../../src/governance/governor.ts";
import { publishRules } from "../../src/governance/publish.ts";
import type { GovernanceStore } from "../../src/governance/store.ts";
import { defaultScope } from "../../src/scope.ts";

const author: By = { actor: { id: "author@example.com", kind: "human", roles: ["editor", "operator"] } };
const variants = [{ key: "control", control: true }, { key: "treatment" }];
const codeOf = (answer: CommandAnswer): string => (answer.ok ? answer.outcome : answer.code);

const approved = async (governance: Governance, name: string, more: Record<string, unknown>): Promise<void> => {
  await governance.define(name, { variants, exclusion: { group: "page" }, ...more }, author);
  await governance.submit(name, {}, author);
  await governance.transition(name, "Approved", {}, author);
};
const start = async (governance: Governance, name: string, more: Record<string, unknown>, to = "Running") => {
  await approved(governance, name, more);
  return governance.transition(name, to === "Running" ? "Running" : "Ramping", {}, author);
};

const slotsOf = async (store: GovernanceStore, name: string): Promise<readonly number[]> => {
  const { experiments } = await publishRules(store, defaultScope);
  return experiments.find((rule) => rule.name === name)?.exclusion?.slots ?? [];
};

const exposedIn = async (store: GovernanceStore, names: readonly string[]): Promise<readonly (readonly string[])[]> => {
  const rules = staticRules(await publishRules(store, defaultScope)).current();
  return Array.from({ length: 3_000 }, (_, n) =>
    names.filter((name) => rules.experiments.get(name)?.(`user-${n}`).exposed === true),
  );
};

const setUp = () => {
  const store = memoryStore();
  return { store, governance: createGovernance({ store, now: () => Date.parse("2026-11-21T12:00:00Z") }) };
};

describe("an exclusion group", () => {
  test("is shared out without overlap, and nobody meets two of its experiments", async () => {
    const { store, governance } = setUp();
    for (const [name, traffic] of [
      ["a", 25],
      ["b", 60],
      ["c", 15],
    ] as const) {
      expect(codeOf(await start(governance, name, { traffic }))).toBe("done");
    }
    const met = await exposedIn(store, ["a", "b", "c"]);
    expect(met.every((names) => names.length === 1)).toBe(true);
    expect(met.filter(([name]) => name === "b").length).toBeGreaterThan(1_500);
  });

  test("refuses what does not fit, and says who is in the way", async () => {
    const { store, governance } = setUp();
    await start(governance, "a", { traffic: 60 });
    const refused = await start(governance, "b", { traffic: 41 });
    expect(refused).toMatchObject({
      ok: false,
      code: "surface-claimed",
      message: "exclusion group page: the traffic needs 41 percent of its subjects and 40 are free; held by a (60)",
      details: { claim: "exclusion:page", holder: "a (60)" },
    });
    // Paused holds what it has, rolled back gives it away.
    await governance.pause("a", author);
    expect(codeOf(await governance.transition("b", "Running", {}, author))).toBe("surface-claimed");
    await governance.transition("a", "RolledBack", {}, author);
    expect(codeOf(await governance.transition("b", "Running", {}, author))).toBe("done");
    expect(await slotsOf(store, "b")).toHaveLength(41);
  });

  test("gives each of many that start at one moment slots of its own", async () => {
    const { store } = setUp();
    // Each in a process of its own, as objects of a Worker are: only the store is shared.
    const governances = Array.from({ length: 6 }, () => createGovernance({ store }));
    const names = governances.map((_, n) => `e${n}`);
    for (const [n, governance] of governances.entries()) await approved(governance, `e${n}`, { traffic: 20 });
    const answers = await Promise.all(
      governances.map((governance, n) => governance.transition(`e${n}`, "Running", {}, author)),
    );
    expect(answers.map(codeOf).toSorted()).toEqual(["done", "done", "done", "done", "done", "surface-claimed"]);
    const slots = (await Promise.all(names.map((name) => slotsOf(store, name)))).flat();
    expect(slots).toHaveLength(100);
    expect(new Set(slots).size).toBe(100);
  });

  test("keeps a ramp's whole share from the first step, and moves nobody on the way", async () => {
    const { store, governance } = setUp();
    const ramp = { steps: [{ traffic: 5 }, { traffic: 50 }] };
    await start(governance, "a", { traffic: 50, ramp }, "Ramping");
    const slots = await slotsOf(store, "a");
    expect(slots).toHaveLength(50);
    expect(codeOf(await start(governance, "b", { traffic: 51 }))).toBe("surface-claimed");
    const before = await exposedIn(store, ["a"]);
    await governance.ramp.advance("a", author);
    expect(await slotsOf(store, "a")).toEqual(slots);
    const after = await exposedIn(store, ["a"]);
    expect(before.every((names, n) => names.length === 0 || after[n]?.length === 1)).toBe(true);
    expect(after.flat().length).toBeGreaterThan(5 * before.flat().length);
  });

  test("publishing takes and gives back the difference; another group is another epoch", async () => {
    const { store, governance } = setUp();
    await start(governance, "a", { traffic: 30 });
    const slots = await slotsOf(store, "a");
    const publish = async (version: number, changes: Record<string, unknown>) => {
      await governance.revise("a", { variants, exclusion: { group: "page" }, ...changes }, author);
      return codeOf(await governance.publish("a", version, {}, author));
    };
    expect(await publish(2, { traffic: 70 })).toBe("done");
    expect((await slotsOf(store, "a")).slice(0, 30)).toEqual(slots);
    expect(await slotsOf(store, "a")).toHaveLength(70);
    expect(await publish(3, { traffic: 10 })).toBe("done");
    expect(await slotsOf(store, "a")).toEqual(slots.slice(0, 10));
    expect(await governance.get("a", author)).toMatchObject({ epoch: 0 });
    await start(governance, "b", { traffic: 80 });
    expect(await publish(4, { traffic: 30 })).toBe("surface-claimed");
    expect(await publish(5, { traffic: 30, exclusion: { group: "other" } })).toBe("done");
    expect(await governance.get("a", author)).toMatchObject({ epoch: 1, liveVersion: 5 });
    // What it held in the first group is free again.
    expect(codeOf(await start(governance, "c", { traffic: 20 }))).toBe("done");
    // Going back to what was live wants the first group, where 20 and 80 are taken.
    const back = await governance.rollBack("a", { targetVersion: 3 }, author);
    expect(back).toMatchObject({ ok: false, code: "surface-claimed" });
    await governance.transition("c", "RolledBack", {}, author);
    expect(codeOf(await governance.rollBack("a", { targetVersion: 3 }, author))).toBe("created");
    expect(await slotsOf(store, "a")).toHaveLength(10);
  });

  test("takes none that it cannot know to be free", async () => {
    const { store } = setUp();
    const blind: GovernanceStore = {
      ...store,
      list: () => Promise.reject(new Error("no listing")),
    };
    const governance = createGovernance({ store: blind });
    await approved(governance, "a", { traffic: 10 });
    await expect(governance.transition("a", "Running", {}, author)).rejects.toThrow("no listing");
    expect(codeOf(await governance.transition("a", "Draft", {}, author))).toBe("done");
  });
});
