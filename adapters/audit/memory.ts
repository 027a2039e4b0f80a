/** Keeps audit records in memory: for tests, and for looking at them during development. */
import type { AuditRecord } from "../../src/audit/record.ts";
import type { AuditSink } from "../../src/audit/sink.ts";

export interface MemoryAudit extends AuditSink {
  /** What has arrived, in order of arrival, one for each event. */
  records(): readonly AuditRecord[];
}

/**
 * @param recordsMax kept at most; the oldest make room
 * @example const audit = memoryAudit();
 */
export const memoryAudit = (recordsMax = 10_000): MemoryAudit => {
  const byId = new Map<string, AuditRecord>();
  return {
    name: "memory",
    write(records) {
      for (const record of records) if (!byId.has(record.event.id)) byId.set(record.event.id, record);
      for (const id of byId.keys()) {
        if (byId.size <= recordsMax) break;
        byId.delete(id);
      }
      return Promise.resolve();
    },
    records: () => [...byId.values()],
  };
};
