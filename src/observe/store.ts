/** A store whose round trips are seen. */
import type { CommitResult, GovernanceStore } from "../governance/store.ts";
import type { ExperimentRef, Scope } from "../scope.ts";
import { type Attributes, type Observer, unobserved } from "./observer.ts";

const at = (place: Scope | ExperimentRef): Attributes => ({
  tenant: place.tenant,
  environment: place.environment,
  ...("experiment" in place ? { experiment: place.experiment } : {}),
});

/** The store itself, where nobody watches. */
export const observedStore = (store: GovernanceStore, observer: Observer): GovernanceStore => {
  if (observer === unobserved) return store;
  const see = <Result>(operation: string, place: Scope | ExperimentRef, work: () => Promise<Result>): Promise<Result> =>
    observer.run("store", { store: store.name, operation, ...at(place) }, work);
  return {
    ...store,
    load: (ref, options) => see("load", ref, () => store.load(ref, options)),
    commit: (ref, commit) =>
      observer.run(
        "store",
        { store: store.name, operation: "commit", events: commit.events.length, ...at(ref) },
        async (note): Promise<CommitResult> => {
          const result = await store.commit(ref, commit);
          if (!result.ok) note({ conflict: result.conflict });
          return result;
        },
      ),
    history: (ref, query) => see("history", ref, () => store.history(ref, query)),
    list: (scope, query) => see("list", scope, () => store.list(scope, query)),
    positions: (ref) => see("positions", ref, () => store.positions(ref)),
    advance: (ref, subscriber, seq) => see("advance", ref, () => store.advance(ref, subscriber, seq)),
  };
};
