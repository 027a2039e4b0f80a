import * as fc from "fast-check";
import { expect, test } from "vitest";
import { allocateBuckets } from "../../src/evaluation/allocation.ts";

test.each([
  [[1], [10_000]],
  [
    [1, 1],
    [5_000, 5_000],
  ],
  [
    [1, 1, 1],
    [3_334, 3_333, 3_333],
  ],
  [
    [0.1, 0.2, 0.7],
    [1_000, 2_000, 7_000],
  ],
  [
    [95, 5],
    [9_500, 500],
  ],
  [
    [0, 1, 0],
    [0, 10_000, 0],
  ],
  [
    [1e308, 1e308],
    [5_000, 5_000],
  ],
  [
    [5e-324, 5e-324],
    [5_000, 5_000],
  ],
  [
    [Number.MAX_VALUE, 1],
    [10_000, 0],
  ],
  [
    [1, 999_999],
    [0, 10_000],
  ],
  [Array.from({ length: 100 }, () => 1), Array.from({ length: 100 }, () => 100)],
])("of weights %j are %j", (weights, expected) => {
  expect(allocateBuckets(weights)).toEqual(expected);
});

test("add up to 10,000, each within one of its exact share, and none for a weight of 0", () => {
  const weight = fc.oneof(
    fc.integer({ min: 0, max: 100 }),
    fc.double({ min: 0, max: 1e6, noNaN: true }),
    fc.double({ min: 0, noNaN: true, noDefaultInfinity: true }),
  );
  const weights = fc.array(weight, { minLength: 1, maxLength: 100 }).filter((list) => list.some((each) => each > 0));
  fc.assert(
    fc.property(weights, (list) => {
      const buckets = allocateBuckets(list);
      expect(buckets.reduce((sum, each) => sum + each, 0)).toBe(10_000);
      const largest = Math.max(...list);
      const total = list.reduce((sum, each) => sum + each / largest, 0);
      for (const [index, each] of list.entries()) {
        const exact = (each / largest / total) * 10_000;
        expect(Math.abs((buckets[index] ?? -1) - exact)).toBeLessThan(1 + 1e-6);
      }
      expect(list.filter((each, index) => each === 0 && buckets[index] !== 0)).toEqual([]);
    }),
    { numRuns: 2_000 },
  );
});
