/** Whether a history in a store holds together, from its beginning or from the checkpoint that it goes on from. */
import { limits } from "../limits.ts";
import type { ExperimentRef } from "../scope.ts";
import { beginningOf } from "./beginning.ts";
import { createVerifier, type Verification } from "./chain.ts";
import type { Verifying } from "./signing.ts";
import type { GovernanceStore, HistoryPage } from "./store.ts";

export interface HistoryVerification extends Verification {
  /** Where the history begins: 0, or the place of a checkpoint. */
  readonly from: number;
  /**
   * The checkpoint that it begins at: by which key it says to be signed, and whether that was checked. It can only be with
   * that very key: one that has been changed since says nothing about it.
   */
  readonly checkpoint: { readonly keyId: string; readonly checked: boolean } | null;
}

/**
 * Page by page, so that a long history needs no more memory than a short one.
 *
 * @param key checks the signature of a checkpoint that names it; any other is taken at its word
 */
export const checkHistory = async (
  store: GovernanceStore,
  ref: ExperimentRef,
  key?: Verifying,
): Promise<HistoryVerification> => {
  const { checkpoint } = await beginningOf(store, ref);
  const from = checkpoint?.seq ?? 0;
  const checked = checkpoint !== null && key !== undefined && key.keyId === checkpoint.signature.keyId;
  const begun = { from, checkpoint: checkpoint === null ? null : { keyId: checkpoint.signature.keyId, checked } };
  let verifier = createVerifier();
  if (checkpoint !== null) {
    const invalid = { valid: false, length: from - 1, head: null, firstInvalid: from, ...begun };
    const [anchor] = (await store.history(ref, { after: from - 1, limit: 1 })).events;
    if (anchor?.hash !== checkpoint.hash) return invalid;
    if (checked && !(await key.verify(checkpoint.text, checkpoint.signature))) return invalid;
    // The event at the checkpoint has its own hash to answer for; what it follows on from is archived.
    verifier = createVerifier({ seq: from - 1, hash: anchor.prevHash });
  }
  for (let after: number | null = Math.max(0, from - 1); after !== null;) {
    const page: HistoryPage = await store.history(ref, { after, limit: limits.heavyPageRows });
    verifier.add(page.events);
    after = page.next;
  }
  return { ...verifier.result(), ...begun };
};
