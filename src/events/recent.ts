/**
 * Remembers the most recent keys, in bounded memory. Two generations take turns: when the young one has half of the
 * capacity it becomes the old one, and what was old is forgotten. That costs no list of uses, and forgets nothing that is
 * among the last `capacity / 2` different keys.
 *
 * Its own hash table, because every exposure asks it: a `Set` hashes each text anew, and takes twice the time for one
 * that it has not seen.
 */

/** Slots looked at for one key. Ids come from outside: whoever makes many of one hash must not make the search long. */
const longestSearch = 256;

interface Generation {
  size: number;
  /** Number of slots − 1; a power of two of them, of which at most five in eight are taken. */
  mask: number;
  hashes: Int32Array;
  keys: (string | undefined)[];
}

const generation = (slots: number): Generation => {
  const keys: (string | undefined)[] = [];
  for (let slot = 0; slot < slots; slot += 1) keys.push(undefined);
  return { size: 0, mask: slots - 1, hashes: new Int32Array(slots), keys };
};

/** The slot of a key, or the free one where it belongs. After a long search that is its first one, whoever is there. */
const slotOf = ({ mask, hashes, keys }: Generation, key: string, hash: number): number => {
  let slot = hash & mask;
  for (let searched = 0; searched < longestSearch; searched += 1) {
    const there = keys[slot];
    if (there === undefined || (hashes[slot] === hash && there === key)) return slot;
    slot = (slot + 1) & mask;
  }
  return hash & mask;
};

const holds = ({ hashes, keys }: Generation, slot: number, key: string, hash: number): boolean =>
  keys[slot] === key && hashes[slot] === hash;

const put = (into: Generation, slot: number, key: string, hash: number): void => {
  if (into.keys[slot] === undefined) into.size += 1;
  into.keys[slot] = key;
  into.hashes[slot] = hash;
};

const grown = (small: Generation): Generation => {
  const large = generation((small.mask + 1) * 2);
  for (const [at, key] of small.keys.entries()) {
    const hash = small.hashes[at] ?? 0;
    if (key !== undefined) put(large, slotOf(large, key, hash), key, hash);
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
      // An odd factor takes every group somewhere else: a key that is found with this hash is of this group.
      const hash = (textHash ^ Math.imul(group, 0x9e3779b1)) | 0;
      let slot = slotOf(young, key, hash);
      if (holds(young, slot, key, hash)) return true;
      if (young.size >= half || young.size * 8 > young.mask * 5) {
        if (young.size < half) young = grown(young);
        else {
          // The slots of what is forgotten are there to be used again.
          [old, young] = [young, old];
          young.keys.fill(undefined);
          young.size = 0;
        }
        slot = slotOf(young, key, hash);
      }
      put(young, slot, key, hash);
      return holds(old, slotOf(old, key, hash), key, hash);
    },
    get size() {
      return young.size + old.size;
    },
  };
};
