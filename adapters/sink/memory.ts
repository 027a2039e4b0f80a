/** Keeps events in memory: for tests, for looking at them during development. */
import type { EnvelopeInput } from "../../src/events/envelope.ts";
import { encodeBatch } from "../../src/events/send.ts";
import type { EventSink } from "../../src/events/sink.ts";

export interface MemorySinkOptions {
  /** Events kept at most; the oldest make room. Default 100,000. */
  readonly maxEvents?: number;
}

export interface MemorySink extends EventSink {
  /** What has arrived, in order of arrival, one entry for each event id. */
  events(): readonly EnvelopeInput[];
  clear(): void;
}

/**
 * @example
 * const sink = memorySink();
 * const experiments = createExperiments({ rules, sink });
 */
export const memorySink = ({ maxEvents = 100_000 }: MemorySinkOptions = {}): MemorySink => {
  // By id, because a batch that is sent again must not be there twice: that is what the ledger does, too.
  const byId = new Map<string, EnvelopeInput>();
  return {
    name: "memory",
    send(events) {
      const { encoded, rejected } = encodeBatch(events);
      for (const { index } of encoded) {
        const event = events[index];
        if (event !== undefined && !byId.has(event.eventId)) byId.set(event.eventId, event);
      }
      for (const id of byId.keys()) {
        if (byId.size <= maxEvents) break;
        byId.delete(id);
      }
      return Promise.resolve({ accepted: encoded.length, rejected });
    },
    health: () => ({ status: "healthy", description: `${byId.size} events in memory` }),
    events: () => [...byId.values()],
    clear: () => byId.clear(),
  };
};
