/**
 * MurmurHash3 x86 32-bit by Austin Appleby (public domain), over the UTF-8 bytes of a text. Hashing code units instead
 * of bytes would be right for ASCII only, and no other language could repeat it.
 */
const c1 = 0xcc9e2d51;
const c2 = 0x1b873593;

const mixBlock = (hash: number, block: number): number => {
  let k = Math.imul(block, c1);
  k = (k << 15) | (k >>> 17);
  const h = hash ^ Math.imul(k, c2);
  return (Math.imul((h << 13) | (h >>> 19), 5) + 0xe6546b64) | 0;
};

/** The last one to three bytes, then the finaliser that makes every input bit reach every output bit. */
const finish = (hash: number, tail: number, byteLength: number): number => {
  let h = hash;
  if ((byteLength & 3) !== 0) {
    const k = Math.imul(tail, c1);
    h ^= Math.imul((k << 15) | (k >>> 17), c2);
  }
  h ^= byteLength;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
};

/** The code point at `index`; a surrogate without its partner is U+FFFD, as `TextEncoder` has it. */
const codePoint = (text: string, index: number): number => {
  const point = text.codePointAt(index) ?? 0;
  return point >> 11 === 0x1b ? 0xfffd : point;
};

/** Goes on from `start`, a multiple of four bytes that were all ASCII, with a text that is not. */
const hashUtf8 = (text: string, start: number, seeded: number): number => {
  let hash = seeded;
  let block = 0;
  let count = start;
  const push = (byte: number): void => {
    block |= byte << ((count & 3) << 3);
    count += 1;
    if ((count & 3) === 0) {
      hash = mixBlock(hash, block);
      block = 0;
    }
  };
  for (let index = start; index < text.length; index += 1) {
    const point = codePoint(text, index);
    if (point < 0x80) {
      push(point);
    } else if (point < 0x800) {
      push(0xc0 | (point >> 6));
      push(0x80 | (point & 0x3f));
    } else if (point < 0x10000) {
      push(0xe0 | (point >> 12));
      push(0x80 | ((point >> 6) & 0x3f));
      push(0x80 | (point & 0x3f));
    } else {
      push(0xf0 | (point >> 18));
      push(0x80 | ((point >> 12) & 0x3f));
      push(0x80 | ((point >> 6) & 0x3f));
      push(0x80 | (point & 0x3f));
      index += 1;
    }
  }
  return finish(hash, block, count);
};

/**
 * MurmurHash3_x86_32 of a text's UTF-8 bytes. A lone surrogate hashes as U+FFFD, so two ids that a database would merge
 * get one bucket. Not for secrets: whoever knows the salt can choose an id for a bucket.
 *
 * @param seed a whole number, 0 to 2³²−1
 * @returns a whole number, 0 to 2³²−1
 * @example murmur3("hello", 0) // 0x248bfa47
 */
export const murmur3 = (text: string, seed: number): number => {
  const length = text.length;
  const blocksEnd = length & ~3;
  let hash = seed | 0;
  for (let index = 0; index < blocksEnd; index += 4) {
    const a = text.charCodeAt(index);
    const b = text.charCodeAt(index + 1);
    const c = text.charCodeAt(index + 2);
    const d = text.charCodeAt(index + 3);
    if ((a | b | c | d) > 0x7f) return hashUtf8(text, index, hash);
    hash = mixBlock(hash, a | (b << 8) | (c << 16) | (d << 24));
  }
  let tail = 0;
  for (let index = length - 1; index >= blocksEnd; index -= 1) {
    const unit = text.charCodeAt(index);
    if (unit > 0x7f) return hashUtf8(text, blocksEnd, hash);
    tail = (tail << 8) | unit;
  }
  return finish(hash, tail, length);
};
