/** Divisors that are next to nothing: null with a reason, never NaN or Infinity. */
import { expect, test } from "vitest";
import { ratioMoments, ratioOfMeans, relativeDifference } from "../../src/science/ratio-metrics.ts";

test("a relative difference to next to nothing is no number", () => {
  for (const mean of [1, -1, 1e-10, -1.3e-169])
    expect(relativeDifference({ mean, variance: 1 }, { mean: 5e-324, variance: 1 })).toEqual({
      value: null,
      interval: null,
      reason: "control is too near to 0",
    });
});

test("nor is a ratio", () => {
  expect(ratioOfMeans(ratioMoments([1, 2], [5e-324, 5e-324]))).toEqual({
    value: null,
    variance: null,
    reason: "the denominator is too near to 0",
  });
});
