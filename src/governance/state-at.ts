/** The past, from the history alone. */
import { ProvisoError } from "../errors.ts";
import { limits } from "../limits.ts";
import type { ExperimentRef } from "../scope.ts";
import { beginningOf } from "./beginning.ts";
import { evolve } from "./evolve.ts";
import type { ExperimentState } from "./state.ts";
import type { GovernanceStore, HistoryPage } from "./store.ts";

/** A moment: after the event of this number, or at this time (ms since the epoch, inclusive). */
export type Moment = { readonly seq: number } | { readonly time: number };

export interface PastState {
  /** Null before the experiment had a version. */
  readonly state: ExperimentState | null;
  /** The last event that is in it; null before the first. */
  readonly last: { readonly seq: number; readonly at: string } | null;
}

const isLater = ({ seq, at }: { readonly seq: number; readonly at: string }, moment: Moment): boolean =>
  "seq" in moment ? seq > moment.seq : Date.parse(at) > moment.time;

const archived = (ref: ExperimentRef, seq: number): ProvisoError =>
  new ProvisoError("not-found", `the history of ${ref.experiment} before event ${seq} is archived`, {
    checkpoint: seq,
  });

/** Rebuilds the state as it was, page by page: a long history needs no more memory than a short one. */
export const stateAt = async (store: GovernanceStore, ref: ExperimentRef, moment: Moment): Promise<PastState> => {
  const { at, state, ...beginning } = await beginningOf(store, ref);
  let past: PastState = { state, last: at === null ? null : { seq: beginning.after, at } };
  if (past.last !== null && isLater(past.last, moment)) throw archived(ref, beginning.after);
  for (let after: number | null = beginning.after; after !== null;) {
    const page: HistoryPage = await store.history(ref, { after, limit: limits.heavyPageRows });
    for (const event of page.events) {
      if (isLater(event, moment)) return past;
      past = { state: evolve(past.state, event), last: { seq: event.seq, at: event.at } };
    }
    after = page.next;
  }
  return past;
};
