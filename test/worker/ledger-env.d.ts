import type { LedgerEnv } from "../../worker/env.ts";
import type { LedgerObject } from "../../worker/ledger-object.ts";
import type * as main from "./main.ts";

declare global {
  namespace Cloudflare {
    interface Env {
      LEDGERS: DurableObjectNamespace<LedgerObject> & LedgerEnv["LEDGERS"];
      EVENTS: Queue<string>;
      DEAD_LETTERS: Queue;
      /** What the sinks of `sinks.test.ts` write to. */
      EXPORT: Queue;
      ARCHIVE: R2Bucket;
      EXPERIMENT_EVENTS: AnalyticsEngineDataset;
    }
    interface GlobalProps {
      mainModule: typeof main;
    }
  }
}
