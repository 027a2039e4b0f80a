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
}

const handler: ExportedHandler<Env, string> = {
  fetch: () => new Response("tests only", { status: 404 }),
  queue: (batch, env) =>
    consume(batch, {
      ledger: (ref) => env.LEDGERS.getByName(refKey(ref)),
      deadLetters: env.DEAD_LETTERS,
      now: Date.now,
      report: (error) => {
        throw new Error("the consumer reported an error", { cause: error });
      },
    }),
};

export default handler;
