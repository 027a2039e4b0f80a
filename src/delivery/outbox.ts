/**
 * The event log is the outbox: nothing is written for a delivery but what the decision wrote anyway, so nothing can be
 * lost between the two. After a commit, and when an alarm rings, every subscriber gets what lies behind its position.
 *
 * At least once, and in order for each experiment. A process that dies between a delivery and its position delivers
 * again: subscribers know an event by its id.
 *
 * Who has just committed hands over what was written, and a delivery then reads nothing; its position may be written
 * later, once for many (`settle`).
 */
import { SinkError } from "../events/sink-error.ts";
import { startTimer, type StartTimer } from "../events/timer.ts";
import type { EventRecord } from "../governance/events.ts";
import type { GovernanceStore, HistoryPage } from "../governance/store.ts";
import { messageOf } from "../message-of.ts";
import { type Observer, unobserved } from "../observe/observer.ts";
import { type ExperimentRef, refKey } from "../scope.ts";
import { backoffMs, longestBackoffMs } from "./backoff.ts";
import type { Fresh } from "./fresh.ts";
import { createKnownPositions } from "./positions.ts";
import type { Subscriber } from "./subscriber.ts";

/** Where one subscriber stands in one experiment while it does not take what it is given. */
export interface DeliveryTrouble {
  readonly subscriber: string;
  readonly ref: ExperimentRef;
  /** In a row; 0 when it has just taken something again. */
  readonly failures: number;
  /** Since when it fails, and when it is tried again; ms since the epoch. */
  readonly since: number;
  readonly nextAt: number;
  readonly error: string;
}

export interface Outbox {
  /**
   * Delivers what is undelivered of one experiment. Never rejects: what went wrong is reported, and tried again.
   * Called while it runs, it looks once more at the end.
   *
   * @param fresh what has just been committed. Whoever stands right before it gets it as it is; the store is not read,
   * and the position is not written until `settle`, or until a call without `fresh`.
   * @returns when to call again, in ms since the epoch; null when everything is delivered
   */
  drain(ref: ExperimentRef, fresh?: Fresh): Promise<number | null>;
  /** Writes the positions that are not written yet. Never rejects: one that could not be written is reported. */
  settle(ref: ExperimentRef): Promise<void>;
  /** Who does not take what they are given, as far as this process knows. */
  troubles(): readonly DeliveryTrouble[];
}

export interface OutboxOptions {
  readonly store: Pick<GovernanceStore, "history" | "positions" | "advance">;
  readonly subscribers: readonly Subscriber[];
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** From 0 to 1: spreads retries. */
  readonly random: () => number;
  readonly report?: (error: unknown) => void;
  /** Hears of every failure, and of the first success after one. */
  readonly onTrouble?: (trouble: DeliveryTrouble) => void;
  /** Watches deliveries. */
  readonly observer?: Observer | undefined;
  readonly startTimer?: StartTimer;
}

/** An event may hold a whole configuration: this many fit into an isolate beside everything else. */
const pageEvents = 50;
/** One run ends after so many pages, so that no alarm works for hours; the next one goes on. */
const runPages = 40;
/** Longer than any subscriber's own limit: for one that has none. */
const deliveryDeadlineMs = 60_000;
/** It is the store that is away, not the subscriber: that one is not made to wait for long. */
const storeRetryMs = 60_000;
/** Failing pairs of subscriber and experiment that one process remembers; a forgotten one is tried earlier. */
const lanesMax = 10_000;

/** One subscriber in one experiment: here while it runs or fails. */
interface Lane {
  running: Promise<number | null> | null;
  /** Something was committed while it ran. */
  again: boolean;
  failures: number;
  since: number;
  notBefore: number;
  error: string;
}

/** The subscriber did not take what it was given; anything else that goes wrong here is the store's. */
class NotTaken extends Error {
  override readonly name = "NotTaken";
}

const earliest = (times: readonly (number | null)[]): number | null => {
  const set = times.filter((time) => time !== null);
  return set.length === 0 ? null : Math.min(...set);
};

interface Page extends HistoryPage {
  /** Where it did not come from the store. */
  readonly fresh?: Fresh;
}

/** Subscribers mostly stand at the same place, so the page that was read last serves them all. */
const pageReader = (store: OutboxOptions["store"], ref: ExperimentRef, fresh: Fresh | undefined) => {
  let last: { readonly after: number; readonly page: Promise<Page> } | undefined;
  return {
    read(after: number): Promise<Page> {
      if (fresh !== undefined && isRightBefore(after, fresh))
        return Promise.resolve({ events: fresh.events, people: fresh.people, next: null, fresh });
      if (last?.after !== after) last = { after, page: store.history(ref, { after, limit: pageEvents }) };
      return last.page;
    },
    /** What is committed from now on is not in a page that was read before. */
    forget: (): void => void (last = undefined),
  };
};

const isRightBefore = (position: number, { events }: Fresh): boolean => position === (events[0]?.seq ?? 0) - 1;

/** Batches of what is wanted, each with the seq up to which all is delivered once the batch is. */
function* batchesOf(
  events: readonly EventRecord[],
  ref: ExperimentRef,
  { wants, batchEvents = pageEvents }: Subscriber,
): Generator<{ readonly events: readonly EventRecord[]; readonly upTo: number }, void, undefined> {
  let batch: EventRecord[] = [];
  let upTo = 0;
  for (const event of events) {
    const wanted = wants === undefined || wants(event, ref);
    if (wanted && batch.length === batchEvents) {
      yield { events: batch, upTo };
      batch = [];
    }
    if (wanted) batch.push(event);
    upTo = event.seq;
  }
  if (upTo > 0) yield { events: batch, upTo };
}

/**
 * @example
 * const outbox = createOutbox({ store, subscribers: [webhook], now: Date.now, random: Math.random });
 * await outbox.drain({ tenant: "default", environment: "default", experiment: "checkout" });
 */
export const createOutbox = (options: OutboxOptions): Outbox => {
  const { subscribers, now, random, report = () => undefined, onTrouble, observer = unobserved } = options;
  const { store } = options;
  const beginTimer = options.startTimer ?? startTimer;
  const standing = createKnownPositions();
  const lanes = new Map<string, { readonly subscriber: string; readonly ref: ExperimentRef; readonly lane: Lane }>();

  const withinDeadline = async (work: Promise<void>): Promise<void> => {
    const late = Promise.withResolvers<never>();
    const cancel = beginTimer(
      () => late.reject(new SinkError(`did not answer within ${deliveryDeadlineMs / 1_000} s`)),
      deliveryDeadlineMs,
      false,
    );
    try {
      await Promise.race([work, late.promise]);
    } finally {
      cancel();
    }
  };

  const laneOf = (subscriber: string, ref: ExperimentRef): Lane => {
    const key = JSON.stringify([subscriber, refKey(ref)]);
    const known = lanes.get(key);
    if (known !== undefined) return known.lane;
    const lane: Lane = { running: null, again: false, failures: 0, since: 0, notBefore: 0, error: "" };
    lanes.set(key, { subscriber, ref, lane });
    return lane;
  };

  const leave = (subscriber: string, ref: ExperimentRef): void => {
    lanes.delete(JSON.stringify([subscriber, refKey(ref)]));
  };

  /** Forgets who fails longest ago where too many do. */
  const bound = (): void => {
    for (const [key, { lane }] of lanes) {
      if (lanes.size <= lanesMax) return;
      if (lane.running === null) lanes.delete(key);
    }
  };

  const troubleOf = (subscriber: string, ref: ExperimentRef, lane: Lane): DeliveryTrouble => {
    const { failures, since, notBefore: nextAt, error } = lane;
    return { subscriber, ref, failures, since, nextAt, error };
  };

  /** Everything behind the position, page by page; null when nothing is left, else when to go on. */
  const deliverAll = async (
    ref: ExperimentRef,
    subscriber: Subscriber,
    from: number,
    pages: ReturnType<typeof pageReader>,
    lane: Lane,
  ): Promise<number | null> => {
    let position = from;
    for (let read = 0; read < runPages; read += 1) {
      lane.again = false;
      const { events, people, next, fresh } = await pages.read(position);
      for (const batch of batchesOf(events, ref, subscriber)) {
        if (batch.events.length > 0) {
          const seen = { subscriber: subscriber.name, events: batch.events.length, ...ref };
          try {
            await observer.run("delivery", seen, () =>
              withinDeadline(
                subscriber.deliver({
                  ref,
                  events: batch.events,
                  people,
                  ...(fresh !== undefined && batch.upTo === fresh.events.at(-1)?.seq
                    ? { snapshot: fresh.snapshot }
                    : {}),
                }),
              ),
            );
          } catch (cause) {
            throw new NotTaken(messageOf(cause), { cause });
          }
        }
        if (fresh === undefined) await store.advance(ref, subscriber.name, batch.upTo);
        standing.note(ref, subscriber.name, { seq: batch.upTo, isWritten: fresh === undefined });
        position = batch.upTo;
      }
      if (next !== null) continue;
      // Set by whoever committed meanwhile: what they wrote is behind what has just been read.
      if (!isAskedAgain(lane)) return null;
      pages.forget();
    }
    return now();
  };

  /**
   * Where what is handed over does not follow, another process may have delivered what lies between, or the store may
   * have been set back: what is written decides, and what this process has not written yet.
   */
  const positionOf = async (
    ref: ExperimentRef,
    subscriber: string,
    written: () => Promise<ReadonlyMap<string, number>>,
    fresh: Fresh | undefined,
  ): Promise<number> => {
    const here = standing.get(ref, subscriber);
    if (here !== undefined && fresh !== undefined && isRightBefore(here.seq, fresh)) return here.seq;
    const stored = (await written()).get(subscriber) ?? 0;
    return here === undefined || here.isWritten ? stored : Math.max(here.seq, stored);
  };

  const run = async (
    ref: ExperimentRef,
    subscriber: Subscriber,
    written: () => Promise<ReadonlyMap<string, number>>,
    fresh: Fresh | undefined,
    pages: ReturnType<typeof pageReader>,
    lane: Lane,
  ): Promise<number | null> => {
    try {
      const from = await positionOf(ref, subscriber.name, written, fresh);
      const next = await deliverAll(ref, subscriber, from, pages, lane);
      const recovered = lane.failures > 0;
      lane.failures = 0;
      lane.notBefore = 0;
      if (recovered) onTrouble?.(troubleOf(subscriber.name, ref, lane));
      leave(subscriber.name, ref);
      return next;
    } catch (error) {
      report(new Error(`${subscriber.name} of ${refKey(ref)}: ${messageOf(error)}`, { cause: error }));
      const { cause } = error instanceof NotTaken ? error : {};
      const asked = cause instanceof SinkError ? cause.retryAfterMs : undefined;
      const longest = error instanceof NotTaken ? longestBackoffMs : storeRetryMs;
      if (lane.failures === 0) lane.since = now();
      lane.failures += 1;
      lane.error = messageOf(error);
      lane.notBefore = now() + Math.min(longest, backoffMs(lane.failures, random(), asked));
      onTrouble?.(troubleOf(subscriber.name, ref, lane));
      bound();
      return lane.notBefore;
    } finally {
      lane.running = null;
    }
  };

  const settle = async (ref: ExperimentRef): Promise<void> => {
    for (const { subscriber, seq } of standing.unwritten(ref)) {
      try {
        await store.advance(ref, subscriber, seq);
        standing.written(ref, subscriber, seq);
      } catch (error) {
        report(new Error(`the position of ${subscriber} in ${refKey(ref)}: ${messageOf(error)}`, { cause: error }));
      }
    }
  };

  return {
    settle,
    async drain(ref, fresh) {
      if (subscribers.length === 0) return null;
      const pages = pageReader(store, ref, fresh);
      /** Asked for by the first who needs it. */
      let positions: Promise<ReadonlyMap<string, number>> | undefined;
      const written = (): Promise<ReadonlyMap<string, number>> => (positions ??= store.positions(ref));
      const runs = subscribers.map((subscriber): Promise<number | null> => {
        const lane = laneOf(subscriber.name, ref);
        if (lane.running !== null) {
          lane.again = true;
          return lane.running;
        }
        if (lane.notBefore > now()) return Promise.resolve(lane.notBefore);
        lane.running = run(ref, subscriber, written, fresh, pages, lane);
        return lane.running;
      });
      const next = earliest(await Promise.all(runs));
      if (fresh === undefined) await settle(ref);
      return next;
    },
    troubles: () =>
      [...lanes.values()].flatMap(({ subscriber, ref, lane }) =>
        lane.failures === 0 ? [] : [troubleOf(subscriber, ref, lane)],
      ),
  };
};

/** A function, because the compiler does not see that somebody else sets it during an `await`. */
const isAskedAgain = (lane: Lane): boolean => lane.again;
