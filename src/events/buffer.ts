/**
 * Holds events between the application and a sink. It is bounded in events and bytes, so an outage costs events, which
 * are counted, and never memory. One batch is under way at a time; it is retried as it is, with the ids it has, so that
 * sending twice counts once; and for as long as it takes: what is held costs nothing more, so only what no longer fits
 * is dropped.
 *
 * A Worker cancels timers and sends together with the request that began them. Two rules come from that. Nothing rests
 * on a timer or a promise alone: what it would have told is found by the clock at the next `add` or `flush`. And a send
 * is begun by a flush, which waits for it, by an `add` or by a timer; never at the end of another send, whose request
 * may be over.
 */
import { batchBytes, batchEvents } from "../evaluation/bounds.ts";
import type { EnvelopeInput } from "./envelope.ts";
import { encodeEvent } from "./message.ts";
import { SinkError } from "./sink-error.ts";
import type { EventSink, SinkHealth, SinkReceipt } from "./sink.ts";
import { startTimer, type StartTimer } from "./timer.ts";
import { messageOf } from "../message-of.ts";

/** An event that is made when its batch goes: its id, its time as text, and everything else that need not be known before. */
export interface DeferredEvent {
  /** Of the JSON text of what it will be. */
  readonly bytes: number;
  /** Called once. */
  make(): EnvelopeInput;
}

/** When a batch goes. */
export interface FlushSettings {
  readonly flushEvents: number;
  readonly flushBytes: number;
  readonly flushIntervalMs: number;
}

/** Those that are said; undefined is not said. */
export type ToldFlushSettings = { readonly [Name in keyof FlushSettings]?: FlushSettings[Name] | undefined };

export interface EventBufferOptions {
  readonly sink: EventSink;
  /** Events held at most, the batch under way included; those that come on top are dropped. Default 10,000. */
  readonly maxEvents?: number;
  /** Bytes as JSON held at most. Default 8 MiB. */
  readonly maxBytes?: number;
  /** A batch goes when this many events wait (default 500), … */
  readonly flushEvents?: number;
  /** … when they have this many bytes as JSON (default 256 KiB), … */
  readonly flushBytes?: number;
  /** … or when the oldest has waited this long (default 1 second). */
  readonly flushIntervalMs?: number;
  /** Those of the three that are not set, read when the first event of a batch comes: a server may tell them, and change. */
  readonly flushSettings?: () => ToldFlushSettings | undefined;
  /** Failed sends in a row after which `flush` and `close` wait no longer; retries go on. Default 8. */
  readonly attempts?: number;
  /** First wait after a failure, doubled with every further failure. Default 250 ms. */
  readonly backoffMs?: number;
  /** Longest such wait. Default 30 seconds. */
  readonly backoffMaxMs?: number;
  /** A send that has not settled by then counts as failed. Default 15 seconds. */
  readonly sendTimeoutMs?: number;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  /** 0 ≤ x < 1: spreads the retries of many clients. */
  readonly random?: () => number;
  readonly startTimer?: StartTimer;
  /** Hears of failed sends, refused events and the first event of each overflow. */
  readonly onError?: (error: unknown) => void;
}

/** Events that were lost, by the reason why. */
export interface DroppedEvents {
  /** The buffer was full. */
  readonly overflow: number;
  /** One event over the limit for an event, without a JSON form, or that could not be made. */
  readonly oversize: number;
  /** Added after `close`, or left over by it. */
  readonly closed: number;
}

export interface EventBufferHealth extends SinkHealth {
  /** Held now, the batch under way included. */
  readonly events: number;
  readonly bytes: number;
  /** Accepted by the sink, and refused by it for good. */
  readonly sent: number;
  readonly rejected: number;
  readonly dropped: DroppedEvents;
  /** Sends that failed since the last one that did not. */
  readonly failures: number;
  readonly lastError?: string;
}

/** Where a Worker keeps work alive after its answer. */
export interface WaitUntilContext {
  waitUntil(promise: Promise<unknown>): void;
}

export interface EventBuffer {
  /**
   * Takes an event; never throws, never waits.
   *
   * @returns false when the event was dropped; {@link EventBuffer.health} counts it
   */
  add(event: EnvelopeInput): boolean;
  /** Takes an event that is made later. `at` is the time now, which the caller has just read. */
  defer(event: DeferredEvent, at: number): boolean;
  /** Whether an event of so many bytes would not be dropped for want of room. Nothing is counted. */
  fits(bytes: number): boolean;
  /** Resolves when something has left, or at a time: what waiting for room is made of (`src/exposure/backpressure.ts`). */
  change(at: number): Promise<void>;
  /**
   * Sends what is held, without waiting for a batch to fill. Resolves to true when all of it was accepted or refused by
   * the sink; to false once the sink has failed `attempts` times in a row, or the buffer is closed first. Never rejects.
   */
  flush(): Promise<boolean>;
  /** Flushes after the answer has gone: call it once a request in a Worker. */
  waitUntil(context: WaitUntilContext): void;
  health(): EventBufferHealth;
  /**
   * Takes no more events, flushes, and drops and counts what is still there after `timeoutMs` (default 10 seconds), or
   * as soon as the sink has failed `attempts` times in a row.
   */
  close(timeoutMs?: number): Promise<void>;
}

interface Batch {
  readonly events: readonly EnvelopeInput[];
  readonly bytes: number;
  attempts: number;
  /** While a send is under way: when it counts as failed. */
  deadline: number | undefined;
}

const longestRetryAfterMs = 300_000;

/** Platforms keep a delay in 31 bits; a longer one would go off at once, again and again. */
const longestTimerMs = 2 ** 31 - 1;

/**
 * @example
 * const buffer = createEventBuffer({ sink: httpSink({ url: "https://experiments.example" }) });
 * buffer.add(envelope);
 * await buffer.close();
 */
export const createEventBuffer = (options: EventBufferOptions): EventBuffer => {
  const {
    sink,
    maxEvents = 10_000,
    maxBytes = 8 * 1024 * 1024,
    attempts = 8,
    backoffMs = 250,
    backoffMaxMs = 30_000,
    sendTimeoutMs = 15_000,
    now = Date.now,
    random = Math.random,
  } = options;
  const flushSettings = (): FlushSettings => {
    const told = options.flushSettings?.();
    return {
      flushEvents: options.flushEvents ?? told?.flushEvents ?? 500,
      flushBytes: options.flushBytes ?? told?.flushBytes ?? 256 * 1024,
      flushIntervalMs: options.flushIntervalMs ?? told?.flushIntervalMs ?? 1_000,
    };
  };
  let flushing: FlushSettings | undefined;
  const beginTimer: StartTimer = (callback, delayMs, holdsProcess) =>
    (options.startTimer ?? startTimer)(callback, Math.min(delayMs, longestTimerMs), holdsProcess);

  let waiting: DeferredEvent[] = [];
  let waitingBytes = 0;
  let dueAt = Infinity;
  let batch: Batch | undefined;
  let closed = false;

  /** Events ever taken, and of those the ones that have left: a flush waits for the second to reach the first. */
  let taken = 0;
  let left = 0;
  /** Events that left without having been sent. */
  let lost = 0;
  /**
   * Wakes every flush that waits. Each has a promise that it made itself: a Worker cancels what waits for a promise that
   * another request made, once that request is over.
   */
  const sleepers = new Set<() => void>();

  let sent = 0;
  let rejected = 0;
  const dropped = { overflow: 0, oversize: 0, closed: 0 };
  let overflowing = false;
  let failures = 0;
  let retryAt = -Infinity;
  let lastError: string | undefined;

  let timer: { readonly at: number; readonly cancel: () => void } | undefined;
  let pumping = false;

  const heldEvents = (): number => waiting.length + (batch?.events.length ?? 0);
  const heldBytes = (): number => waitingBytes + (batch?.bytes ?? 0);

  const report = (error: unknown): void => {
    lastError = messageOf(error);
    try {
      options.onError?.(error);
    } catch {
      // A reporter that fails has nowhere to report to.
    }
  };

  const signal = (): void => {
    const woken = [...sleepers];
    sleepers.clear();
    for (const wake of woken) wake();
  };

  /** The batch has left, one way or another. */
  const release = (done: Batch): void => {
    batch = undefined;
    left += done.events.length;
  };

  const failed = (current: Batch, error: unknown): void => {
    current.deadline = undefined;
    failures += 1;
    const longest = Math.min(backoffMaxMs, backoffMs * 2 ** Math.min(failures - 1, 31));
    const asked = error instanceof SinkError ? Math.min(error.retryAfterMs ?? 0, longestRetryAfterMs) : 0;
    retryAt = now() + Math.max(longest * (0.5 + random() / 2), asked);
    report(error);
  };

  const delivered = (current: Batch, receipt: SinkReceipt): void => {
    release(current);
    failures = 0;
    retryAt = -Infinity;
    overflowing = false;
    sent += receipt.accepted;
    rejected += receipt.rejected.length;
    const [first] = receipt.rejected;
    if (first !== undefined) {
      report(new Error(`${sink.name}: ${receipt.rejected.length} events refused, the first: ${first.message}`));
    }
  };

  const send = async (current: Batch): Promise<void> => {
    current.attempts += 1;
    current.deadline = now() + sendTimeoutMs;
    const attempt = current.attempts;
    try {
      const receipt = await sink.send(current.events);
      // Late is not lost: an attempt that was given up for dead may still succeed while the batch waits for its next.
      if (batch === current) delivered(current, receipt);
    } catch (error) {
      if (batch === current && current.attempts === attempt && current.deadline !== undefined) failed(current, error);
    }
    signal();
    schedule();
  };

  const isDue = (at: number): boolean =>
    flushing !== undefined &&
    waiting.length > 0 &&
    (waiting.length >= flushing.flushEvents || waitingBytes >= flushing.flushBytes || at >= dueAt);

  /** What can be made of these. An id of the application's own may fail, and must not keep the others. */
  const made = (items: readonly DeferredEvent[]): readonly EnvelopeInput[] =>
    items.flatMap((item) => {
      try {
        return item.make();
      } catch (error) {
        dropped.oversize += 1;
        left += 1;
        lost += 1;
        report(error);
        return [];
      }
    });

  const take = (): Batch => {
    let count = 0;
    let bytes = 0;
    for (const item of waiting) {
      if (count === batchEvents || (count > 0 && bytes + item.bytes > batchBytes)) break;
      count += 1;
      bytes += item.bytes;
    }
    const items = waiting;
    if (count === waiting.length) {
      waiting = [];
      dueAt = Infinity;
    } else {
      waiting = items.splice(count);
    }
    waitingBytes -= bytes;
    return { events: made(items), bytes, attempts: 0, deadline: undefined };
  };

  /** Goes as far as it can go at this moment: what is due is sent, and while somebody flushes all is. */
  const pump = (all: boolean): void => {
    const at = now();
    if (batch?.deadline !== undefined && at >= batch.deadline) {
      failed(batch, new SinkError(`${sink.name}: no answer within ${sendTimeoutMs} ms`));
      signal();
    }
    const idle = batch?.deadline === undefined && at >= retryAt;
    if (idle && (batch !== undefined || isDue(at) || (all && waiting.length > 0))) {
      batch ??= take();
      if (batch.events.length > 0) void send(batch);
      else {
        batch = undefined;
        signal();
      }
    }
    schedule();
  };

  const timerAt = (at: number, callback: () => void, holdsProcess: boolean): (() => void) =>
    beginTimer(callback, Math.max(0, at - now()), holdsProcess);

  const cancelTimer = (): void => {
    timer?.cancel();
    timer = undefined;
  };

  /** When there is next something to do without anybody asking. */
  const wakeAt = (): number => {
    if (batch !== undefined) return batch.deadline ?? retryAt;
    const at = now();
    return waiting.length === 0 ? Infinity : Math.max(isDue(at) ? at : dueAt, retryAt);
  };

  /** Sets the timer for that. It keeps no process alive: somebody who waits has a timer of their own. */
  const schedule = (): void => {
    const at = wakeAt();
    if (timer?.at === at && at > now()) return;
    cancelTimer();
    if (at === Infinity) return;
    const wake = (): void => {
      timer = undefined;
      pump(false);
    };
    timer = { at, cancel: timerAt(at, wake, false) };
  };

  /** After the application's call, never inside it: encoding a batch takes time. */
  const pumpSoon = (): void => {
    if (pumping) return;
    pumping = true;
    queueMicrotask(() => {
      pumping = false;
      pump(false);
    });
  };

  /** Waits for a change, or until the time comes; by a timer of this caller's, because others' may be dead. */
  const changeOrTime = async (at: number): Promise<void> => {
    const { promise, resolve } = Promise.withResolvers<void>();
    sleepers.add(resolve);
    const cancel = timerAt(at, resolve, true);
    await promise;
    sleepers.delete(resolve);
    cancel();
  };

  const flush = async (): Promise<boolean> => {
    const target = taken;
    const lostBefore = lost;
    const remains = (): boolean => left < target;
    while (remains()) {
      const resting = batch?.deadline === undefined && now() < retryAt;
      // Whoever flushes in an outage learns so, instead of waiting for its end.
      if (failures >= attempts && resting) return false;
      pump(true);
      // A send may have failed before it came to wait, and the last attempt with it.
      if (remains()) await changeOrTime(batch?.deadline ?? retryAt);
    }
    return lost === lostBefore;
  };

  const isFull = (bytes: number): boolean => heldEvents() >= maxEvents || heldBytes() + bytes > maxBytes;

  const health = (): EventBufferHealth => {
    const events = heldEvents();
    const gone = dropped.overflow + dropped.oversize + dropped.closed;
    const status = failures >= attempts ? "unhealthy" : failures > 0 || overflowing ? "degraded" : "healthy";
    const parts = [
      `${events} events wait`,
      ...(failures > 0 ? [`${failures} failed ${failures === 1 ? "send" : "sends in a row"} to ${sink.name}`] : []),
      ...(rejected > 0 ? [`${rejected} refused`] : []),
      ...(gone > 0 ? [`${gone} dropped`] : []),
      ...(lastError === undefined ? [] : [`last error: ${lastError}`]),
    ];
    return {
      status,
      description: parts.join("; "),
      events,
      bytes: heldBytes(),
      sent,
      rejected,
      dropped: { ...dropped },
      failures,
      ...(lastError === undefined ? {} : { lastError }),
    };
  };

  const drop = (): false => {
    dropped.overflow += 1;
    if (!overflowing) report(new Error(`event buffer: full with ${heldEvents()} events, ${heldBytes()} bytes`));
    overflowing = true;
    return false;
  };

  const defer = (item: DeferredEvent, at: number): boolean => {
    if (closed) {
      dropped.closed += 1;
      return false;
    }
    if (isFull(item.bytes)) return drop();
    waiting.push(item);
    waitingBytes += item.bytes;
    taken += 1;
    if (waiting.length === 1) {
      flushing = flushSettings();
      dueAt = at + flushing.flushIntervalMs;
      pumpSoon();
    } else if (isDue(at)) {
      pumpSoon();
    }
    return true;
  };

  /** What is held of an event that is there already; undefined for one that cannot be sent, which is counted. */
  const ready = (event: EnvelopeInput): DeferredEvent | undefined => {
    const encoded = encodeEvent(event);
    if (!("message" in encoded)) return { bytes: encoded.bytes, make: () => event };
    dropped.oversize += 1;
    report(new RangeError(encoded.message));
    return undefined;
  };

  return {
    defer,
    add(event) {
      const item = ready(event);
      return item !== undefined && defer(item, now());
    },
    fits: (bytes) => closed || !isFull(bytes),
    change(at) {
      // A send that a Worker gave up with its request is found by the clock.
      pump(false);
      return changeOrTime(at);
    },
    flush,
    waitUntil(context) {
      if (left < taken) context.waitUntil(flush());
    },
    health,
    async close(timeoutMs = 10_000) {
      closed = true;
      retryAt = -Infinity;
      const { promise: late, resolve: giveUp } = Promise.withResolvers<boolean>();
      const cancel = beginTimer(() => giveUp(false), timeoutMs, true);
      await Promise.race([flush(), late]);
      cancel();
      cancelTimer();
      dropped.closed += heldEvents();
      lost += heldEvents();
      left = taken;
      waiting = [];
      waitingBytes = 0;
      batch = undefined;
      signal();
    },
  };
};
