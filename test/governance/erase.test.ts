/** Erasing, sweeping, exporting and importing by the SDK, where no HTTP is in between. */
import { describe, expect, test } from "vitest";
import { memoryStore } from "../../adapters/store/memory.ts";
import { createGovernance } from "../../src/governance/governance.ts";
import { observe, wholeHistory } from "../conformance/store/under-test.ts";
import { approver, author, collect, lived, variants } from "../support/lived.ts";

const scope = { tenant: "default", environment: "default" };
const root = { actor: { id: "root@example.com", kind: "human", roles: ["admin"] } } as const;

describe("erasing", () => {
  test("a record that was written and an erasure that failed are made good by asking again", async () => {
    const { store, ref } = await lived();
    let failures = 1;
    const governance = createGovernance({
      store: {
        ...store,
        erase: (where, refs) => {
          failures -= 1;
          return failures >= 0 ? Promise.reject(new Error("gone")) : store.erase(where, refs);
        },
      },
    });
    await expect(governance.erase(ref, author.actor.id, root)).rejects.toThrow("gone");
    expect(JSON.stringify(await observe(store, ref))).toContain(author.actor.id);
    expect(await governance.erase(ref, author.actor.id, root)).toBeGreaterThan(5);
    expect(JSON.stringify(await observe(store, ref))).not.toContain(author.actor.id);
    expect((await wholeHistory(store, ref)).filter(({ type }) => type === "Erased")).toHaveLength(2);
  });

  test("an erasure that stopped half way is made good by asking again: the person is found until all is gone", async () => {
    const { store, ref } = await lived();
    let stops = true;
    const governance = createGovernance({
      store: {
        ...store,
        erase: async (where, refs) => {
          await store.erase(where, stops ? refs.slice(0, -1) : refs);
          if (stops) throw new Error("the process is gone");
        },
      },
    });
    await expect(governance.erase(ref, author.actor.id, root)).rejects.toThrow("gone");
    stops = false;
    expect(await governance.erase(ref, author.actor.id, root)).toBeGreaterThan(5);
    expect(JSON.stringify(await observe(store, ref))).not.toContain(author.actor.id);
  });

  test("what is refused has left nothing personal that no event names", async () => {
    const { store, ref, governance } = await lived();
    await governance.kill(ref, author, { reason: "stop" });
    await governance.unschedule(ref, author);
    const named = JSON.stringify(await wholeHistory(store, ref));
    for (const { ref: reference } of (await observe(store, ref)).personal) expect(named).toContain(reference);
  });

  test("oneself works, and the record keeps a reference", async () => {
    const { store, ref, governance } = await lived();
    expect(await governance.erase(ref, approver.actor.id, approver)).toBeGreaterThan(1);
    expect(JSON.stringify(await observe(store, ref))).not.toContain(approver.actor.id);
    expect(await governance.verify(ref)).toMatchObject({ valid: true });
    // Who comes back is somebody new.
    await governance.pause(ref, { actor: { ...approver.actor, roles: ["operator"] } });
    expect((await store.load(ref, { actor: approver.actor.id }))?.actor).not.toBeNull();
  });

  test("goes through a scope in pages", async () => {
    const store = memoryStore();
    const governance = createGovernance({ store });
    for (const name of ["a", "b", "c"]) await governance.define(name, { variants }, author);
    const first = await governance.eraseEverywhere(author.actor.id, root, { limit: 2 });
    expect(first).toEqual({
      erased: [
        { experiment: "a", values: 1 },
        { experiment: "b", values: 1 },
      ],
      next: "b",
    });
    const rest = await governance.eraseEverywhere(author.actor.id, root, { limit: 2, after: first.next ?? "" });
    expect(rest).toEqual({ erased: [{ experiment: "c", values: 1 }], next: null });
  });
});

test("receipts of a whole scope are swept when their time is over", async () => {
  const store = memoryStore();
  let time = Date.parse("2026-11-21T12:00:00Z");
  const governance = createGovernance({ store, now: () => time, receiptLifetimeMs: 1_000 });
  const key = { ...author, idempotencyKey: "k" };
  const first = await governance.define("a", { variants }, key);
  expect(await governance.define("a", { variants }, key)).toEqual(first);
  await governance.sweep(scope);
  expect(await governance.define("a", { variants }, key)).toEqual(first);
  time += 1_000;
  await governance.sweep(scope);
  // Also for whoever looks without a clock.
  const loaded = await store.load({ ...scope, experiment: "a" }, { receipt: "any" });
  expect(loaded?.receipt).toBeNull();
  expect(await governance.define("a", { variants }, key)).toMatchObject({ ok: false, code: "experiment-exists" });
});

test("an export comes in by the SDK, and the governor that had another state looks again", async () => {
  const { store, ref, governance } = await lived();
  const target = memoryStore();
  const other = createGovernance({ store: target });
  const lines = (await collect(governance.export(ref))).map((line) => line.slice(0, -1));
  expect(await other.import(lines)).toMatchObject({ ref });
  await governance.pause(ref, author);
  const later = (await collect(governance.export(ref))).map((line) => line.slice(0, -1));
  expect(await other.get(ref, author)).toMatchObject({ state: "Running" });
  expect(await other.import(later)).toMatchObject({ written: 1 });
  expect(await other.get(ref, author)).toMatchObject({ state: "Paused" });
  expect(await observe(target, ref)).toEqual(await observe(store, ref));
});
