/**
 * Who is told of what has happened: published rules, webhooks, audit sinks. A subscriber reads the event log and has a
 * position in it, for each experiment; what lies behind the position is undelivered (`outbox.ts`).
 */
import type { EventRecord, PersonalRef } from "../governance/events.ts";
import type { Snapshot } from "../governance/store.ts";
import type { ExperimentRef } from "../scope.ts";

export interface Delivery {
  readonly ref: ExperimentRef;
  /** At least one; in order of seq. */
  readonly events: readonly EventRecord[];
  /** Values of the references in these events; erased ones are missing. */
  readonly people: ReadonlyMap<PersonalRef, string>;
  /** The experiment after the last of these events, where it is at hand; the store has it or a later one. */
  readonly snapshot?: Snapshot;
}

export interface Subscriber {
  /** Its positions are kept under this name: `rules`, `notices:team`. Another name begins at the first event. */
  readonly name: string;
  /** Left out: it wants every event. What it does not want counts as delivered. */
  readonly wants?: (event: EventRecord, ref: ExperimentRef) => boolean;
  /** How many events it takes at once. Default: a page of the history. */
  readonly batchEvents?: number;
  /**
   * Resolves when the far side has the events. Rejects when it may not have them: they come again, together with what
   * has happened meanwhile, and nothing later comes before them. A `SinkError` may say when.
   */
  deliver(delivery: Delivery): Promise<void>;
}
