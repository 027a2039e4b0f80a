/**
 * Several sinks as one, each isolated from the others. Required ones decide: a batch is accepted when all of them have it,
 * and is sent again otherwise (sending twice counts once). The others get what was accepted through a bounded buffer of
 * their own, so one that fails or hangs costs its own events, which it counts, and nobody else anything.
 */
import { createEventBuffer, type EventBuffer, type EventBufferOptions } from "../../src/events/buffer.ts";
import type { EventSink, SinkHealth, SinkReceipt } from "../../src/events/sink.ts";

export interface CompositeSinkOptions {
  /** At least one. An event is accepted when every one of these has accepted it. */
  readonly required: readonly EventSink[];
  /** Best effort. */
  readonly others?: readonly EventSink[];
  /** For each of the others. */
  readonly buffer?: Omit<EventBufferOptions, "sink" | "onError">;
  /** Hears of the others' failures; the required ones' are the caller's. */
  readonly onError?: (error: unknown, sink: string) => void;
}

export interface CompositeSink extends EventSink {
  /** Sends what waits for the others: in a Worker, `context.waitUntil(sink.flush())`. False when one of them failed. */
  flush(): Promise<boolean>;
  /** Flushes the others and drops and counts what they still do not take. */
  close(timeoutMs?: number): Promise<void>;
}

const worse = { healthy: 0, degraded: 1, unhealthy: 2 } as const;

const worst = (statuses: readonly SinkHealth["status"][]): SinkHealth["status"] =>
  statuses.reduce((one, other) => (worse[one] >= worse[other] ? one : other), "healthy");

/** What all of them accepted; an event that one refuses for good is refused. */
const agreed = (count: number, receipts: readonly SinkReceipt[], names: readonly string[]): SinkReceipt => {
  const refusals = new Map<number, string>();
  receipts.forEach(({ rejected }, sink) => {
    for (const { index, message } of rejected) {
      const said = refusals.get(index);
      // Mostly all say the same of it.
      if (said === undefined) refusals.set(index, message);
      else if (!said.includes(message)) refusals.set(index, `${said}; ${names[sink] ?? ""}: ${message}`);
    }
  });
  const rejected = [...refusals].map(([index, message]) => ({ index, message })).toSorted((a, b) => a.index - b.index);
  return { accepted: count - rejected.length, rejected };
};

/**
 * @throws RangeError without a required sink
 * @example
 * const sink = compositeSink({ required: [queueSink({ queue: env.EVENTS })], others: [otelSink({ url }), logSink()] });
 */
export const compositeSink = ({ required, others = [], buffer, onError }: CompositeSinkOptions): CompositeSink => {
  if (required.length === 0) throw new RangeError("composite sink: at least one required sink");
  const buffers: readonly { readonly sink: EventSink; readonly buffer: EventBuffer }[] = others.map((sink) => ({
    sink,
    buffer: createEventBuffer({ ...buffer, sink, onError: (error) => onError?.(error, sink.name) }),
  }));
  return {
    name: "composite",
    async send(events) {
      // All are asked, and all are waited for: one that fails keeps no other from what it was given.
      const settled = await Promise.allSettled(required.map(async (sink) => sink.send(events)));
      const failures = settled.flatMap((result) =>
        result.status === "rejected" ? [{ reason: result.reason as unknown }] : [],
      );
      const [first] = failures;
      if (first !== undefined) throw first.reason;
      const receipts = settled.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
      const receipt = agreed(
        events.length,
        receipts,
        required.map(({ name }) => name),
      );
      const refused = new Set(receipt.rejected.map(({ index }) => index));
      for (const [index, event] of events.entries()) {
        if (!refused.has(index)) for (const other of buffers) other.buffer.add(event);
      }
      return receipt;
    },
    health() {
      const main = required.map((sink) => ({ name: sink.name, ...sink.health() }));
      const beside = buffers.map(({ sink, buffer: held }) => ({ name: sink.name, ...held.health() }));
      // What is best effort can make the whole no worse than degraded.
      const besideStatus = worst(beside.map(({ status }) => status)) === "healthy" ? "healthy" : "degraded";
      return {
        status: worst([...main.map(({ status }) => status), besideStatus]),
        description: [...main, ...beside]
          .map(({ name, status, description }) => `${name} ${status}: ${description}`)
          .join("; "),
      };
    },
    async flush() {
      const flushed = await Promise.all(buffers.map((other) => other.buffer.flush()));
      return flushed.every(Boolean);
    },
    async close(timeoutMs) {
      await Promise.all(buffers.map((other) => other.buffer.close(timeoutMs)));
    },
  };
};
