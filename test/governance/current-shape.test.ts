/** States that an older version has stored: read as if this one had stored them. */
import { describe, expect, test } from "vitest";
import { memoryStore } from "../../adapters/store/memory.ts";
import { canonicalJson } from "../../src/canonical.ts";
import { withCurrentShape } from "../../src/governance/current-shape.ts";
import { replay } from "../../src/governance/evolve.ts";
import { type By, createGovernance } from "../../src/governance/governance.ts";
import { inPresentShape } from "../../src/governance/older-state.ts";
import { type ExperimentState, stateShape } from "../../src/governance/state.ts";
import { readState } from "../../src/governance/stored.ts";
import type { GovernanceStore, Snapshot } from "../../src/governance/store.ts";
import { scenario, startOfTime } from "../support/scenario.ts";

const ref = { tenant: "default", environment: "default", experiment: "checkout" };
const by: By = { actor: { id: "author@example.com", kind: "human", roles: ["editor", "operator"] } };
const variants = [{ key: "control", control: true }, { key: "treatment" }];

/** What the first shape did not have. */
const later = [
  "shape",
  "written",
  "ramp",
  "schedule",
  "killed",
  "conclusion",
  "notified",
  "liveSince",
  "paused",
  "frozen",
  "signals",
];

const firstShape = (state: ExperimentState): string =>
  JSON.stringify(Object.fromEntries(Object.entries(state).filter(([member]) => !later.includes(member))));

/** A store whose states are all as the first version of Proviso wrote them. */
const aged = (store: GovernanceStore): GovernanceStore => {
  const old = (snapshot: Snapshot): Snapshot => ({ ...snapshot, state: readState(firstShape(snapshot.state)) });
  return {
    ...store,
    load: async (at, options) => {
      const loaded = await store.load(at, options);
      return loaded === null ? null : { ...loaded, snapshot: old(loaded.snapshot) };
    },
    list: async (scope, query) => {
      const page = await store.list(scope, query);
      return { ...page, items: page.items.map((item) => ({ ...item, snapshot: old(item.snapshot) })) };
    },
  };
};

const filled = async (): Promise<GovernanceStore> => {
  const store = memoryStore();
  const governance = createGovernance({ store, now: () => startOfTime });
  await governance.define("checkout", { variants, ramp: { steps: [{ traffic: 5, hold: "1h" }] } }, by);
  await governance.submit("checkout", {}, by);
  await governance.transition("checkout", "Approved", {}, by);
  await governance.ramp.start("checkout", {}, by);
  await governance.kill("checkout", by, { variant: "treatment" });
  return store;
};

describe("a state of an older shape", () => {
  test("can be read, and is what its history leads to", async () => {
    const store = await filled();
    const present = await store.load(ref);
    const old = await aged(store).load(ref);
    expect(old?.snapshot.state).toMatchObject({ shape: 1, ramp: null, written: [] });
    const current = withCurrentShape(aged(store));
    expect(canonicalJson((await current.load(ref))?.snapshot)).toBe(canonicalJson(present?.snapshot));
    const [item] = (await current.list(ref)).items;
    expect(canonicalJson(item?.snapshot)).toBe(canonicalJson(present?.snapshot));
    expect(present?.snapshot.state.ramp?.step).toBe(0);
  });

  test("is decided on as it would be today, and stored as such by the next commit", async () => {
    const store = await filled();
    const governance = createGovernance({ store: aged(store), now: () => startOfTime });
    expect(await governance.get("checkout", by)).toMatchObject({
      ramp: { step: 0 },
      killed: { variants: ["treatment"] },
    });
    expect(await governance.ramp.hold("checkout", by, "look first")).toMatchObject({ ok: true, outcome: "done" });
    const loaded = await store.load(ref);
    const { events } = await store.history(ref, { limit: 1_000 });
    expect(loaded?.snapshot.state).toMatchObject({ shape: stateShape, ramp: { step: 0, held: { code: "asked" } } });
    expect(canonicalJson(loaded?.snapshot.state)).toBe(canonicalJson(replay(events)));
  });

  test("whose history does not lead to it is refused, and of a newer one nothing is guessed", async () => {
    const store = aged(await filled());
    const cut = withCurrentShape({
      ...store,
      history: async (at) => store.history(at, { limit: 3 }).then((page) => ({ ...page, next: null })),
    });
    await expect(cut.load(ref)).rejects.toMatchObject({ code: "internal" });
    const newer = { ...scenario().writes().state(), shape: stateShape + 1 };
    expect(() => readState(JSON.stringify(newer))).toThrow("not a state of this version");
  });
});

test("a state is made of these members: one more or less is another shape, and `stateShape` says so", () => {
  expect(stateShape).toBe(6);
  expect(Object.keys(scenario().writes().state()).toSorted()).toEqual([
    "approved",
    "authorsSinceApproval",
    "claims",
    "conclusion",
    "createdAt",
    "earlierPlans",
    "epoch",
    "frozen",
    "killed",
    "latest",
    "lifecycle",
    "live",
    "liveSince",
    "name",
    "notified",
    "paused",
    "proposals",
    "ramp",
    "schedule",
    "servingSince",
    "shape",
    "signals",
    "since",
    "updatedAt",
    "updatedBy",
    "written",
  ]);
});

describe("a state whose history is archived, and so cannot be built again", () => {
  const stateIn = async (store: GovernanceStore): Promise<ExperimentState> => {
    const loaded = await store.load(ref);
    if (loaded === null) throw new TypeError("an experiment");
    return loaded.snapshot.state;
  };

  test("of an older shape says since when it serves, what was frozen and who wrote, as far as it knows", async () => {
    const state = await stateIn(await filled());
    const old = readState(firstShape({ ...state, authorsSinceApproval: [state.updatedBy] }));
    const { since, live, latest } = state;
    expect(inPresentShape({ ...old, servingSince: null })).toMatchObject({
      shape: stateShape,
      servingSince: since,
      liveSince: since,
      frozen: { at: since, version: live?.version, plan: null },
      written: [{ digest: latest.digest, by: [state.updatedBy] }],
    });
    expect(inPresentShape({ ...old, lifecycle: "Paused" })).toMatchObject({ servingSince: null, paused: "control" });
  });

  test("of the present shape is what it is", async () => {
    const state = await stateIn(await filled());
    expect(inPresentShape(state)).toBe(state);
  });
});
