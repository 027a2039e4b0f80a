/** docs/scale.md says what bench/scale.ts computes, and the shard arithmetic holds for the hash that is used. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { backlogAfterOutage, fullestShard, loads, needOf, ordinary, rowOf } from "../../bench/scale.ts";
import { limits } from "../../src/limits.ts";

const text = readFileSync("docs/scale.md", "utf8");

test("the table is the one that the script prints", () => {
  for (const load of loads) expect(text).toContain(rowOf(load));
});

test("so is what an outage costs", () => {
  for (const shards of [1, 2, 4]) {
    const { longestWait, caughtUp } = backlogAfterOutage({ ...ordinary, exposuresPerDay: 1e8 }, shards, 3_600);
    expect(text).toContain(
      `${shards} shards: a message waits ${Math.round(longestWait)} s at most, empty again after ${caughtUp} s`,
    );
  }
});

test("the hash fills shards as evenly as chance does: the fullest is within five standard deviations", () => {
  for (const shards of [2, 4, 16, 64]) {
    const average = 200_000 / shards;
    expect(fullestShard(200_000, shards)).toBeLessThan(1 + 5 / Math.sqrt(average));
    expect(fullestShard(200_000, shards)).toBeGreaterThan(1);
  }
});

test("more of everything never takes less", () => {
  let before = needOf({ ...ordinary, exposuresPerDay: 1e3 });
  for (const exposuresPerDay of [1e4, 1e6, 1e8, 1e10]) {
    const need = needOf({ ...ordinary, exposuresPerDay });
    expect(need.shards).toBeGreaterThanOrEqual(before.shards);
    expect(need.dollarsPerMonth).toBeGreaterThan(before.dollarsPerMonth);
    before = need;
  }
  // What the text says of the last two rows.
  const [, , , second, sampled] = loads.map(([, load]) => needOf(load));
  expect(second?.shards).toBeGreaterThan(limits.ledgerShards);
  expect(sampled?.shards).toBeLessThanOrEqual(limits.ledgerShards);
});

test("too few shards never catch up", () => {
  expect(backlogAfterOutage({ ...ordinary, exposuresPerDay: 1e9 }, 1, 60).caughtUp).toBe(Infinity);
});
