/** Old events out of the store and into a file, behind a signed checkpoint: what stays still verifies, and goes on. */
import { limits } from "../limits.ts";
import type { ExperimentRef } from "../scope.ts";
import { beginningOf } from "./beginning.ts";
import { eraseAll } from "./erase.ts";
import { referencesIn } from "./event-references.ts";
import type { PersonalRef } from "./events.ts";
import { evolve } from "./evolve.ts";
import { exportExperiment } from "./export/export.ts";
import { signCheckpoint } from "./export/statements.ts";
import type { Signer } from "./signing.ts";
import type { ExperimentState } from "./state.ts";
import type { GovernanceStore, Head, HistoryPage } from "./store.ts";

/** Events that can be archived: up to this one, which stays as well. */
export interface Archivable {
  readonly head: Required<Head>;
  readonly state: ExperimentState;
  /** They begin behind this one. */
  readonly after: number;
}

/** The events of an experiment from before a time (ms since the epoch); null where there is none to archive. */
export const archivable = async (
  store: GovernanceStore,
  ref: ExperimentRef,
  before: number,
): Promise<Archivable | null> => {
  const beginning = await beginningOf(store, ref);
  let state = beginning.state;
  let reached: Archivable | null = null;
  for (let after: number | null = beginning.after; after !== null;) {
    const page: HistoryPage = await store.history(ref, { after, limit: limits.heavyPageRows });
    for (const event of page.events) {
      const { seq, hash, at } = event;
      if (Date.parse(at) >= before) return reached;
      state = evolve(state, event);
      if (state !== null) reached = { head: { seq, hash, at }, state, after: beginning.after };
    }
    after = page.next;
  }
  return reached;
};

/**
 * The archive: an export that ends at the event that will be the checkpoint. It has everything that the events name, also
 * what is personal: who is erased later is still in it.
 */
export const archiveLines = (
  store: GovernanceStore,
  ref: ExperimentRef,
  { head }: Archivable,
  signer: Signer,
): AsyncGenerator<string> => exportExperiment(store, ref, { until: head, signer });

/** References in archived events that nothing left in the store names. */
const orphans = async (
  store: GovernanceStore,
  ref: ExperimentRef,
  { head, state, after: from }: Archivable,
): Promise<readonly PersonalRef[]> => {
  const archived = new Set<PersonalRef>();
  // The state has references in many places, and one that is overlooked would make its person somebody new.
  const kept = new Set(JSON.stringify(state).match(/[0-9a-f]{64}/g));
  for (let after: number | null = from; after !== null;) {
    const page: HistoryPage = await store.history(ref, { after, limit: limits.heavyPageRows });
    for (const event of page.events)
      for (const reference of referencesIn(event)) (event.seq < head.seq ? archived : kept).add(reference);
    after = page.next;
  }
  return [...archived].filter((reference) => !kept.has(reference));
};

/**
 * Removes archived events, and the personal values that only they name. Call it when the archive is safe: nothing brings
 * them back but importing it elsewhere.
 *
 * @returns false when the history has changed in a way that nothing explains; then nothing was removed
 */
export const removeArchived = async (
  store: GovernanceStore,
  ref: ExperimentRef,
  part: Archivable,
  signer: Signer,
): Promise<boolean> => {
  const lonely = await orphans(store, ref, part);
  if (!(await store.archive(ref, await signCheckpoint(signer, ref, part.head, part.state)))) return false;
  await eraseAll(store, ref, lonely);
  return true;
};
