/** Sends audit records to a Cloudflare Queue, one message for each; a consumer of the host's takes them from there. */
import { auditText } from "../../src/audit/record.ts";
import type { AuditSink } from "../../src/audit/sink.ts";
import { runsOf } from "../../src/events/send.ts";
import { utf8Length } from "../../src/utf8.ts";

/** As much of a Queue binding as is used. */
export interface AuditQueue {
  sendBatch(messages: Iterable<{ readonly body: string; readonly contentType: "text" }>): Promise<unknown>;
}

/** A message has at most 128 KB, of which some goes to metadata. */
const messageBytes = 120_000;
/** Limits of one `sendBatch` call. */
const callMessages = 100;
const callBytes = 250_000;

/**
 * @example const audit = queueAudit({ queue: env.AUDIT });
 */
export const queueAudit = ({ queue }: { readonly queue: AuditQueue }): AuditSink => ({
  name: "queue",
  async write(records) {
    const messages = records.map((record) => {
      const body = auditText(record, messageBytes);
      return { body, bytes: utf8Length(body) };
    });
    for (const run of runsOf(messages, callMessages, callBytes))
      await queue.sendBatch(run.map(({ body }) => ({ body, contentType: "text" })));
  },
});
