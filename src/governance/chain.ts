/** The hash chain: every event carries the hash of the one ahead of it, so none can be changed without all after it. */
import { digestOf } from "../canonical.ts";
import type { DomainEvent, EventRecord } from "./events.ts";
import { isEventRecord } from "./stored.ts";
import type { Head } from "./store.ts";

/** What stands as `prevHash` in the first event: 64 zeros. */
export const genesisHash = "0".repeat(64);

/** The head of a history that has not begun. */
export const genesisHead: Head = { seq: 0, hash: genesisHash };

/** An event before it has its place in the history. */
export type EventDraft = DomainEvent & Pick<EventRecord, "id" | "at" | "actor">;

/** The hash of an event: SHA-256 over the canonical JSON of everything in it but `hash` itself. */
const hashOf = (event: object): string =>
  digestOf(Object.fromEntries(Object.entries(event).filter(([member]) => member !== "hash")));

const milliseconds = (at: string): number => {
  const time = Date.parse(at);
  if (Number.isNaN(time)) throw new TypeError(`sealEvents: not an ISO 8601 time: ${JSON.stringify(at)}`);
  return time;
};

/**
 * Gives events their place behind a head: sequence number, link and hash. A clock that went back between two events
 * does not show: `at` is never before that of the event ahead.
 *
 * @param head where the history ends; with its `at`, the first new event is not before it either
 * @throws TypeError for a draft whose `at` is no time, or that JSON cannot say
 * @example sealEvents("new", [{ type: "Created", data, id, at, actor }]) // [{ v: 1, seq: 1, prevHash: "000…", hash, … }]
 */
export const sealEvents = (head: Head | "new", drafts: readonly EventDraft[]): EventRecord[] => {
  const sealed: EventRecord[] = [];
  let last: Head = head === "new" ? genesisHead : head;
  for (const draft of drafts) {
    const time = Math.max(milliseconds(draft.at), last.at === undefined ? -Infinity : milliseconds(last.at));
    const placed = {
      ...draft,
      v: 1 as const,
      seq: last.seq + 1,
      at: new Date(time).toISOString(),
      prevHash: last.hash,
    };
    const event: EventRecord = { ...placed, hash: hashOf(placed) };
    sealed.push(event);
    last = event;
  }
  return sealed;
};

export interface Verification {
  readonly valid: boolean;
  /** Events that hold, from the first one on. */
  readonly length: number;
  /** The last event that holds; null when there is none. */
  readonly head: Head | null;
  /** The sequence number at which the chain breaks; null when it does not. */
  readonly firstInvalid: number | null;
}

/** Verifies a history that comes in pages, in memory for one page. */
export interface Verifier {
  /** The next events in order of seq; anything may be in it, as in a file that was handed in. */
  add(events: readonly unknown[]): void;
  result(): Verification;
}

const follows = (event: EventRecord, last: Head): boolean =>
  event.seq === last.seq + 1 &&
  event.prevHash === last.hash &&
  (last.at === undefined || Date.parse(event.at) >= Date.parse(last.at)) &&
  hashOf(event) === event.hash;

const holds = (event: unknown, last: Head): event is EventRecord => {
  try {
    return isEventRecord(event) && follows(event, last);
  } catch {
    // What has no canonical JSON (a lone surrogate, NaN) was never hashed by us.
    return false;
  }
};

/**
 * Checks a history from its first event on, and finds any that was altered, inserted, removed or moved. Two things a
 * chain alone cannot show: that its tail was cut off, and that somebody with access to all of it hashed it anew.
 * Compare `head` with one that was kept elsewhere.
 *
 * @param from where a history goes on whose beginning is archived: the place of a checkpoint
 */
export const createVerifier = (from: Head = genesisHead): Verifier => {
  let last = from;
  let broken = false;
  return {
    add(events) {
      for (const event of events) {
        if (broken || !holds(event, last)) {
          broken = true;
          return;
        }
        last = event;
      }
    },
    result: () => ({
      valid: !broken,
      length: last.seq,
      head: last.seq === 0 ? null : { seq: last.seq, hash: last.hash },
      firstInvalid: broken ? last.seq + 1 : null,
    }),
  };
};

/** Like {@link createVerifier}, for a whole history at once. */
export const verifyChain = (events: readonly unknown[]): Verification => {
  const verifier = createVerifier();
  verifier.add(events);
  return verifier.result();
};
