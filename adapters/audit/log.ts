/** Writes audit records as lines of JSON: what log shippers, `wrangler tail` and Logpush read. */
import { auditText } from "../../src/audit/record.ts";
import type { AuditSink } from "../../src/audit/sink.ts";

export interface LogAuditOptions {
  /** Takes one line, without its end: `console.log`, or a stream's. It throws when it could not. */
  readonly write: (line: string) => void;
  /** Longer records are written without their data. Workers cut off a line of more than 16 KB. Default: 16,000 bytes. */
  readonly lineBytes?: number | undefined;
}

/**
 * @example const audit = logAudit({ write: (line) => process.stdout.write(`${line}\n`) });
 */
export const logAudit = ({ write, lineBytes = 16_000 }: LogAuditOptions): AuditSink => ({
  name: "log",
  // A promise, so that what `write` throws is a rejection.
  async write(records) {
    for (const record of records) write(auditText(record, lineBytes));
  },
});
