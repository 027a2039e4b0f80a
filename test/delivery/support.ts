/** An experiment with a history in memory, and a clock that stands still until it is told to go on. */
import { memoryStore } from "../../adapters/store/memory.ts";
import { createOutbox, type DeliveryTrouble, type OutboxOptions } from "../../src/delivery/outbox.ts";
import type { Delivery, Subscriber } from "../../src/delivery/subscriber.ts";
import type { GovernanceStore } from "../../src/governance/store.ts";
import type { ExperimentRef } from "../../src/scope.ts";
import { after, creation, denial, freshRef, next } from "../support/governance.ts";

/** A subscriber that keeps what it gets, and does before it what it is told to. */
export const listener = (name: string, before: (delivery: Delivery) => Promise<void> = () => Promise.resolve()) => {
  const received: number[][] = [];
  const subscriber: Subscriber = {
    name,
    async deliver(delivery) {
      await before(delivery);
      received.push(delivery.events.map(({ seq }) => seq));
    },
  };
  return { subscriber, received };
};

export const logOf = async (events: number, ref: ExperimentRef = freshRef()) => {
  const store = memoryStore();
  const first = creation(ref);
  await store.commit(ref, first);
  let base = after(first);
  const add = async (more: number): Promise<void> => {
    for (let index = 0; index < more; index += 1) {
      const commit = index % 3 === 2 ? denial(base) : next(base);
      const result = await store.commit(ref, commit);
      if (!result.ok) throw new Error(result.conflict);
      base = after(commit, base);
    }
  };
  await add(events - 2);
  return { store, ref, add };
};

export const clocked = (
  store: GovernanceStore,
  subscribers: readonly Subscriber[],
  more: Partial<OutboxOptions> = {},
) => {
  let time = 1_000_000;
  const reported: unknown[] = [];
  const troubles: DeliveryTrouble[] = [];
  const outbox = createOutbox({
    store,
    subscribers,
    now: () => time,
    random: () => 1,
    report: (error) => reported.push(error),
    onTrouble: (trouble) => troubles.push(trouble),
    ...more,
  });
  return { outbox, reported, troubles, now: () => time, wait: (ms: number) => void (time += ms) };
};
