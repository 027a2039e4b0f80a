/** The log as outbox: at least once, in order, each subscriber for itself; whatever fails, and wherever the process dies. */
import { describe, expect, test } from "vitest";
import { backoffMs } from "../../src/delivery/backoff.ts";
import type { Subscriber } from "../../src/delivery/subscriber.ts";
import { SinkError } from "../../src/events/sink-error.ts";
import type { GovernanceStore } from "../../src/governance/store.ts";
import { clocked, listener, logOf } from "./support.ts";

const upTo = (last: number): readonly number[] => Array.from({ length: last }, (_, index) => 1 + index);

describe("what is delivered", () => {
  test("everything, in order, in pages; and then nothing more", async () => {
    const { store, ref, add } = await logOf(120);
    const { subscriber, received } = listener("a");
    const { outbox } = clocked(store, [subscriber]);
    expect(await outbox.drain(ref)).toBeNull();
    expect(received.flat()).toEqual(upTo(120));
    expect(Math.max(...received.map((batch) => batch.length))).toBe(50);
    expect([...(await store.positions(ref))]).toEqual([["a", 120]]);
    await outbox.drain(ref);
    await add(2);
    await outbox.drain(ref);
    expect(received.flat()).toEqual(upTo(122));
  });

  test("of what is not wanted nothing, and it is not asked for again", async () => {
    const { store, ref } = await logOf(30);
    const { subscriber, received } = listener("a");
    let asked = 0;
    const picky: Subscriber = {
      ...subscriber,
      batchEvents: 2,
      wants: ({ seq }) => {
        asked += 1;
        return seq % 7 === 0;
      },
    };
    await clocked(store, [picky]).outbox.drain(ref);
    expect(received).toEqual([
      [7, 14],
      [21, 28],
    ]);
    expect((await store.positions(ref)).get("a")).toBe(30);
    await clocked(store, [picky]).outbox.drain(ref);
    expect(asked).toBe(30);
  });

  test("to one subscriber, whatever becomes of another", async () => {
    const { store, ref } = await logOf(10);
    const hung = listener("hung", () => new Promise(() => undefined));
    const dead = listener("dead", () => Promise.reject(new Error("gone")));
    const well = listener("well");
    const { outbox, troubles } = clocked(store, [hung.subscriber, dead.subscriber, well.subscriber]);
    void outbox.drain(ref);
    await expect.poll(() => well.received.flat()).toEqual(upTo(10));
    await expect.poll(() => troubles.map(({ subscriber }) => subscriber)).toEqual(["dead"]);
    expect((await store.positions(ref)).get("well")).toBe(10);
  });

  test("also what is committed during the delivery, by the same run", async () => {
    const { store, ref, add } = await logOf(3);
    let committed: Promise<unknown> | undefined;
    const { subscriber, received } = listener("a", async () => {
      if (committed !== undefined) return;
      await add(2);
      committed = outbox.drain(ref);
    });
    const { outbox } = clocked(store, [subscriber]);
    await outbox.drain(ref);
    await committed;
    expect(received).toEqual([upTo(3), [4, 5]]);
  });

  test("a long backlog in parts: the run says that it is to go on at once", async () => {
    const { store, ref } = await logOf(2_050);
    const { subscriber, received } = listener("a");
    const { outbox, now } = clocked(store, [subscriber]);
    expect(await outbox.drain(ref)).toBe(now());
    expect(received.flat()).toEqual(upTo(2_000));
    expect(await outbox.drain(ref)).toBeNull();
    expect(received.flat()).toEqual(upTo(2_050));
  });

  test("nothing of an experiment that does not exist", async () => {
    const { store, ref } = await logOf(3);
    const { subscriber, received } = listener("a");
    const { outbox } = clocked(store, [subscriber]);
    expect(await outbox.drain({ ...ref, experiment: "other" })).toBeNull();
    expect(received).toEqual([]);
  });
});

describe("when it fails", () => {
  test("it comes again after a while that doubles, and nobody asks before", async () => {
    const { store, ref } = await logOf(4);
    let calls = 0;
    const { subscriber, received } = listener("a", () => {
      calls += 1;
      return calls <= 3 ? Promise.reject(new Error("away")) : Promise.resolve();
    });
    const { outbox, troubles, now, wait, reported } = clocked(store, [subscriber]);
    expect(await outbox.drain(ref)).toBe(now() + 1_000);
    expect(await outbox.drain(ref)).toBe(now() + 1_000);
    expect(calls).toBe(1);
    wait(1_000);
    expect(await outbox.drain(ref)).toBe(now() + 2_000);
    wait(2_000);
    expect(await outbox.drain(ref)).toBe(now() + 4_000);
    expect(outbox.troubles()).toMatchObject([{ subscriber: "a", ref, failures: 3, since: 1_000_000, error: "away" }]);
    wait(4_000);
    expect(await outbox.drain(ref)).toBeNull();
    expect(received).toEqual([upTo(4)]);
    expect(outbox.troubles()).toEqual([]);
    expect(troubles.map(({ failures }) => failures)).toEqual([1, 2, 3, 0]);
    expect(reported).toHaveLength(3);
  });

  test("in the middle, it goes on from there, and what is there already is not sent again", async () => {
    const { store, ref } = await logOf(6);
    let broken = true;
    const { subscriber, received } = listener("a", ({ events }) =>
      broken && events[0]?.seq === 4 ? Promise.reject(new Error("away")) : Promise.resolve(),
    );
    const { outbox, wait } = clocked(store, [{ ...subscriber, batchEvents: 1 }]);
    await outbox.drain(ref);
    expect((await store.positions(ref)).get("a")).toBe(3);
    broken = false;
    wait(1_000);
    await outbox.drain(ref);
    expect(received.flat()).toEqual(upTo(6));
  });

  test("one that never answers is given up after a minute, and tried again", async () => {
    const { store, ref } = await logOf(3);
    const timers: (() => void)[] = [];
    let hangs = true;
    const { subscriber, received } = listener("a", () => (hangs ? new Promise(() => undefined) : Promise.resolve()));
    const { outbox, wait, troubles } = clocked(store, [subscriber], {
      startTimer: (callback, ms) => {
        expect(ms).toBe(60_000);
        timers.push(callback);
        return () => undefined;
      },
    });
    const drained = outbox.drain(ref);
    await expect.poll(() => timers).toHaveLength(1);
    timers[0]?.();
    await drained;
    expect(troubles).toMatchObject([{ failures: 1, error: "did not answer within 60 s" }]);
    hangs = false;
    wait(1_000);
    await outbox.drain(ref);
    expect(received).toEqual([upTo(3)]);
  });

  test("a subscriber that throws instead of rejecting is no different", async () => {
    const { store, ref } = await logOf(3);
    const rude: Subscriber = {
      name: "rude",
      deliver: () => {
        throw new TypeError("not a promise");
      },
    };
    const { outbox, troubles, now } = clocked(store, [rude]);
    expect(await outbox.drain(ref)).toBe(now() + 1_000);
    expect(troubles).toMatchObject([{ error: "not a promise" }]);
  });

  test("the far side may ask for a longer wait, and gets at most an hour", async () => {
    const { store, ref } = await logOf(3);
    let retryAfterMs = 120_000;
    const { subscriber } = listener("a", () => Promise.reject(new SinkError("busy", { retryAfterMs })));
    const { outbox, now, wait } = clocked(store, [subscriber]);
    expect(await outbox.drain(ref)).toBe(now() + 120_000);
    retryAfterMs = 1e12;
    wait(120_000);
    expect(await outbox.drain(ref)).toBe(now() + 3_600_000);
  });

  test.each([
    [1, 0, 500],
    [1, 1, 1_000],
    [2, 0, 1_000],
    [12, 0.5, 0.75 * 2_048_000],
    [13, 0, 1_800_000],
    [1_000, 1, 3_600_000],
  ])("failure %d, chance %d: %d ms", (failures, chance, expected) => {
    expect(backoffMs(failures, chance)).toBe(expected);
  });
});

/** A store that fails at the n-th call of these methods, before or after doing what was asked. */
const failingAt = (store: GovernanceStore, call: number, when: "before" | "after"): GovernanceStore => {
  let calls = 0;
  const fault = async <Result>(work: () => Promise<Result>): Promise<Result> => {
    calls += 1;
    const fails = calls === call;
    if (fails && when === "before") throw new Error("the store is away");
    const result = await work();
    if (fails) throw new Error("the answer was lost");
    return result;
  };
  return {
    ...store,
    positions: (ref) => fault(() => store.positions(ref)),
    history: (ref, query) => fault(() => store.history(ref, query)),
    advance: (ref, subscriber, seq) => fault(() => store.advance(ref, subscriber, seq)),
  };
};

describe("a fault at every await", () => {
  const cases = upTo(7).flatMap((call) => (["before", "after"] as const).map((when) => [call, when] as const));

  test.each(cases)("store call %d, %s: everything arrives, in order", async (call, when) => {
    const { store, ref } = await logOf(110);
    const { subscriber, received } = listener("a");
    const { outbox, wait } = clocked(failingAt(store, call, when), [subscriber]);
    // One position, three pages, three advances: each of the seven calls fails once.
    expect(await outbox.drain(ref)).not.toBeNull();
    wait(60_000);
    expect(await outbox.drain(ref)).toBeNull();
    const seqs = received.flat();
    expect([...new Set(seqs)]).toEqual(upTo(110));
    expect(seqs.length - 110).toBeLessThanOrEqual(50);
    expect((await store.positions(ref)).get("a")).toBe(110);
  });

  test.each(["before it arrives", "after it has arrived"])("a delivery that fails %s", async (when) => {
    const { store, ref } = await logOf(5);
    let calls = 0;
    const arrived: number[][] = [];
    const flaky: Subscriber = {
      name: "a",
      batchEvents: 2,
      deliver({ events }) {
        calls += 1;
        const fails = calls === 2;
        if (!fails || when.startsWith("after")) arrived.push(events.map(({ seq }) => seq));
        return fails ? Promise.reject(new Error("reset")) : Promise.resolve();
      },
    };
    const { outbox, wait } = clocked(store, [flaky]);
    await outbox.drain(ref);
    wait(1_000);
    await outbox.drain(ref);
    const again = when.startsWith("after") ? [[3, 4]] : [];
    expect(arrived).toEqual([[1, 2], [3, 4], ...again, [5]]);
  });

  test.each(upTo(6))("the process dies at the %d. await: the next one delivers the rest", async (last) => {
    const { store, ref } = await logOf(5);
    let awaits = 0;
    /** From here on nothing that was begun ever comes back. */
    const mortal = <Result>(work: () => Promise<Result>): Promise<Result> => {
      awaits += 1;
      return awaits >= last ? work().then(() => new Promise(() => undefined)) : work();
    };
    const { subscriber, received } = listener("a");
    const dying: GovernanceStore = {
      ...store,
      positions: (of) => mortal(() => store.positions(of)),
      history: (of, query) => mortal(() => store.history(of, query)),
      advance: (of, name, seq) => mortal(() => store.advance(of, name, seq)),
    };
    const dead = { ...subscriber, batchEvents: 3, deliver: (of: never) => mortal(() => subscriber.deliver(of)) };
    void clocked(dying, [dead]).outbox.drain(ref);
    await expect.poll(() => awaits).toBe(last);
    const restarted = listener("a");
    await clocked(store, [restarted.subscriber]).outbox.drain(ref);
    expect([...new Set([...received.flat(), ...restarted.received.flat()])]).toEqual(upTo(5));
  });
});

test("while a subscriber is away, memory holds its trouble and none of its events", async () => {
  const { store, ref, add } = await logOf(3);
  const pages: number[] = [];
  const watched: GovernanceStore = {
    ...store,
    history: async (of, query) => {
      const page = await store.history(of, query);
      pages.push(page.events.length);
      return page;
    },
  };
  const { subscriber } = listener("a", () => Promise.reject(new Error("away")));
  const { outbox, wait } = clocked(watched, [subscriber]);
  for (let round = 0; round < 20; round += 1) {
    await add(30);
    await outbox.drain(ref);
    wait(3_600_000);
  }
  // However much has piled up, a try reads one page.
  expect(pages).toHaveLength(20);
  expect(Math.max(...pages)).toBe(50);
  expect(outbox.troubles()).toHaveLength(1);
});
