import * as fc from "fast-check";
import { expect, test } from "vitest";
import { createRecent } from "../../src/events/recent.ts";
import { scanText } from "../../src/utf8.ts";

test("knows what it has seen", () => {
  const recent = createRecent(10);
  const seen = (key: string, group = 0) => recent.seenBefore(key, group, 1);
  expect([seen("a"), seen("b"), seen("a"), seen("a", 7), seen("a", 7)]).toEqual([false, false, true, false, true]);
});

test("never claims to have seen what it has not, remembers the last half, and stays within its capacity", () => {
  const keys = fc.array(fc.integer({ min: 0, max: 40 }).map(String), { maxLength: 300 });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 30 }), fc.func(fc.integer()), keys, (capacity, hash, sequence) => {
      const recent = createRecent(capacity);
      const half = Math.max(1, Math.floor(capacity / 2));
      for (const [index, key] of sequence.entries()) {
        const before = sequence.slice(0, index);
        const since = before.slice(before.lastIndexOf(key) + 1);
        const remembered = before.includes(key) && new Set(since).size < half;
        const seen = recent.seenBefore(key, 3, hash(key));
        expect({ seen: remembered ? seen : true }).toEqual({ seen: true });
        expect({ seen: before.includes(key) ? false : seen }).toEqual({ seen: false });
        expect(recent.size).toBeLessThanOrEqual(Math.max(2, capacity));
      }
    }),
  );
});

test("knows thousands again, whatever their number and group", () => {
  const recent = createRecent(20_000);
  const scan = { bytes: 0, hash: 0 };
  const again = (n: number): boolean => {
    scanText(`user-${n}`, scan);
    return recent.seenBefore(`user-${n}`, n % 3, scan.hash);
  };
  const all = Array.from({ length: 9_000 }, (_, n) => n);
  expect(all.filter(again)).toEqual([]);
  expect(all.filter(again)).toEqual(all);
  // Of a second generation, still.
  expect(all.map((n) => n + 9_000).filter(again)).toEqual([]);
  expect(recent.size).toBeLessThanOrEqual(20_000);
});

test("keys made to have one hash cost a bounded search each, and are never taken for one another", () => {
  const recent = createRecent(20_000);
  const seen = Array.from({ length: 5_000 }, (_, n) => recent.seenBefore(`user-${n}`, 0, 42));
  expect(seen).not.toContain(true);
  expect(recent.size).toBeLessThan(600);
});
