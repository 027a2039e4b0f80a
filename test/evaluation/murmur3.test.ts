import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { murmur3 } from "../../src/evaluation/murmur3.ts";

const scramble = (block: number): number => {
  const k = Math.imul(block, 0xcc9e2d51);
  return Math.imul((k << 15) | (k >>> 17), 0x1b873593);
};

/** MurmurHash3_x86_32 over bytes, straight from the description, slow and plain: what the fast one is held against. */
const reference = (bytes: Uint8Array, seed: number): number => {
  const word = (at: number, count: number): number => {
    let value = 0;
    for (let index = count - 1; index >= 0; index -= 1) value = (value << 8) | (bytes[at + index] ?? 0);
    return value;
  };
  const whole = bytes.length - (bytes.length % 4);
  let h = seed;
  for (let at = 0; at < whole; at += 4) {
    h ^= scramble(word(at, 4));
    h = (Math.imul((h << 13) | (h >>> 19), 5) + 0xe6546b64) | 0;
  }
  if (whole < bytes.length) h ^= scramble(word(whole, bytes.length - whole));
  h ^= bytes.length;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
};

const utf8 = new TextEncoder();

describe("the reference of this test", () => {
  test("has the verification value that SMHasher publishes for Murmur3A", () => {
    // Keys {}, {0}, {0, 1} … with seeds 256, 255 …; then the hash of all those hashes.
    const hashes = new Uint8Array(1_024);
    const view = new DataView(hashes.buffer);
    for (let length = 0; length < 256; length += 1) {
      const key = Uint8Array.from({ length }, (_, index) => index);
      view.setUint32(4 * length, reference(key, 256 - length), true);
    }
    expect(reference(hashes, 0)).toBe(0xb0f57ee3);
  });
});

describe("murmur3", () => {
  // Published vectors: Wikipedia "MurmurHash", and the table by Ian Boyd on Stack Overflow (answer 31929528).
  test.each([
    ["", 0, 0],
    ["", 1, 0x514e28b7],
    ["", 0xffffffff, 0x81f16f39],
    ["\0\0\0\0", 0, 0x2362f9de],
    ["\0\0\0", 0, 0x85f0b427],
    ["\0\0", 0, 0x30f4c306],
    ["\0", 0, 0x514e28b7],
    ["!", 0, 0x72661cf4],
    ["test", 0, 0xba6bd213],
    ["test", 0x9747b28c, 0x704b81dc],
    ["Hello, world!", 0, 0xc0363e43],
    ["Hello, world!", 0x9747b28c, 0x24884cba],
    ["The quick brown fox jumps over the lazy dog", 0, 0x2e4ff723],
    ["The quick brown fox jumps over the lazy dog", 0x9747b28c, 0x2fa826cd],
    ["a", 0x9747b28c, 0x7fa09ea6],
    ["ab", 0x9747b28c, 0x74875592],
    ["abc", 0x9747b28c, 0xc84a62dd],
    ["abcd", 0x9747b28c, 0xf0478627],
    ["ππππππππ", 0x9747b28c, 0xd58063c1],
  ])("of %j with seed %i is the published %i", (text, seed, expected) => {
    expect(murmur3(text, seed)).toBe(expected);
  });

  test("hashes the UTF-8 bytes of any text, surrogates without a partner as U+FFFD", () => {
    const seeds = fc.integer({ min: 0, max: 0xffffffff });
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 40 }), seeds, (text, seed) => {
        expect(murmur3(text, seed)).toBe(reference(utf8.encode(text), seed));
      }),
      { numRuns: 2_000 },
    );
  });

  test("hashes ASCII that turns into something else at every place of a block", () => {
    const others = ["é", "日", "😀", "\ud800", "\udc00", "\udc00\ud800", "é日😀"];
    const texts = others.flatMap((other) =>
      [0, 1, 2, 3, 4, 5, 6, 7, 8].flatMap((before) =>
        [0, 1, 2, 3, 4].map((after) => "a".repeat(before) + other + "b".repeat(after)),
      ),
    );
    const hashes = (hash: (text: string) => number) => texts.map((text) => ({ text, hash: hash(text) }));
    expect(hashes((text) => murmur3(text, 7))).toEqual(hashes((text) => reference(utf8.encode(text), 7)));
  });

  test("is a whole number from 0 to 2^32 - 1", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const hash = murmur3(text, 0);
        expect(Number.isInteger(hash) && hash >= 0 && hash <= 0xffffffff).toBe(true);
      }),
    );
  });
});
