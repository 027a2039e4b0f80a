/**
 * Remembers the most recent keys, in bounded memory. Two sets take turns: when the young one has half of the capacity
 * it becomes the old one, and what was old is forgotten. That costs no list of uses, and forgets nothing that is among
 * the last `capacity / 2` different keys.
 */
export const createRecent = (capacity: number): { seenBefore(key: string): boolean; readonly size: number } => {
  const half = Math.max(1, Math.floor(capacity / 2));
  let young = new Set<string>();
  let old = new Set<string>();
  return {
    /** True when the key is remembered; remembers it either way. */
    seenBefore(key) {
      if (young.has(key)) return true;
      if (young.size >= half) {
        old = young;
        young = new Set();
      }
      young.add(key);
      return old.has(key);
    },
    get size() {
      return young.size + old.size;
    },
  };
};
