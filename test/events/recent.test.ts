import * as fc from "fast-check";
import { expect, test } from "vitest";
import { createRecent } from "../../src/events/recent.ts";

test("knows what it has seen", () => {
  const recent = createRecent(10);
  expect([recent.seenBefore("a"), recent.seenBefore("b"), recent.seenBefore("a")]).toEqual([false, false, true]);
});

test("never claims to have seen what it has not, remembers the last half, and stays within its capacity", () => {
  const keys = fc.array(fc.integer({ min: 0, max: 40 }).map(String), { maxLength: 300 });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 30 }), keys, (capacity, sequence) => {
      const recent = createRecent(capacity);
      const half = Math.max(1, Math.floor(capacity / 2));
      for (const [index, key] of sequence.entries()) {
        const before = sequence.slice(0, index);
        const since = before.slice(before.lastIndexOf(key) + 1);
        const remembered = before.includes(key) && new Set(since).size < half;
        const seen = recent.seenBefore(key);
        expect({ seen: remembered ? seen : true }).toEqual({ seen: true });
        expect({ seen: before.includes(key) ? false : seen }).toEqual({ seen: false });
        expect(recent.size).toBeLessThanOrEqual(Math.max(2, capacity));
      }
    }),
  );
});
