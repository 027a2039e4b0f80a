import { type AuditQueue, queueAudit } from "../../../adapters/audit/queue.ts";
import { auditSuite } from "../../conformance/audit.suite.ts";

/** A queue that refuses what Cloudflare's refuses. */
auditSuite("queue", () => {
  const bodies: string[] = [];
  let failures = 0;
  const queue: AuditQueue = {
    sendBatch(batch) {
      const messages = [...batch];
      const bytes = messages.map(({ body }) => Buffer.byteLength(body));
      const total = bytes.reduce((sum, each) => sum + each, 0);
      if (messages.length === 0 || messages.length > 100) throw new RangeError(`${messages.length} messages`);
      if (total > 256_000 || bytes.some((each) => each > 128_000)) throw new RangeError(`${total} bytes`);
      if (failures > 0) {
        failures -= 1;
        return Promise.reject(new Error("queue overloaded"));
      }
      bodies.push(...messages.map(({ body }) => body));
      return Promise.resolve();
    },
  };
  return {
    sink: queueAudit({ queue }),
    received: () => bodies.map((body): unknown => JSON.parse(body)),
    failNext: (times) => void (failures = times),
  };
});
