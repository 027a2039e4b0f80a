/** Posts audit records in signed batches, as Standard Webhooks has them: to a SIEM's HTTP collector, or one's own. */
import { auditText } from "../../src/audit/record.ts";
import type { AuditSink } from "../../src/audit/sink.ts";
import { digestOf } from "../../src/canonical.ts";
import { createPoster, type Post } from "../../src/delivery/post.ts";
import { runsOf } from "../../src/events/send.ts";
import { parseSecrets, signWebhook } from "../../src/notices/signature.ts";
import { utf8Length } from "../../src/utf8.ts";

export interface WebhookAuditOptions {
  readonly url: string;
  /** `whsec_…`, or several with blanks between. */
  readonly secret: string;
  /** Sent with every request: what the collector wants besides, e.g. `{ authorization: "Splunk …" }`. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** A record that is larger by itself is sent without its data. Default: 1,000,000 bytes. */
  readonly bodyBytes?: number | undefined;
  readonly timeoutMs?: number | undefined;
  readonly fetch?: Post | undefined;
  readonly development?: boolean | undefined;
  /** Milliseconds since the epoch; default: the clock. */
  readonly now?: (() => number) | undefined;
}

const recordsMax = 100;
/** What stands around the records. */
const frameBytes = 200;

/**
 * The same records make the same message id, so that a collector can tell a repetition.
 *
 * @throws TypeError for an address or a secret that is none
 * @example const audit = webhookAudit({ url: "https://siem.example/collect", secret });
 */
export const webhookAudit = (options: WebhookAuditOptions): AuditSink => {
  const { url, fetch, timeoutMs, development, headers = {}, bodyBytes = 1_000_000, now = Date.now } = options;
  const post = createPoster({ url, fetch, timeoutMs, development, now });
  const secrets = parseSecrets(options.secret);
  const room = bodyBytes - frameBytes;
  return {
    name: "webhook",
    async write(records) {
      const encoded = records.map((record) => {
        const text = auditText(record, room);
        return { text, bytes: utf8Length(text) + 1, id: record.event.id, at: record.event.at };
      });
      for (const run of runsOf(encoded, recordsMax, room)) {
        const id = `audit_${digestOf(run.map((record) => record.id)).slice(0, 40)}`;
        const timestamp = JSON.stringify(run.at(-1)?.at);
        const texts = run.map(({ text }) => text).join(",");
        const body = `{"type":"audit.events","timestamp":${timestamp},"data":{"records":[${texts}]}}`;
        const signature = await signWebhook(secrets, id, Math.floor(now() / 1_000), body);
        await post(body, { "content-type": "application/json", "user-agent": "Proviso", ...headers, ...signature });
      }
    },
  };
};
