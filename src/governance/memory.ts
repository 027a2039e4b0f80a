/** What one process remembers of the experiments it has just worked on. Right or not: the commit finds out. */
import { actorsOf } from "./state.ts";
import type { Loaded } from "./store.ts";

export interface Memory {
  get(key: string): Loaded | undefined;
  /** Ignored when a later state is remembered already. */
  set(key: string, loaded: Loaded): void;
  delete(key: string): void;
  /** The remembered state as this actor would load it; null where the actor's reference is not known either. */
  recall(key: string, actorId: string): Loaded | null;
}

const entriesMax = 64;

export const createMemory = (): Memory => {
  const entries = new Map<string, Loaded>();
  return {
    get: (key) => entries.get(key),
    set(key, loaded) {
      // A reading that began before a commit may end after it.
      const known = entries.get(key);
      if (known !== undefined && known.head.seq > loaded.head.seq) return;
      // The newest entry stands last, so the first one is the one to forget.
      entries.delete(key);
      entries.set(key, loaded);
      const oldest = entries.keys().next();
      if (entries.size > entriesMax && oldest.done !== true) entries.delete(oldest.value);
    },
    delete: (key) => void entries.delete(key),
    recall(key, actorId) {
      const known = entries.get(key);
      if (known === undefined) return null;
      // A comment may consist of somebody's name, and its reference is not theirs.
      const actors = new Set(actorsOf(known.snapshot.state));
      const actor = [...known.people].find(([ref, value]) => value === actorId && actors.has(ref))?.[0];
      return actor === undefined ? null : { ...known, actor };
    },
  };
};
