/** The Durable Object store inside workerd, against the storage that Durable Objects have. */
import { env } from "cloudflare:workers";
import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { describe, expect, test } from "vitest";
import { durableObjectStore, openHistory } from "../../adapters/store/durable-object.ts";
import { type ExperimentRef, refKey, scopeKey } from "../../src/scope.ts";
import { type Attack, describeStore, type StoreUnderTest } from "../conformance/store.suite.ts";
import { type RunSql, sqliteAttacks } from "../support/sqlite-attacks.ts";
import { createAlarms } from "../../worker/alarms.ts";
import { wholeList } from "../conformance/store/under-test.ts";
import { after, creation, freshScope, next } from "../support/governance.ts";
import { experimentObject, objectStore, registryObject } from "./objects.ts";

/** Past the port there is one database for each experiment. */
const runOn =
  (ref: ExperimentRef): RunSql =>
  (sql, ...values) =>
    runInDurableObject(env.EXPERIMENTS.getByName(refKey(ref)), (_object, { storage }) =>
      storage.sql.exec(sql, ...values).toArray(),
    );
const attack =
  (name: Attack): StoreUnderTest["attacks"][Attack] =>
  (ref, history) =>
    sqliteAttacks(runOn(ref))[name](ref, history);

describeStore("durable-object", async () => ({
  store: durableObjectStore({ experiment: experimentObject, registry: registryObject }),
  attacks: {
    gap: attack("gap"),
    unlinked: attack("unlinked"),
    insertOrReplace: attack("insertOrReplace"),
    insertOrIgnore: attack("insertOrIgnore"),
    upsert: attack("upsert"),
    update: attack("update"),
    delete: attack("delete"),
    rules: attack("rules"),
    checkpoint: attack("checkpoint"),
  },
}));

describe("durable-object: objects that are gone from memory", () => {
  const stubOf = (ref: ExperimentRef) => env.EXPERIMENTS.getByName(refKey(ref));

  test("come back with everything, and what they held is still held", async () => {
    const store = objectStore();
    const scope = freshScope();
    const [a, b] = [
      { ...scope, experiment: "a" },
      { ...scope, experiment: "b" },
    ];
    const created = creation(a, { take: ["token"] });
    expect(await store.commit(a, created)).toEqual({ ok: true });
    for (const stub of [stubOf(a), env.REGISTRIES.getByName(scopeKey(scope))]) await evictDurableObject(stub);
    const claimed = { ok: false, conflict: "claimed", claim: "token", holder: "a" };
    expect(await store.commit(b, creation(b, { take: ["token"] }))).toEqual(claimed);
    expect((await store.load(a))?.snapshot).toEqual(created.snapshot);
    await evictDurableObject(stubOf(a));
    expect(await store.commit(a, next(after(created), { release: ["token"] }))).toEqual({ ok: true });
    expect(await store.commit(b, creation(b, { take: ["token"] }))).toEqual({ ok: true });
    expect(await wholeList(store, scope)).toEqual(["a", "b"]);
  });

  test("tell the registry by their alarm what they could not tell before they died", async () => {
    const store = objectStore();
    const ref = { ...freshScope(), experiment: "a" };
    const died = (): Promise<never> => Promise.reject(new Error("the object died before it could say so"));
    const committed = await runInDurableObject(stubOf(ref), (_object, { storage }) => {
      const alarms = createAlarms({
        storage,
        now: Date.now,
        tick: () => Promise.resolve(null),
        report: () => undefined,
      });
      const dying = openHistory({
        storage,
        registry: () => ({
          ...registryObject(ref),
          reserve: (wanted) => registryObject(ref).reserve(wanted),
          mark: died,
          report: died,
        }),
        id: () => crypto.randomUUID(),
        wake: (waiting) => alarms.wake(waiting, Date.now() + 100),
      });
      return dying.commit(ref, creation(ref, { take: ["token"] }));
    });
    expect(committed).toEqual({ ok: true });
    await evictDurableObject(stubOf(ref));
    // Although nothing was reported, nobody else gets what is held.
    const rival = { ...ref, experiment: "rival" };
    expect(await store.commit(rival, creation(rival, { take: ["token"] }))).toMatchObject({ holder: "a" });
    // Nobody asks the object anything: it is its alarm that wakes it.
    await expect.poll(() => wholeList(store, ref), { timeout: 20_000 }).toEqual(["a"]);
  });
});
