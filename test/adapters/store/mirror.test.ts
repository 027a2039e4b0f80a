/** The mirror: the suites, and what becomes of followers that fail. `test/worker/store-mirror.test.ts` has real engines. */
import { afterEach, describe, expect, test } from "vitest";
import { memoryStore } from "../../../adapters/store/memory.ts";
import { isMirror, mirrorStore, type MirrorStoreOptions } from "../../../adapters/store/mirror.ts";
import { createGovernance } from "../../../src/governance/governance.ts";
import type { Subscriber } from "../../../src/delivery/subscriber.ts";
import type { Commit, GovernanceStore } from "../../../src/governance/store.ts";
import { describeGovernance } from "../../conformance/governance.suite.ts";
import { describeFaults } from "../../conformance/faults.suite.ts";
import { describeRaces } from "../../conformance/races.suite.ts";
import { describeStore } from "../../conformance/store.suite.ts";
import { commitAll, observe, wholeHistory } from "../../conformance/store/under-test.ts";
import {
  after,
  author,
  checkpointAt,
  creation,
  denial,
  freshRef,
  freshScope,
  later,
  next,
  receipt,
  ruleSet,
  transitioned,
} from "../../support/governance.ts";
import { governedWorld } from "../../support/governed-world.ts";
import { memoryAttacks } from "../../support/memory-attacks.ts";
import { expectSame, expectSameLists, isAway, losesAnswer, switchable, works } from "../../support/mirror.ts";
import { personalValue } from "../../../src/governance/personal.ts";

const modes = ["writeThrough", "writeBehind"] as const;

/** Nothing is expected to go wrong with the followers, and nothing goes wrong silently. */
const failures: unknown[] = [];
const fail = (error: unknown): void => void failures.push(error);
afterEach(() => {
  const found = failures.splice(0);
  if (found.length > 0) throw new AggregateError(found, "a follower failed");
});

for (const mode of modes)
  describeStore(`mirror, ${mode}`, async () => {
    const primary = memoryStore();
    const store = mirrorStore({ primary, followers: [memoryStore(), memoryStore()], mode, report: fail });
    return { store, attacks: memoryAttacks(primary) };
  });

/** Says that a page came from a follower, which the cases of the suite know nothing of. */
const sourced = (store: GovernanceStore): GovernanceStore => ({
  ...store,
  async history(ref, query) {
    const { source, ...page } = await store.history(ref, query);
    expect(source).toBe("memory");
    return page;
  },
  async list(scope, query) {
    const { source, ...page } = await store.list(scope, query);
    expect(source).toBe("memory");
    return page;
  },
});

describeStore("mirror, read from a follower", async () => {
  const primary = memoryStore();
  const followers = [memoryStore()];
  const store = sourced(mirrorStore({ primary, followers, reads: "follower", report: fail }));
  return { store, attacks: memoryAttacks(primary) };
});

const makeStore = () =>
  Promise.resolve(mirrorStore({ primary: memoryStore(), followers: [memoryStore()], report: fail }));
describeGovernance("mirror", makeStore);
describeFaults("mirror", makeStore);
describeRaces("mirror", makeStore);

/** A mirror whose one follower fails as told. */
const mirrored = (options: Partial<MirrorStoreOptions> = {}) => {
  const primary = memoryStore();
  const behind = memoryStore();
  const { store: follower, switched } = switchable(behind);
  const errors: unknown[] = [];
  const background: Promise<void>[] = [];
  const store = mirrorStore({
    primary,
    followers: [follower],
    report: (error) => void errors.push(error),
    waitUntil: (work) => void background.push(work),
    ...options,
  });
  return { primary, follower: behind, switched, store, errors, background };
};

describe("mirror: a follower that fails", () => {
  test.each(modes)("%s: the commit stands, and the follower catches up without a gap", async (mode) => {
    const { primary, follower, switched, store, errors } = mirrored({ mode });
    const ref = freshRef();
    const first = creation(ref, { rules: [ruleSet("a")] });
    await commitAll(store, ref, first);
    await expect.poll(async () => (await follower.load(ref))?.head.seq).toBe(2);
    switched.meet = isAway;
    const reason = personalValue("text", "7a", "because");
    const second = next(after(first), { drafts: [transitioned(reason)], personal: [reason], receipt: receipt("key") });
    const third = denial(after(second));
    await commitAll(store, ref, second, third);
    await expect.poll(() => store.troubles()).toMatchObject([{ follower: "memory", ref, standing: "behind" }]);
    expect(errors).not.toEqual([]);
    expect(await wholeHistory(follower, ref)).toHaveLength(2);
    expect((await store.load(ref, { receipt: "key" }))?.receipt).toEqual(receipt("key"));
    switched.meet = works;
    await store.catchUp(ref);
    expect(store.troubles()).toEqual([]);
    await expectSame(primary, follower, ref);
    await expectSameLists(primary, follower, ref);
  });

  test("whose answer is lost is in step all the same", async () => {
    const { primary, follower, switched, store } = mirrored();
    const ref = freshRef();
    const first = creation(ref);
    switched.meet = losesAnswer;
    await commitAll(store, ref, first);
    expect(store.troubles()).toHaveLength(1);
    switched.meet = works;
    await commitAll(store, ref, next(after(first)));
    expect(store.troubles()).toEqual([]);
    await expectSame(primary, follower, ref);
  });

  test("is no reason to fail a commit that has been made, even where nobody can be told of it", async () => {
    const follower = switchable(memoryStore());
    const store = mirrorStore({
      primary: memoryStore(),
      followers: [follower.store],
      report: () => {
        throw new Error("the log is away too");
      },
    });
    follower.switched.meet = isAway;
    const ref = freshRef();
    expect(await store.commit(ref, creation(ref))).toEqual({ ok: true });
  });

  test("is brought on in the background, with nobody asking", async () => {
    const { primary, follower, switched, store, background } = mirrored();
    const ref = freshRef();
    switched.meet = isAway;
    await commitAll(store, ref, creation(ref));
    switched.meet = works;
    await Promise.all(background);
    expect(store.troubles()).toEqual([]);
    await expectSame(primary, follower, ref);
  });

  test("by never answering holds nobody up for longer than it may", async () => {
    const { primary, follower, switched, store, background } = mirrored({ followerTimeoutMs: 20 });
    const ref = freshRef();
    const hanging = Promise.withResolvers<void>();
    switched.meet = async (work) => {
      await hanging.promise;
      return work();
    };
    await commitAll(store, ref, creation(ref));
    expect(await follower.load(ref)).toBeNull();
    hanging.resolve();
    await Promise.all(background);
    await expectSame(primary, follower, ref);
  });

  test.each(modes)("%s: at every await, one after another, costs nothing but time", async (mode) => {
    for (let failing = 1; failing <= 20; failing += 1) {
      for (const how of [isAway, losesAnswer]) {
        const { primary, follower, switched, store } = mirrored({ mode });
        const ref = freshRef();
        const first = creation(ref);
        const second = next(after(first), { receipt: receipt("key") });
        switched.meet = isAway;
        await commitAll(store, ref, first);
        await store.advance(ref, "webhook", 2);
        switched.meet = (work) => (switched.asked === failing ? how(work) : work());
        switched.asked = 0;
        await commitAll(store, ref, second, next(after(second)));
        await store.catchUp(ref).catch(() => undefined);
        switched.meet = works;
        await store.catchUp(ref);
        await expectSame(primary, follower, ref);
        expect(store.troubles()).toEqual([]);
      }
    }
  });

  test("does not fail what the primary refuses, or make it happen", async () => {
    const { follower, store, switched } = mirrored();
    const ref = freshRef();
    const first = creation(ref);
    await commitAll(store, ref, first);
    const { asked } = switched;
    expect(await store.commit(ref, creation(ref))).toEqual({ ok: false, conflict: "exists" });
    expect(await store.commit(ref, next({ ...after(first), head: { seq: 1, hash: "f".repeat(64) } }))).toMatchObject({
      conflict: "stale",
    });
    expect(switched.asked).toBe(asked);
    expect(await wholeHistory(follower, ref)).toHaveLength(2);
  });
});

/** Sees to it that something happens just before the first call of one operation. */
const beforeFirst = (
  store: GovernanceStore,
  operation: "receipts" | "keepReceipts",
  happen: () => Promise<unknown>,
): GovernanceStore => {
  let done = false;
  const once = async (): Promise<void> => {
    if (done) return;
    done = true;
    await happen();
  };
  return {
    ...store,
    receipts: async (...asked) => {
      if (operation === "receipts") await once();
      return store.receipts(...asked);
    },
    keepReceipts: async (...asked) => {
      if (operation === "keepReceipts") await once();
      return store.keepReceipts(...asked);
    },
  };
};

describe("mirror: a follower that is made the authority", () => {
  test.each(modes)(
    "%s: knows the answers of an outage: a retry gets its answer and acts no second time",
    async (mode) => {
      const { follower, switched, store, background } = mirrored({ mode });
      const world = governedWorld(store, freshScope());
      const { author: person } = world.start();
      await person.write();
      switched.meet = isAway;
      const key = { "idempotency-key": "attempt-1" };
      const answer = await person.move("PendingApproval", {}, key);
      await person.write({ traffic: 50 }, { "idempotency-key": "attempt-2" });
      expect(answer.status).toBe(200);
      switched.meet = works;
      await Promise.all(background);
      await store.catchUp(world.ref);
      const alone = governedWorld(follower, world.ref);
      const length = (await alone.history()).length;
      expect(await alone.start().author.move("PendingApproval", {}, key)).toEqual(answer);
      expect((await alone.start().author.write({ traffic: 50 }, { "idempotency-key": "attempt-2" })).status).toBe(201);
      expect(await alone.history()).toHaveLength(length);
      expect((await alone.start().author.move("Draft", {}, key)).code).toBe("idempotency-key-reused");
      expect((await alone.start().author.move("Draft", {}, { "idempotency-key": "attempt-3" })).status).toBe(200);
    },
  );

  test("does not deliver again what its predecessor has delivered, and delivers what it has not", async () => {
    const { follower, switched, store } = mirrored();
    const delivered: number[] = [];
    const webhook: Subscriber = {
      name: "webhook",
      deliver: async ({ events }) => void delivered.push(...events.map(({ seq }) => seq)),
    };
    const ref = { tenant: "default", environment: "default", experiment: "a" };
    const governance = createGovernance({ store, subscribers: [webhook] });
    await governance.define("a", { variants }, by);
    await governance.tick();
    switched.meet = isAway;
    await governance.transition("a", "PendingApproval", {}, by);
    await governance.tick();
    const told = delivered.splice(0);
    expect(told.length).toBeGreaterThan(2);
    switched.meet = works;
    await store.catchUp(ref);
    // Only the primary has this one, and nobody has been told of it.
    await createGovernance({ store }).transition("a", "Draft", {}, by);
    const alone = createGovernance({ store: follower, subscribers: [webhook] });
    await alone.tick();
    expect(delivered).not.toEqual([]);
    expect(Math.min(...delivered)).toBe(told.length + 1);
  });

  test("is never told to be further than its own events: what it lacks was not delivered there", async () => {
    const { follower, switched, store } = mirrored();
    const ref = freshRef();
    const first = creation(ref);
    await commitAll(store, ref, first);
    await store.advance(ref, "webhook", 1);
    expect(await follower.positions(ref)).toEqual(new Map([["webhook", 1]]));
    const isCommit = { away: true };
    switched.meet = (work) => (isCommit.away ? isAway(work) : work());
    await commitAll(store, ref, next(after(first)));
    isCommit.away = false;
    await store.advance(ref, "webhook", 3);
    await store.advance(ref, "far", Number.MAX_SAFE_INTEGER);
    expect(await follower.positions(ref)).toEqual(
      new Map([
        ["webhook", 2],
        ["far", 2],
      ]),
    );
    await store.catchUp(ref);
    expect(await follower.positions(ref)).toEqual(
      new Map([
        ["webhook", 3],
        ["far", 3],
      ]),
    );
  });

  test("has no answer to what it has not done, even where the primary goes on while answers are read", async () => {
    const primary = memoryStore();
    const ref = freshRef();
    const first = creation(ref, { receipt: receipt("first") });
    const second = next(after(first), { receipt: receipt("second") });
    const third = next(after(second), { receipt: receipt("third") });
    await commitAll(primary, ref, first, second);
    const moving = beforeFirst(primary, "receipts", () => commitAll(primary, ref, third));
    const follower = memoryStore();
    const { store: watched, switched } = switchable(follower);
    const reached = new Map([
      ["first", 2],
      ["second", 3],
      ["third", 4],
    ]);
    const early: string[] = [];
    switched.meet = async (work) => {
      const answer = await work();
      const head = (await follower.load(ref))?.head.seq ?? 0;
      for (const { key } of (await follower.receipts(ref)).receipts)
        if ((reached.get(key) ?? Infinity) > head) early.push(`${key} at ${head}`);
      return answer;
    };
    await mirrorStore({ primary: moving, followers: [watched], report: fail }).catchUp(ref);
    expect(early).toEqual([]);
    await expectSame(primary, follower, ref);
    expect((await follower.receipts(ref)).receipts.map(({ key }) => key)).toEqual(["first", "second", "third"]);
  });

  test("keeps no answer that was erased while it was on its way", async () => {
    const primary = memoryStore();
    const ref = freshRef();
    const first = creation(ref, { receipt: receipt("first") });
    await commitAll(primary, ref, first, next(after(first), { receipt: receipt("second") }));
    const follower = memoryStore();
    const erasing = beforeFirst(follower, "keepReceipts", async () => {
      await primary.erase(ref, [author.ref]);
      await follower.erase(ref, [author.ref]);
    });
    await mirrorStore({ primary, followers: [erasing], report: fail }).catchUp(ref);
    expect((await follower.receipts(ref)).receipts).toEqual([]);
    await expectSame(primary, follower, ref);
  });

  test("gets the answers from the outbox when the process that brought the events died ahead of them", async () => {
    const [primary, follower] = [memoryStore(), memoryStore()];
    const ref = freshRef();
    const first = creation(ref, { receipt: receipt("first") });
    await commitAll(primary, ref, first);
    const dies = beforeFirst(follower, "keepReceipts", () => Promise.reject(new Error("the process is gone")));
    await expect(mirrorStore({ primary, followers: [dies] }).catchUp(ref)).rejects.toThrow("gone");
    expect(await wholeHistory(follower, ref)).toHaveLength(2);
    expect((await follower.receipts(ref)).receipts).toEqual([]);
    // Another process knows nothing of it, and its commit goes through as if all were well.
    const store = mirrorStore({ primary, followers: [follower], report: fail });
    const second = next(after(first), { receipt: receipt("second") });
    await commitAll(store, ref, second);
    expect((await follower.receipts(ref)).receipts).toHaveLength(1);
    await store.subscriber.deliver({ ref, events: second.events, people: new Map() });
    await expectSame(primary, follower, ref);
    expect((await follower.receipts(ref)).receipts).toHaveLength(2);
  });

  test("loses an answer that was erased while a process that then died was bringing it, and no other", async () => {
    const primary = memoryStore();
    const ref = freshRef();
    const first = creation(ref, { receipt: receipt("first") });
    await commitAll(primary, ref, first);
    const follower = memoryStore();
    const dies: GovernanceStore = {
      ...follower,
      keepReceipts: async (place, receipts) => {
        await primary.erase(place, [author.ref]);
        await follower.erase(place, [author.ref]);
        await follower.keepReceipts(place, receipts);
        throw new Error("the process is gone");
      },
    };
    await expect(mirrorStore({ primary, followers: [dies] }).catchUp(ref)).rejects.toThrow("gone");
    const store = mirrorStore({ primary, followers: [follower], report: fail });
    await commitAll(store, ref, next(after(first), { receipt: receipt("second") }));
    expect((await follower.receipts(ref)).receipts.map(({ key }) => key)).toEqual(["first", "second"]);
    await store.catchUp(ref);
    expect((await follower.receipts(ref)).receipts.map(({ key }) => key)).toEqual(["second"]);
    await expectSame(primary, follower, ref);
  });

  test("gets large answers a few at a time", async () => {
    const primary = memoryStore();
    const ref = freshRef();
    let last: Commit = creation(ref);
    await commitAll(primary, ref, last);
    for (let index = 0; index < 5; index += 1) {
      last = next(after(last), {
        receipt: receipt(`key ${index}`, later(60), "x".repeat(index === 0 ? 1_400_000 : 400_000)),
      });
      await commitAll(primary, ref, last);
    }
    const follower = memoryStore();
    const sizes: number[] = [];
    const watched: GovernanceStore = {
      ...follower,
      keepReceipts: async (place, receipts) => {
        sizes.push(receipts.length);
        await follower.keepReceipts(place, receipts);
      },
    };
    await mirrorStore({ primary, followers: [watched], report: fail }).catchUp(ref);
    expect(sizes).toEqual([1, 2, 2]);
    await expectSame(primary, follower, ref);
  });

  test("brings more answers than a page has, and none that have ended", async () => {
    const primary = memoryStore();
    const ref = freshRef();
    let last: Commit = creation(ref);
    await commitAll(primary, ref, last);
    for (let index = 0; index < 230; index += 1) {
      last = next(after(last), { receipt: receipt(`key ${index}`, later(60 + (index % 2) * 60)) });
      await commitAll(primary, ref, last);
    }
    const follower = memoryStore();
    await mirrorStore({ primary, followers: [follower], report: fail }).catchUp(ref);
    await expectSame(primary, follower, ref);
    const pages = [await follower.receipts(ref), await follower.receipts(ref, { now: later(60) })];
    expect(pages.map(({ receipts, next: more }) => [receipts.length, more === null])).toEqual([
      [100, false],
      [100, false],
    ]);
  });
});

describe("mirror: write-behind", () => {
  test("answers when the primary has it", async () => {
    const { follower, switched, store, primary } = mirrored({ mode: "writeBehind" });
    const ref = freshRef();
    const gate = Promise.withResolvers<void>();
    switched.meet = async (work) => {
      await gate.promise;
      return work();
    };
    const first = creation(ref);
    const second = next(after(first));
    await commitAll(store, ref, first, second);
    expect(await follower.load(ref)).toBeNull();
    gate.resolve();
    await expect.poll(async () => (await follower.load(ref))?.head.seq).toBe(3);
    await expectSame(primary, follower, ref);
  });
});

const by = { actor: { id: "lead", kind: "human", roles: ["admin"] } } as const;
const variants = [{ key: "control", control: true }, { key: "treatment" }];

describe("mirror: real histories", () => {
  test("of many events reach a new follower in several commits", async () => {
    const primary = memoryStore();
    const governance = createGovernance({ store: primary });
    for (let version = 0; version < 250; version += 1) {
      const write = version === 0 ? governance.define : governance.revise;
      expect(await write("long", { variants, description: `${version}` }, by, `change ${version}`)).toMatchObject({
        ok: true,
      });
    }
    const follower = memoryStore();
    const { switched, store: counted } = switchable(follower);
    const ref = { tenant: "default", environment: "default", experiment: "long" };
    const store = mirrorStore({ primary, followers: [counted] });
    expect(await store.catchUpAll(ref)).toEqual({ experiments: 1, troubles: [] });
    expect(switched.asked).toBeGreaterThan(6);
    await expectSame(primary, follower, ref);
  });

  test("in which names go round between experiments are followed from any point", async () => {
    const primary = memoryStore();
    const policies = [{ type: "conflictPrevention", conflictingExperiments: ["z"] }] as const;
    const governance = createGovernance({
      store: primary,
      policies: policies.map((policy) => ({ ...policy, conflictingExperiments: [...policy.conflictingExperiments] })),
    });
    const scope = { tenant: "default", environment: "default" };
    const names = ["a", "b", "c"];
    const surfaces = ["home", "cart", "menu"];
    const early = memoryStore();
    const whenEarly = mirrorStore({ primary, followers: [early] });
    const serve = async (name: string, held: string[]): Promise<boolean> => {
      const exists = (await primary.load({ ...scope, experiment: name })) !== null;
      await (exists ? governance.revise : governance.define)(name, { variants, surfaces: held }, by);
      for (const to of ["PendingApproval", "Approved", "Running"] as const)
        await governance.transition(name, to, {}, by);
      return (await primary.load({ ...scope, experiment: name }))?.snapshot.state.lifecycle === "Running";
    };
    const rest = async (name: string): Promise<void> => {
      for (const to of ["RolledBack", "Draft"] as const) await governance.transition(name, to, {}, by);
    };
    for (const [index, name] of names.entries()) expect(await serve(name, surfaces.slice(index, index + 1))).toBe(true);
    await whenEarly.catchUpAll(scope);
    // Each takes what the one before it had, several times round.
    for (let turn = 1; turn <= 6; turn += 1) {
      for (const name of names) await rest(name);
      for (const [index, name] of names.entries())
        expect(await serve(name, [surfaces[(index + turn) % 3] ?? "home"])).toBe(true);
    }
    const late = memoryStore();
    for (const follower of [early, late]) {
      const mirror = mirrorStore({ primary, followers: [follower] });
      expect(await mirror.catchUpAll(scope)).toEqual({ experiments: 3, troubles: [] });
      await expectSame(primary, follower, ...names.map((experiment) => ({ ...scope, experiment })));
      await expectSameLists(primary, follower, scope, surfaces);
      expect((await follower.rules({ ...scope, experiment: "a" })).rules).not.toEqual([]);
    }
  });
});

describe("mirror: the outbox", () => {
  test("brings a follower on after the process that should have has died", async () => {
    const [primary, follower] = [memoryStore(), memoryStore()];
    const { store: away, switched } = switchable(follower);
    switched.meet = isAway;
    const died = createGovernance({ store: mirrorStore({ primary, followers: [away] }) });
    expect(await died.define("a", { variants }, by)).toMatchObject({ ok: true });
    const store = mirrorStore({ primary, followers: [follower], report: fail });
    expect([isMirror(store), isMirror({ ...store }), isMirror(primary)]).toEqual([true, true, false]);
    await createGovernance({ store, subscribers: [store.subscriber] }).tick();
    const ref = { tenant: "default", environment: "default", experiment: "a" };
    await expectSame(primary, follower, ref);
    expect(await store.positions(ref)).toEqual(new Map([["mirror", 2]]));
  });
});

describe("mirror: a follower with another history", () => {
  test("is refused aloud and never written over", async () => {
    const { primary, follower, store, errors } = mirrored();
    const ref = freshRef();
    // Each creation has events of its own.
    const first = creation(ref);
    await commitAll(primary, ref, first);
    await commitAll(follower, ref, creation(ref));
    const before = await observe(follower, ref);
    expect(before.history[0]?.hash).not.toBe(first.events[0]?.hash);
    const second = next(after(first));
    await commitAll(store, ref, second, next(after(second)));
    expect(String(errors[0])).toContain("has another history of checkout");
    expect(store.troubles()).toMatchObject([{ standing: "refused" }]);
    await expect(store.check()).rejects.toThrow("another history");
    await expect(store.catchUp(ref)).rejects.toThrow("another history");
    expect(await observe(follower, ref)).toEqual(before);
    expect(await wholeHistory(primary, ref)).toHaveLength(4);
  });

  test("that goes on further than the primary is refused too", async () => {
    const { primary, follower, store } = mirrored();
    const ref = freshRef();
    const first = creation(ref);
    await commitAll(primary, ref, first);
    await commitAll(follower, ref, first, next(after(first)));
    await expect(store.catchUp(ref)).rejects.toThrow("it goes on to event 3, and the primary ends at 2");
    const other = freshRef();
    await commitAll(follower, other, creation(other));
    await expect(store.catchUp(other)).rejects.toThrow("the primary ends at 0");
  });
});

describe("mirror: erasing and archiving", () => {
  test("an erasure is done when every store has done it", async () => {
    const { primary, follower, switched, store } = mirrored();
    const ref = freshRef();
    await commitAll(store, ref, creation(ref));
    switched.meet = isAway;
    await expect(store.erase(ref, [author.ref])).rejects.toMatchObject({ code: "store-unavailable" });
    switched.meet = works;
    await store.erase(ref, [author.ref]);
    for (const one of [primary, follower]) expect((await one.personal(ref)).values).toEqual([]);
  });

  test("given a follower that was away, then asking again erases the person there too", async () => {
    const { primary, follower, switched, store } = mirrored();
    const governance = createGovernance({ store });
    const root = { actor: { id: "root@example.com", kind: "human", roles: ["admin"] } } as const;
    await governance.define("a", { variants }, by);
    switched.meet = isAway;
    await expect(governance.erase("a", by.actor.id, root)).rejects.toMatchObject({ code: "store-unavailable" });
    switched.meet = works;
    expect(await governance.erase("a", by.actor.id, root)).toBeGreaterThan(0);
    const ref = { tenant: "default", environment: "default", experiment: "a" };
    await store.catchUp(ref);
    for (const one of [primary, follower])
      expect(JSON.stringify((await one.personal(ref)).values)).not.toContain(by.actor.id);
    await expectSame(primary, follower, ref);
  });

  test("what is erased while it is on its way does not stay behind", async () => {
    const { primary, follower, switched, store } = mirrored();
    const ref = freshRef();
    switched.meet = isAway;
    await commitAll(store, ref, creation(ref));
    let committing = false;
    switched.meet = async (work) => {
      // Another process erases at the primary, and here, just before the follower is given what was read.
      if (switched.asked === 2 && !committing) {
        committing = true;
        await primary.erase(ref, [author.ref]);
        await follower.erase(ref, [author.ref]);
      }
      return work();
    };
    switched.asked = 0;
    await store.catchUp(ref);
    expect(committing).toBe(true);
    expect((await follower.personal(ref)).values).toEqual([]);
    await expectSame(primary, follower, ref);
  });

  test("nothing is archived that a follower still needs", async () => {
    const { primary, follower, switched, store } = mirrored();
    const ref = freshRef();
    const first = creation(ref);
    const second = next(after(first));
    await commitAll(store, ref, first);
    switched.meet = isAway;
    await commitAll(store, ref, second, next(after(second)));
    const checkpoint = checkpointAt(after(second).head);
    await expect(store.archive(ref, checkpoint)).rejects.toMatchObject({ code: "store-unavailable" });
    expect(await wholeHistory(primary, ref)).toHaveLength(4);
    switched.meet = works;
    expect(await store.archive(ref, checkpoint)).toBe(true);
    expect(await wholeHistory(follower, ref)).toHaveLength(2);
    await expectSame(primary, follower, ref);
  });

  test("a follower that is too late for what was archived is told so", async () => {
    const primary = memoryStore();
    const ref = freshRef();
    const first = creation(ref);
    const second = next(after(first));
    await commitAll(primary, ref, first, second);
    await primary.archive(ref, checkpointAt(after(second).head));
    const store = mirrorStore({ primary, followers: [memoryStore()] });
    await expect(store.catchUp(ref)).rejects.toThrow("the primary has archived it");
  });
});

describe("mirror: reading from a follower", () => {
  test("says so, and is the primary's where the follower is known to be behind, or fails", async () => {
    const { switched, store } = mirrored({ reads: "follower" });
    const scope = freshScope();
    const [a, b] = [
      { ...scope, experiment: "a" },
      { ...scope, experiment: "b" },
    ];
    const first = creation(a);
    await commitAll(store, a, first);
    await commitAll(store, b, creation(b));
    expect(await store.history(a)).toMatchObject({ source: "memory" });
    expect(await store.list(scope)).toMatchObject({ source: "memory" });
    switched.meet = isAway;
    expect(await store.history(a)).not.toHaveProperty("source");
    await commitAll(store, a, next(after(first)));
    switched.meet = works;
    expect(await store.history(a)).not.toHaveProperty("source");
    expect((await store.history(a)).events).toHaveLength(3);
    expect(await store.list(scope)).not.toHaveProperty("source");
    expect(await store.history(b)).toHaveProperty("source");
    await store.catchUp(a);
    expect((await store.history(a)).events).toHaveLength(3);
    expect(await store.history(a)).toHaveProperty("source");
    expect(await store.list(scope)).toHaveProperty("source");
  });
});
