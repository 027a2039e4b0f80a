/** How the consumer's sinks do, in the log and on the board that `GET /health` reads. */
import type { DeliveryTrouble } from "../src/delivery/outbox.ts";
import { SinkError } from "../src/events/sink-error.ts";
import { messageOf } from "../src/message-of.ts";
import type { FeedReport } from "./sinks.ts";

export interface SinkWatchOptions {
  readonly note: (trouble: DeliveryTrouble) => void;
  readonly report: (error: unknown) => void;
  /** ms since 1970 */
  readonly now: () => number;
}

/** Of one isolate, and by no experiment: sinks get the events of all of them. */
const everywhere = { tenant: "", environment: "", experiment: "" };
/** A sink that has failed is in trouble until it says otherwise, or has said nothing for so long. */
const quietMs = 60_000;

/** Failures in a row are counted; the first success after one takes the sink from the board. */
export const sinkWatch = ({ note, report, now }: SinkWatchOptions): ((fed: FeedReport) => void) => {
  const failures = new Map<string, { readonly count: number; readonly since: number }>();
  return ({ sink, refused, missing, error }) => {
    const { name, required } = sink;
    const subscriber = `sink:${name}`;
    const [first] = refused;
    if (first !== undefined) {
      const lost = required ? "they are in the dead letters" : "they are lost to it";
      report(new SinkError(`sink ${name} refused ${refused.length} events, ${lost}: ${first.message}`));
    }
    if (missing.length === 0) {
      if (!failures.delete(name)) return;
      note({ subscriber, ref: everywhere, failures: 0, since: now(), nextAt: now(), error: "" });
      return;
    }
    const lost = required ? "they come again" : "they are lost to it";
    report(new SinkError(`sink ${name} failed on ${missing.length} events, ${lost}`, { cause: error }));
    const { count = 0, since = now() } = failures.get(name) ?? {};
    failures.set(name, { count: count + 1, since });
    note({ subscriber, ref: everywhere, failures: count + 1, since, nextAt: now() + quietMs, error: messageOf(error) });
  };
};
