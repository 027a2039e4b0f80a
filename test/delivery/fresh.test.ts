/** What was just committed is handed over: nothing is read, and positions are written once for many deliveries. */
import { describe, expect, test } from "vitest";
import { type Fresh, freshOf, joined } from "../../src/delivery/fresh.ts";
import type { Subscriber } from "../../src/delivery/subscriber.ts";
import type { GovernanceStore } from "../../src/governance/store.ts";
import type { ExperimentRef } from "../../src/scope.ts";
import { clocked, listener, logOf } from "./support.ts";

/** As a governor would hand it over after having committed these. */
const freshFrom = async (store: GovernanceStore, ref: ExperimentRef, after: number): Promise<Fresh> => {
  const { events, people } = await store.history(ref, { after, limit: 100 });
  const loaded = await store.load(ref);
  const fresh = loaded === null ? null : freshOf(events, people, loaded.snapshot);
  if (fresh === null) throw new Error("something of it is missing");
  return fresh;
};

/** A store that counts what a delivery asks of it. */
const counting = (store: GovernanceStore) => {
  const calls = { positions: 0, history: 0, advance: 0 };
  const counted: GovernanceStore = {
    ...store,
    positions: (ref) => {
      calls.positions += 1;
      return store.positions(ref);
    },
    history: (ref, query) => {
      calls.history += 1;
      return store.history(ref, query);
    },
    advance: (ref, subscriber, seq) => {
      calls.advance += 1;
      return store.advance(ref, subscriber, seq);
    },
  };
  return { counted, calls };
};

/** Ten events, all delivered by this process; then two more. */
const delivered = async (more: Partial<Subscriber> = {}) => {
  const log = await logOf(10);
  const { counted, calls } = counting(log.store);
  const { subscriber, received } = listener("a");
  const { outbox, wait, reported } = clocked(counted, [{ ...subscriber, ...more }]);
  await outbox.drain(log.ref);
  const before = { ...calls };
  const since = () => ({
    positions: calls.positions - before.positions,
    history: calls.history - before.history,
    advance: calls.advance - before.advance,
  });
  await log.add(2);
  return { ...log, outbox, received, since, wait, reported };
};

const position = async (store: GovernanceStore, ref: ExperimentRef) => (await store.positions(ref)).get("a");

describe("handed over", () => {
  test("whoever stands right before it gets it, and the store is asked for nothing until the positions settle", async () => {
    const { store, ref, add, outbox, received, since } = await delivered();
    expect(await outbox.drain(ref, await freshFrom(store, ref, 10))).toBeNull();
    await add(1);
    expect(await outbox.drain(ref, await freshFrom(store, ref, 12))).toBeNull();
    expect(received.slice(1)).toEqual([[11, 12], [13]]);
    expect(since()).toEqual({ positions: 0, history: 0, advance: 0 });
    expect(await position(store, ref)).toBe(10);
    await outbox.settle(ref);
    await outbox.settle(ref);
    expect(since()).toEqual({ positions: 0, history: 0, advance: 1 });
    expect(await position(store, ref)).toBe(13);
  });

  test("a call that hands nothing over writes the positions, too", async () => {
    const { store, ref, outbox, received } = await delivered();
    await outbox.drain(ref, await freshFrom(store, ref, 10));
    expect(await outbox.drain(ref)).toBeNull();
    expect(await position(store, ref)).toBe(12);
    expect(received.flat()).toHaveLength(12);
  });

  test("what lies between is read, and then nothing comes twice", async () => {
    const { store, ref, outbox, received } = await delivered();
    await outbox.drain(ref, await freshFrom(store, ref, 11));
    expect(received.slice(1)).toEqual([[11, 12]]);
    expect(await position(store, ref)).toBe(12);
  });

  test("what another process delivered meanwhile is not delivered again", async () => {
    const { store, ref, add, outbox, received } = await delivered();
    await clocked(store, [listener("a").subscriber]).outbox.drain(ref);
    await add(1);
    await outbox.drain(ref, await freshFrom(store, ref, 12));
    expect(received.slice(1)).toEqual([[13]]);
  });

  test("a store that was set back decides, not what is remembered", async () => {
    const { store, ref } = await logOf(10);
    const earlier = await logOf(6, ref);
    let present = store;
    const swapped: GovernanceStore = {
      ...store,
      positions: (of) => present.positions(of),
      history: (of, query) => present.history(of, query),
      advance: (of, name, seq) => present.advance(of, name, seq),
    };
    const { subscriber, received } = listener("a");
    const { outbox } = clocked(swapped, [subscriber]);
    await outbox.drain(ref);
    present = earlier.store;
    await outbox.drain(ref);
    await earlier.add(2);
    await outbox.drain(ref, await freshFrom(present, ref, 6));
    expect(received.slice(1)).toEqual([
      [1, 2, 3, 4, 5, 6],
      [7, 8],
    ]);
  });

  test("the state comes with the last batch alone: before it, it would be ahead of the events", async () => {
    const states: (number | undefined)[] = [];
    const { store, ref, outbox } = await delivered({
      batchEvents: 1,
      deliver: ({ snapshot }) => Promise.resolve(void states.push(snapshot?.revision)),
    });
    const fresh = await freshFrom(store, ref, 10);
    states.length = 0;
    await outbox.drain(ref, fresh);
    expect(states).toEqual([undefined, fresh.snapshot.revision]);
  });
});

describe("what can go wrong", () => {
  test("the process dies before the positions settle: the next one delivers it once more", async () => {
    const { store, ref, outbox, received } = await delivered();
    await outbox.drain(ref, await freshFrom(store, ref, 10));
    const restarted = listener("a");
    await clocked(store, [restarted.subscriber]).outbox.drain(ref);
    expect(received.slice(1)).toEqual([[11, 12]]);
    expect(restarted.received).toEqual([[11, 12]]);
  });

  test("a subscriber that does not take it gets it from the store later, with what came meanwhile", async () => {
    let away = true;
    const arrived: number[][] = [];
    const { store, ref, add, outbox, wait } = await delivered({
      deliver: ({ events }) => {
        if (away && events.some(({ seq }) => seq > 10)) return Promise.reject(new Error("away"));
        arrived.push(events.map(({ seq }) => seq));
        return Promise.resolve();
      },
    });
    expect(await outbox.drain(ref, await freshFrom(store, ref, 10))).not.toBeNull();
    await add(1);
    away = false;
    wait(1_000);
    expect(await outbox.drain(ref, await freshFrom(store, ref, 12))).toBeNull();
    expect(arrived.slice(1)).toEqual([[11, 12, 13]]);
  });

  test("a position that cannot be written is reported, and written the next time", async () => {
    const { store, ref } = await logOf(4);
    let away = false;
    const failing: GovernanceStore = {
      ...store,
      advance: (of, name, seq) =>
        away ? Promise.reject(new Error("the store is away")) : store.advance(of, name, seq),
    };
    const { subscriber } = listener("a");
    const { outbox, reported } = clocked(failing, [subscriber]);
    const all = await freshFrom(store, ref, 0);
    const [first, ...rest] = all.events;
    if (first === undefined) throw new Error("no events");
    await outbox.drain(ref, { ...all, events: [first] });
    await outbox.settle(ref);
    await outbox.drain(ref, { ...all, events: rest });
    away = true;
    await outbox.settle(ref);
    expect(reported).toHaveLength(1);
    expect(String(reported[0])).toContain("the store is away");
    away = false;
    await outbox.settle(ref);
    expect(await position(store, ref)).toBe(4);
  });

  test("what is delivered while a position is being written is still to be written", async () => {
    const { store, ref, add } = await logOf(4);
    const writing = Promise.withResolvers<void>();
    let isSlow = false;
    const slow: GovernanceStore = {
      ...store,
      advance: async (of, name, seq) => {
        if (isSlow) await writing.promise;
        await store.advance(of, name, seq);
      },
    };
    const { outbox } = clocked(slow, [listener("a").subscriber]);
    await outbox.drain(ref);
    await add(1);
    await outbox.drain(ref, await freshFrom(store, ref, 4));
    isSlow = true;
    const settling = outbox.settle(ref);
    await add(1);
    await outbox.drain(ref, await freshFrom(store, ref, 5));
    writing.resolve();
    await settling;
    expect(await position(store, ref)).toBe(5);
    await outbox.settle(ref);
    expect(await position(store, ref)).toBe(6);
  });
});

describe("one commit after another", () => {
  test("without a gap they are one; with a gap, or more than a page, the store is to be read", async () => {
    const { store, ref } = await logOf(60);
    const all = await freshFrom(store, ref, 0);
    const part = (from: number, to: number): Fresh => ({ ...all, events: all.events.slice(from, to) });
    expect(joined(part(0, 2), part(2, 5))).toMatchObject({ events: all.events.slice(0, 5), snapshot: all.snapshot });
    expect(joined(part(0, 2), part(3, 5))).toBeNull();
    expect(joined(part(2, 5), part(0, 2))).toBeNull();
    expect(joined(part(0, 25), part(25, 50))?.events).toHaveLength(50);
    expect(joined(part(0, 25), part(25, 51))).toBeNull();
  });

  test("a value that is not known, or was erased, is not handed over as missing: the store is to be read", async () => {
    const { store, ref } = await logOf(3);
    const { events, people } = await store.history(ref, { after: 0, limit: 10 });
    const loaded = await store.load(ref);
    if (loaded === null) throw new Error("it is not there");
    expect(freshOf(events, people, loaded.snapshot)?.people).toEqual(people);
    expect(freshOf(events, new Map([...people].slice(1)), loaded.snapshot)).toBeNull();
  });
});
