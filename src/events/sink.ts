/** The port for event sinks. An adapter is one file in `adapters/sink/` and passes `test/conformance/sink.suite.ts`. */
import type { EnvelopeInput } from "./envelope.ts";

/** What became of one `send`. Events that were refused for good are named by their place in the batch. */
export interface SinkReceipt {
  readonly accepted: number;
  readonly rejected: readonly { readonly index: number; readonly message: string }[];
}

export interface SinkHealth {
  readonly status: "healthy" | "degraded" | "unhealthy";
  /** One sentence for people. */
  readonly description: string;
}

export interface EventSink {
  /** A short name for health reports, e.g. `http` or `queue`. */
  readonly name: string;
  /**
   * Takes a batch of 1 to 1,000 events. Resolves when the far side has them; rejects when the whole batch may be
   * sent again (sending twice is harmless: the ledger counts an event id once).
   */
  send(events: readonly EnvelopeInput[]): Promise<SinkReceipt>;
  health(): SinkHealth;
}
