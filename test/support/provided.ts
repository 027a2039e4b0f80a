/** What vitest.config.ts gives to every test. */
import type { ProvidedContext } from "vitest";

declare module "vitest" {
  interface ProvidedContext {
    /** Whether long proofs run in full: PROVISO_PROOF=1. */
    readonly proof: boolean;
  }
}

export type Provided = ProvidedContext;
