/**
 * The state of a checkpoint that older code has signed. Its history is archived, so it cannot be built again: what later
 * shapes have added is filled in with what it says itself, and where it says nothing, with what lets nobody pass by accident.
 */
import { isServing } from "../lifecycle.ts";
import { frozenAt } from "./frozen-plan.ts";
import { staysIn } from "./serving.ts";
import { type ExperimentState, stateShape } from "./state.ts";

/** The first shape in which null says that nothing is frozen, and not that nobody knew of freezing. */
const frozenSince = 5;

/**
 * The state in the present shape; the same object where it has that already. What is signed is the text, which stays as it
 * is.
 *
 * - Since when it serves and is live: since it entered its lifecycle state, which is no earlier than it was. Guardrails look
 *   at less, and never at what another version did.
 * - What was frozen at the first start: what is live now. Later changes are marked against that, and all epochs count.
 * - Who wrote the newest content: everybody who wrote since the last approval. None of them is a second pair of eyes.
 */
export const inPresentShape = (state: ExperimentState): ExperimentState => {
  if (state.shape >= stateShape) return state;
  const { lifecycle, live, latest, since, written, authorsSinceApproval } = state;
  const frozen = state.shape < frozenSince && live !== null ? frozenAt(live, since, 0) : null;
  return {
    ...state,
    shape: stateShape,
    servingSince: isServing(lifecycle) ? (state.servingSince ?? since) : staysIn(state) ? state.servingSince : null,
    liveSince: live === null ? null : (state.liveSince ?? since),
    paused: lifecycle === "Paused" ? (state.paused ?? "control") : null,
    frozen: state.frozen ?? frozen,
    written:
      written.length > 0 || authorsSinceApproval.length === 0
        ? written
        : [{ digest: latest.digest, by: authorsSinceApproval }],
  };
};
