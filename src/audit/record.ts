/** One event as a system outside gets it: as it stands in the history, with where that is. */
import { digestOf } from "../canonical.ts";
import type { EventRecord, PersonalRef } from "../governance/events.ts";
import { actorsIn, referencesIn } from "../governance/event-references.ts";
import type { Personal } from "../notices/notice.ts";
import type { ExperimentRef } from "../scope.ts";
import { utf8Length } from "../utf8.ts";

export const auditSchema = "proviso.audit/1";

export interface AuditRecord {
  readonly schema: typeof auditSchema;
  readonly tenant: string;
  readonly environment: string;
  readonly experiment: string;
  /** Whole and unchanged: the records of an experiment verify like its history. */
  readonly event: EventRecord;
  /** Values of the references in the event, where the deployment says so; erased ones are missing. */
  readonly people?: Readonly<Record<PersonalRef, string>>;
}

export const auditRecord = (
  { tenant, environment, experiment }: ExperimentRef,
  event: EventRecord,
  people: ReadonlyMap<PersonalRef, string>,
  personal: Personal,
): AuditRecord => {
  const record = { schema: auditSchema, tenant, environment, experiment, event } as const;
  if (personal === "none") return record;
  const refs = personal === "actors" ? actorsIn(event) : referencesIn(event);
  const values = refs.flatMap((ref) => {
    const value = people.get(ref);
    return value === undefined ? [] : [[ref, value] as const];
  });
  return { ...record, people: Object.fromEntries(values) };
};

/**
 * A record as JSON of at most so many bytes. One that is larger keeps everything but its data, of which it says how
 * much there was and its digest: the whole event is in the history, under the same seq.
 */
export const auditText = (record: AuditRecord, maxBytes = Infinity): string => {
  const text = JSON.stringify(record);
  const bytes = utf8Length(text);
  if (bytes <= maxBytes) return text;
  const { event, people: _people, ...place } = record;
  return JSON.stringify({
    ...place,
    event: { ...event, data: { omitted: { bytes, sha256: digestOf(event.data) } } },
  });
};
