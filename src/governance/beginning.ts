/** Where a history begins for a reader: at its first event, or at the checkpoint that its archived events lie behind. */
import { ProvisoError } from "../errors.ts";
import type { ExperimentRef } from "../scope.ts";
import { checkpointState } from "./export/statements.ts";
import type { ExperimentState } from "./state.ts";
import type { Checkpoint, GovernanceStore } from "./store.ts";

export interface Beginning {
  /** Events behind this one are read; 0 for all. */
  readonly after: number;
  /** ISO 8601; of the event at `after`, null for 0. */
  readonly at: string | null;
  /** The state that those events go on from. */
  readonly state: ExperimentState | null;
  readonly checkpoint: Checkpoint | null;
}

/** @throws ProvisoError `internal` for a checkpoint that is not one of this experiment and this version of Proviso */
export const beginningOf = async (store: GovernanceStore, ref: ExperimentRef): Promise<Beginning> => {
  const checkpoint = await store.checkpoint(ref);
  if (checkpoint === null) return { after: 0, at: null, state: null, checkpoint };
  const found = checkpointState(ref, checkpoint);
  if (found === null)
    throw new ProvisoError("internal", `the checkpoint of ${ref.experiment} is not one of this version of Proviso`);
  return { after: checkpoint.seq, ...found, checkpoint };
};
