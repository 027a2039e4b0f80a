/** The past, from the history alone. */
import { limits } from "../limits.ts";
import type { ExperimentRef } from "../scope.ts";
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

/** Rebuilds the state as it was, page by page: a long history needs no more memory than a short one. */
export const stateAt = async (store: GovernanceStore, ref: ExperimentRef, moment: Moment): Promise<PastState> => {
  let past: PastState = { state: null, last: null };
  for (let after: number | null = 0; after !== null;) {
    const page: HistoryPage = await store.history(ref, { after, limit: limits.heavyPageRows });
    for (const event of page.events) {
      const isLater = "seq" in moment ? event.seq > moment.seq : Date.parse(event.at) > moment.time;
      if (isLater) return past;
      past = { state: evolve(past.state, event), last: { seq: event.seq, at: event.at } };
    }
    after = page.next;
  }
  return past;
};
