/**
 * The port for audit sinks: what a SIEM is fed from. An adapter is one file in `adapters/audit/` and passes
 * `test/conformance/audit.suite.ts`.
 */
import type { Subscriber } from "../delivery/subscriber.ts";
import type { Personal } from "../notices/notice.ts";
import { auditRecord, type AuditRecord } from "./record.ts";

export interface AuditSink {
  /** A short name for health reports, e.g. `log` or `queue`. */
  readonly name: string;
  /**
   * Takes records of one experiment, at least one, in order of seq. Resolves when the far side has all of them; rejects
   * when it may not: then all of them come again, and the far side knows an event by its id.
   */
  write(records: readonly AuditRecord[]): Promise<void>;
}

export interface AuditOptions {
  readonly sink: AuditSink;
  /** Its position is kept under this name; default: the sink's. */
  readonly name?: string | undefined;
  /** Default `none`: what has left cannot be erased. */
  readonly personal?: Personal | undefined;
}

/**
 * A subscriber that feeds every event to a sink, from the first one on. It never passes one over: a sink that is away
 * for a week gets the week.
 *
 * @example createGovernance({ store, subscribers: [auditTrail({ sink: logAudit({ write: console.log }) })] });
 */
export const auditTrail = ({ sink, name = sink.name, personal = "none" }: AuditOptions): Subscriber => ({
  name: `audit:${name}`,
  deliver: ({ ref, events, people }) => sink.write(events.map((event) => auditRecord(ref, event, people, personal))),
});
