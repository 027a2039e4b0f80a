/**
 * States that an older version of this code has stored. They are built again from their history when they are read, and
 * stored in their present shape by the next commit: what a state is made of may change without a migration of data.
 */
import { ProvisoError } from "../errors.ts";
import { limits } from "../limits.ts";
import type { ExperimentRef } from "../scope.ts";
import { beginningOf } from "./beginning.ts";
import { evolve } from "./evolve.ts";
import { stateShape } from "./state.ts";
import type { GovernanceStore, HistoryPage, Snapshot } from "./store.ts";

/** The state as of the event that made this revision; page by page, whatever the length of the history. */
const rebuild = async (store: GovernanceStore, ref: ExperimentRef, snapshot: Snapshot): Promise<Snapshot> => {
  const beginning = await beginningOf(store, ref);
  let state = beginning.state;
  for (let after: number | null = beginning.after; after !== null;) {
    const page: HistoryPage = await store.history(ref, { after, limit: limits.heavyPageRows });
    for (const event of page.events) {
      state = evolve(state, event);
      if (event.hash === snapshot.revisionHash && state !== null) return { ...snapshot, state };
    }
    after = page.next;
  }
  // The revision is of an event that is archived, and nothing has changed the state since.
  if (state !== null && state === beginning.state) return { ...snapshot, state };
  throw new ProvisoError("internal", `the history of ${ref.experiment} does not lead to its stored state`);
};

const isOutdated = ({ state }: Snapshot): boolean => state.shape < stateShape;

/** The store, with every state in its present shape. For a state that has it already this costs one comparison. */
export const withCurrentShape = (store: GovernanceStore): GovernanceStore => ({
  ...store,
  async load(ref, options) {
    const loaded = await store.load(ref, options);
    if (loaded === null || !isOutdated(loaded.snapshot)) return loaded;
    return { ...loaded, snapshot: await rebuild(store, ref, loaded.snapshot) };
  },
  async list(scope, query) {
    const page = await store.list(scope, query);
    if (!page.items.some(({ snapshot }) => isOutdated(snapshot))) return page;
    const items = [];
    for (const { ref, snapshot } of page.items)
      items.push({ ref, snapshot: isOutdated(snapshot) ? await rebuild(store, ref, snapshot) : snapshot });
    return { ...page, items };
  },
});
