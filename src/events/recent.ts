/**
 * Remembers the most recent keys, in bounded memory. Two generations take turns: when the young one has half of the
 * capacity it becomes the old one, and what was old is forgotten. That costs no list of uses, and forgets nothing that is
 * among the last `capacity / 2` different keys.
 *
 * Its own hash table, because every exposure asks it: a `Set` hashes each text anew, and takes twice the time for one
 * that it has not seen.
 */

/** Slots looked at for one key. Ids come from outside: whoever makes many of one hash must not make the search long. */
const longestSearch = 64;

interface Generation {
  size: number;
  /** Number of slots − 1; a power of two of them, at least twice as many as keys. */
  mask: number;
  hashes: Int32Array;
  groups: Int32Array;
  keys: (string | undefined)[];
}

const generation = (slots: number): Generation => {
  const keys: (string | undefined)[] = [];
  for (let slot = 0; slot < slots; slot += 1) keys.push(undefined);
  return { size: 0, mask: slots - 1, hashes: new Int32Array(slots), groups: new Int32Array(slots), keys };
};

/** The slot of a key, or the free one where it belongs. After a long search that is its first one, whoever is there. */
const slotOf = ({ mask, hashes, groups, keys }: Generation, key: string, group: number, hash: number): number => {
  let slot = hash & mask;
  for (let searched = 0; searched < longestSearch; searched += 1) {
    const there = keys[slot];
    if (there === undefined) return slot;
    if (hashes[slot] === hash && groups[slot] === group && there === key) return slot;
    slot = (slot + 1) & mask;
  }
  return hash & mask;
};

const put = (into: Generation, key: string, group: number, hash: number): void => {
  const slot = slotOf(into, key, group, hash);
  if (into.keys[slot] === undefined) into.size += 1;
  into.keys[slot] = key;
  into.groups[slot] = group;
  into.hashes[slot] = hash;
};

const has = (within: Generation, key: string, group: number, hash: number): boolean => {
  const slot = slotOf(within, key, group, hash);
  return within.keys[slot] === key && within.groups[slot] === group;
};

const grown = (small: Generation): Generation => {
  const large = generation((small.mask + 1) * 2);
  for (const [slot, key] of small.keys.entries()) {
    if (key !== undefined) put(large, key, small.groups[slot] ?? 0, small.hashes[slot] ?? 0);
  }
  return large;
};

const fewestSlots = 64;

export interface Recent {
  /**
   * True when the key is remembered in its group; remembers it either way.
   *
   * @param hash of the key: equal for equal keys, 32 bits
   */
  seenBefore(key: string, group: number, hash: number): boolean;
  readonly size: number;
}

export const createRecent = (capacity: number): Recent => {
  const half = Math.max(1, Math.floor(capacity / 2));
  let young = generation(fewestSlots);
  let old = generation(fewestSlots);
  return {
    seenBefore(key, group, textHash) {
      // One subject is in many groups: its hash must not be the same in all of them.
      const hash = (textHash ^ Math.imul(group, 0x9e3779b1)) | 0;
      if (has(young, key, group, hash)) return true;
      if (young.size >= half) {
        // The slots of what is forgotten are there to be used again.
        [old, young] = [young, old];
        young.keys.fill(undefined);
        young.size = 0;
      } else if (young.size * 2 > young.mask) {
        young = grown(young);
      }
      put(young, key, group, hash);
      return has(old, key, group, hash);
    },
    get size() {
      return young.size + old.size;
    },
  };
};
