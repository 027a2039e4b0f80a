/** What a file declares becomes experiments and versions of them, written like anybody's; and nothing else. */
import { expect, test } from "vitest";
import { memoryStore } from "../../adapters/store/memory.ts";
import { defineDsl, type DslInput } from "../../src/config/index.ts";
import { writeDeclared } from "../../src/governance/declared.ts";
import { type By, createGovernance } from "../../src/governance/governance.ts";
import type { GovernanceStore } from "../../src/governance/store.ts";
import { defaultScope } from "../../src/scope.ts";
import { startOfTime } from "../support/scenario.ts";

const author: By = { actor: { id: "author@example.com", kind: "human", roles: ["editor", "operator"] } };
const approver: By = { actor: { id: "approver@example.com", kind: "human", roles: ["approver"] } };
const gates = [{ type: "manual", from: "PendingApproval", to: "Approved" }] as const;
const variants = [{ key: "control", control: true }, { key: "treatment" }];

/** One process that starts with a file. */
const processOn = (store: GovernanceStore) => {
  const governance = createGovernance({ store, gates, now: () => startOfTime });
  const starts = async (experiments: NonNullable<DslInput["experiments"]>, enableAutoVersioning = true) => {
    const defined = defineDsl({ governance: { enableAutoVersioning }, experiments });
    if (!defined.ok) throw new Error(JSON.stringify(defined.errors));
    const { governance: settings, experiments: declared } = defined.value;
    return writeDeclared({
      store,
      governor: () => governance.governor,
      scope: defaultScope,
      experiments: declared,
      enableAutoVersioning: settings.enableAutoVersioning,
    });
  };
  return { governance, starts };
};

const setUp = () => {
  const store = memoryStore();
  const process = processOn(store);
  const versions = async (named = "checkout") =>
    (await process.governance.history(named, { types: ["VersionWritten"] })).events.map(({ data }) => data);
  const stateOf = (named = "checkout") => process.governance.get(named, approver);
  return { store, ...process, versions, stateOf };
};

/** Approved and started by people. */
const running = async ({ store, governance }: ReturnType<typeof setUp>): Promise<void> => {
  await governance.submit("checkout", {}, author);
  const loaded = await store.load({ ...defaultScope, experiment: "checkout" });
  const changeDigest = loaded?.snapshot.state.proposals[0]?.changeDigest ?? "";
  await governance.approve("checkout", { changeDigest }, approver);
  for (const to of ["Approved", "Running"] as const) await governance.transition("checkout", to, {}, author);
};

const saltOf = async ({ store }: ReturnType<typeof setUp>): Promise<string> =>
  (await store.load({ ...defaultScope, experiment: "checkout" }))?.snapshot.state.latest.configuration.salt ?? "";

const checkout = (traffic: number) => ({ name: "checkout", variants, traffic });

test("what is declared is created once, as a draft of system:dsl, and keeps the salt that it was given", async () => {
  const world = setUp();
  for (const times of [1, 2, 3]) {
    expect([times, await world.starts([checkout(50)])]).toEqual([times, []]);
    expect(await world.versions()).toHaveLength(1);
  }
  expect(await world.stateOf()).toMatchObject({ state: "Draft", updatedBy: "system:dsl", traffic: 0 });
});

test("a file that reads differently is the next version where versions follow the file, and nothing otherwise", async () => {
  const world = setUp();
  await world.starts([checkout(50)]);
  const before = await saltOf(world);
  expect(await world.starts([checkout(60)], false)).toEqual([]);
  expect(await world.versions()).toHaveLength(1);
  expect(await world.starts([checkout(60)])).toEqual([]);
  expect(await world.starts([checkout(60)])).toEqual([]);
  expect(await world.versions()).toMatchObject([{ version: 1 }, { version: 2, configuration: { traffic: 60 } }]);
  expect(before).toMatch(/./);
  expect(await saltOf(world)).toBe(before);
});

test("a version from a file waits for approval like anybody's, and changes nothing that serves", async () => {
  const world = setUp();
  const { governance } = world;
  await world.starts([checkout(50)]);
  await running(world);
  expect(await world.starts([checkout(70)])).toEqual([]);
  expect(await world.stateOf()).toMatchObject({ state: "Running", latestVersion: 2, liveVersion: 1, traffic: 50 });
  const held = await governance.publish("checkout", 2, {}, author);
  expect(held.ok && held.outcome).toBe("held");
  expect(await governance.verify("checkout")).toMatchObject({ valid: true });
});

test("archived stays archived, whatever the file says", async () => {
  const world = setUp();
  await world.starts([checkout(50), { name: "other", variants }]);
  await world.governance.archive("checkout", {}, author);
  expect(await world.starts([checkout(60), { name: "other", variants, traffic: 1 }])).toEqual([]);
  expect(await world.stateOf()).toMatchObject({ state: "Archived", latestVersion: 1 });
  expect(await world.stateOf("other")).toMatchObject({ state: "Draft", latestVersion: 2 });
});

test("two processes at once write one version, and neither is refused", async () => {
  const world = setUp();
  const processes = [0, 1, 2].map(() => processOn(world.store));
  for (const traffic of [50, 60]) {
    const refused = await Promise.all(processes.map(({ starts }) => starts([checkout(traffic)])));
    expect(refused).toEqual([[], [], []]);
  }
  expect(await world.versions()).toMatchObject([
    { version: 1, configuration: { traffic: 50 } },
    { version: 2, configuration: { traffic: 60 } },
  ]);
});

test("what is refused is said, and holds up nothing else", async () => {
  const world = setUp();
  const planned = (alpha: number) => ({ ...checkout(50), plan: { alpha } });
  await world.starts([planned(0.05)]);
  await running(world);
  expect(await world.starts([planned(0.1), { name: "other", variants }])).toMatchObject([
    { ok: false, code: "invalid-request", details: { errors: [{ path: "/configuration/plan" }] } },
  ]);
  expect(await world.stateOf()).toMatchObject({ state: "Running", latestVersion: 1 });
  expect(await world.stateOf("other")).toMatchObject({ state: "Draft" });
});
