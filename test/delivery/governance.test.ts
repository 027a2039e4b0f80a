/** Governance with subscribers: nobody waits for a delivery, and no crash loses one. */
import { expect, test } from "vitest";
import { memoryStore } from "../../adapters/store/memory.ts";
import type { Delivery } from "../../src/delivery/subscriber.ts";
import { type By, createGovernance, type GovernanceOptions } from "../../src/governance/governance.ts";
import type { GovernanceStore } from "../../src/governance/store.ts";
import { startOfTime } from "../support/scenario.ts";
import { listener } from "./support.ts";

const author: By = { actor: { id: "author@example.com", kind: "human", roles: ["editor", "operator"] } };
const variants = [{ key: "control", control: true }, { key: "treatment" }];
const ref = { tenant: "default", environment: "default", experiment: "checkout" };

const setUp = (store: GovernanceStore, options: Partial<GovernanceOptions> = {}) => {
  let time = startOfTime;
  const reported: unknown[] = [];
  const governance = createGovernance({
    store,
    now: () => time,
    report: (error) => reported.push(error),
    ...options,
  });
  return { governance, reported, wait: (ms: number) => void (time += ms) };
};

test("the answer does not wait for the delivery", async () => {
  const { subscriber, received } = listener("slow", () => new Promise(() => undefined));
  const { governance } = setUp(memoryStore(), { subscribers: [subscriber] });
  expect(await governance.define("checkout", { variants }, author)).toMatchObject({ ok: true });
  expect(await governance.submit("checkout", {}, author)).toMatchObject({ ok: true });
  expect(received).toEqual([]);
});

test("what was delivered is what was committed, denials included; the host keeps the work alive", async () => {
  const { subscriber, received } = listener("a");
  const background: Promise<unknown>[] = [];
  const { governance } = setUp(memoryStore(), {
    subscribers: [subscriber],
    background: (work) => background.push(work),
    policies: [{ type: "expression", expression: "false", message: "no", to: ["Approved"] }],
  });
  await governance.define("checkout", { variants }, author);
  await governance.submit("checkout", {}, author);
  expect(await governance.transition("checkout", "Approved", {}, author)).toMatchObject({ code: "policy-violation" });
  await Promise.all(background);
  const { events } = await governance.history("checkout");
  expect(events.at(-1)?.type).toBe("ChangeDenied");
  expect(received.flat()).toEqual(events.map(({ seq }) => seq));
});

test("the alarm is set before the commit, so that it rings whatever becomes of the process", async () => {
  const steps: string[] = [];
  const store = memoryStore();
  const watched: GovernanceStore = {
    ...store,
    commit: (of, commit) => {
      steps.push("commit");
      return store.commit(of, commit);
    },
  };
  const { subscriber } = listener("a", () => Promise.resolve(void steps.push("deliver")));
  const { governance } = setUp(watched, {
    subscribers: [subscriber],
    wake: (_of, at) => Promise.resolve(void steps.push(`wake ${at - startOfTime}`)),
  });
  await governance.define("checkout", { variants }, author);
  await expect.poll(() => steps).toEqual(["wake 10000", "commit", "deliver"]);
});

test("without subscribers nothing is set and nothing is read", async () => {
  const wakes: unknown[] = [];
  const store = memoryStore();
  const { governance } = setUp(
    { ...store, positions: () => Promise.reject(new Error("nobody asks")) },
    { wake: (_of, at) => Promise.resolve(void wakes.push(at)) },
  );
  await governance.define("checkout", { variants }, author);
  await governance.tick();
  expect(wakes).toEqual([]);
});

test("a delivery that fails asks for an alarm", async () => {
  const wakes: number[] = [];
  const { subscriber } = listener("a", () => Promise.reject(new Error("away")));
  const { governance, reported } = setUp(memoryStore(), {
    subscribers: [subscriber],
    wake: (_of, at) => Promise.resolve(void wakes.push(at - startOfTime)),
  });
  await governance.define("checkout", { variants }, author);
  await expect.poll(() => wakes).toHaveLength(2);
  expect(wakes[1]).toBeLessThanOrEqual(1_000);
  expect(String(reported[0])).toContain("a of ");
  expect(governance.troubles()).toMatchObject([{ subscriber: "a", failures: 1, error: "away" }]);
});

test("the answer of a commit is lost: what it wrote is delivered all the same", async () => {
  const store = memoryStore();
  const { subscriber, received } = listener("a");
  const { governance } = setUp(
    {
      ...store,
      commit: async (of, commit) => {
        await store.commit(of, commit);
        throw new Error("the connection died");
      },
    },
    { subscribers: [subscriber] },
  );
  await expect(governance.define("checkout", { variants }, author)).rejects.toThrow("the connection died");
  await expect.poll(() => received.flat()).toEqual([1, 2]);
});

test("a process that died after its commit: the first tick of the next one delivers, also what is archived", async () => {
  const lists: unknown[] = [];
  const inner = memoryStore();
  const store: GovernanceStore = {
    ...inner,
    list: (scope, query) => {
      lists.push(query?.states);
      return inner.list(scope, query);
    },
  };
  const first = setUp(store);
  await first.governance.define("checkout", { variants }, author);
  await first.governance.archive("checkout", {}, author);
  const { subscriber, received } = listener("a");
  const { governance } = setUp(store, { subscribers: [subscriber] });
  expect(await governance.tick()).toBeNull();
  expect(received.flat()).toEqual([1, 2, 3]);
  // From then on a tick looks at what is not archived, and at what it knows to be behind.
  await governance.tick();
  expect(lists).toHaveLength(2);
  expect(lists[0]).toBeUndefined();
  expect(lists[1]).not.toContain("Archived");
});

test("a tick tries again what could not be delivered of an archived experiment", async () => {
  let away = true;
  const { subscriber, received } = listener("a", () => (away ? Promise.reject(new Error("away")) : Promise.resolve()));
  const { governance, wait } = setUp(memoryStore(), { subscribers: [subscriber] });
  await governance.tick();
  await governance.define("checkout", { variants }, author);
  await governance.archive("checkout", {}, author);
  await expect.poll(() => governance.troubles()).toHaveLength(1);
  expect(await governance.tick()).toBeGreaterThan(startOfTime);
  expect(received).toEqual([]);
  away = false;
  wait(10_000);
  expect(await governance.tick()).toBeNull();
  expect(received.flat()).toEqual((await governance.history(ref)).events.map(({ seq }) => seq));
});

test("the clock fails: what is undelivered is delivered all the same", async () => {
  const store = memoryStore();
  await setUp(store).governance.define("checkout", { variants }, author);
  const { subscriber, received } = listener("a");
  const { governance } = setUp(
    { ...store, load: () => Promise.reject(new Error("the store is away")) },
    { subscribers: [subscriber] },
  );
  await expect(governance.governor.tick(ref)).rejects.toThrow("the store is away");
  expect(received.flat()).toEqual([1, 2]);
});

test("a burst of commits is delivered in few runs, and all of it", async () => {
  const store = memoryStore();
  let reads = 0;
  const { subscriber, received } = listener("a");
  const background: Promise<unknown>[] = [];
  const { governance } = setUp(
    {
      ...store,
      positions: (of) => {
        reads += 1;
        return store.positions(of);
      },
    },
    { subscribers: [subscriber], background: (work) => background.push(work) },
  );
  await governance.define("checkout", { variants }, author);
  for (let traffic = 1; traffic <= 50; traffic += 1) await governance.revise("checkout", { variants, traffic }, author);
  await Promise.all(background);
  const { events } = await governance.history("checkout");
  expect(received.flat()).toEqual(events.map(({ seq }) => seq));
  expect(reads).toBeLessThan(20);
});

test("a delivery after a commit reads nothing, and says the same as the history; its position follows", async () => {
  const store = memoryStore();
  const reads: string[] = [];
  const watched: GovernanceStore = {
    ...store,
    positions: (of) => {
      reads.push("positions");
      return store.positions(of);
    },
    history: (of, query) => {
      reads.push("history");
      return store.history(of, query);
    },
  };
  const told: Delivery[] = [];
  const { subscriber } = listener("a", (delivery) => Promise.resolve(void told.push(delivery)));
  const background: Promise<unknown>[] = [];
  const { governance } = setUp(watched, { subscribers: [subscriber], background: (work) => background.push(work) });
  await governance.define("checkout", { variants }, author);
  await Promise.all(background);
  reads.length = 0;
  await governance.submit("checkout", { reason: "as agreed" }, author);
  await Promise.all(background);
  expect(reads).toEqual([]);
  const page = await store.history(ref, { after: 0, limit: 50 });
  const last = told.at(-1);
  expect(last?.events).toEqual(page.events.slice(-(last?.events.length ?? 0)));
  for (const [of, value] of last?.people ?? []) expect(page.people.get(of)).toBe(value);
  expect([...(last?.people.values() ?? [])]).toContain("as agreed");
  expect(last?.snapshot).toEqual((await store.load(ref))?.snapshot);
  expect((await store.positions(ref)).get("a")).toBe(page.events.length);
});
