/** The Worker that the tests of this directory run in: the classes under test, and a consumer on a real local queue. */
import { refKey } from "../../src/scope.ts";
import { consume } from "../../worker/consumer.ts";
import type { LedgerEnv } from "../../worker/env.ts";

export { LedgerObject } from "../../worker/ledger-object.ts";
export { RegistryObject } from "../../worker/registry-object.ts";
export { HistoryObject } from "./history-object.ts";

interface Env {
  readonly LEDGERS: LedgerEnv["LEDGERS"];
  readonly DEAD_LETTERS: Queue;
  readonly ARCHIVE: R2Bucket;
}

const handler: ExportedHandler<Env, string> = {
  fetch: () => new Response("tests only", { status: 404 }),
  async queue(batch, env) {
    // Somebody else's queue, which a sink feeds: what arrives is kept where a test can look.
    if (batch.queue === "export") {
      for (const { id, body } of batch.messages) await env.ARCHIVE.put(`export/${id}`, body);
      return;
    }
    await consume(batch, {
      ledger: (ref) => env.LEDGERS.getByName(refKey(ref)),
      deadLetters: env.DEAD_LETTERS,
      now: Date.now,
      report: (error) => {
        throw new Error("the consumer reported an error", { cause: error });
      },
    });
  },
};

export default handler;
