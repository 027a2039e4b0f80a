import { readFileSync } from "node:fs";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { compileRule } from "../../src/evaluation/assign.ts";
import {
  bucket,
  bucketOf,
  bucketPurposes,
  bucketSeed,
  hashVersion,
  type BucketPurpose,
} from "../../src/evaluation/bucket.ts";
import { murmur3 } from "../../src/evaluation/murmur3.ts";
import { bucketCount } from "../../src/evaluation/rule-set.ts";
import { rule } from "./fixtures.ts";

const GoldenSchema = v.strictObject({
  specVersion: v.literal(1),
  hashVersion: v.literal(1),
  bucketCount: v.literal(10_000),
  description: v.string(),
  buckets: v.array(
    v.strictObject({
      salt: v.string(),
      purpose: v.picklist(bucketPurposes),
      subjectId: v.string(),
      hash: v.number(),
      bucket: v.number(),
    }),
  ),
  assignments: v.array(
    v.strictObject({
      salt: v.string(),
      buckets: v.array(v.number()),
      trafficBuckets: v.number(),
      subjectId: v.string(),
      variant: v.nullable(v.number()),
    }),
  ),
});
const file = new URL("../conformance/vectors/bucketing.json", import.meta.url);
const golden = v.parse(GoldenSchema, JSON.parse(readFileSync(file, "utf8")));

describe("golden vectors", () => {
  test("are of this algorithm and enough to freeze it", () => {
    expect(golden.hashVersion).toBe(hashVersion);
    expect(golden.bucketCount).toBe(bucketCount);
    expect(golden.buckets.length).toBeGreaterThan(300);
    expect(golden.assignments.length).toBeGreaterThan(200);
  });

  test("give every subject its hash and bucket", () => {
    const computed = golden.buckets.map(({ salt, purpose, subjectId }) => ({
      salt,
      purpose,
      subjectId,
      hash: murmur3(subjectId, bucketSeed(salt, purpose)),
      bucket: bucket(salt, purpose, subjectId),
    }));
    expect(computed).toEqual(golden.buckets);
  });

  test("give every subject its arm", () => {
    const computed = golden.assignments.map(({ salt, buckets, trafficBuckets, subjectId }) => {
      const variants = buckets.map((count, index) => ({ key: `${index}`, buckets: count, control: index === 0 }));
      const { variant, exposed } = compileRule(rule({ salt, trafficBuckets, variants }))(subjectId);
      return { salt, buckets, trafficBuckets, subjectId, variant: exposed ? Number(variant) : null };
    });
    expect(computed).toEqual(golden.assignments);
  });
});

/** Pearson's statistic of counts against equal shares. */
const chiSquare = (counts: readonly number[]): number => {
  const expected = counts.reduce((sum, count) => sum + count, 0) / counts.length;
  return counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
};

/** The 0.9999 quantile of chi-square, by Wilson and Hilferty: good to a few thousandths from 99 degrees up. */
const bound = (degreesOfFreedom: number): number => {
  const part = 2 / (9 * degreesOfFreedom);
  return degreesOfFreedom * (1 - part + 3.719 * Math.sqrt(part)) ** 3;
};

const subjects = 100_000;
/** Ids as they are in life: in sequence, which a weak hash does not spread. Fixed, so the tests cannot flicker. */
const sequential = (index: number): string => `user-${index}`;
const uuidLike = (index: number): string =>
  `550e8400-e29b-41d4-a716-${(446_655_440_000 + index).toString().padStart(12, "0")}`;
const nonAscii = (index: number): string => `пользователь-${index}`;

const idsOf = (idOf: (index: number) => string): readonly string[] =>
  Array.from({ length: subjects }, (_, index) => idOf(index));

const countInto = (cells: number, cellOf: (id: string) => number, ids: readonly string[]): number[] => {
  const counts = Array.from({ length: cells }, () => 0);
  for (const id of ids) {
    const cell = cellOf(id);
    counts[cell] = (counts[cell] ?? 0) + 1;
  }
  return counts;
};

describe.each([
  ["sequential ids", idsOf(sequential)],
  ["ids like UUIDs", idsOf(uuidLike)],
  ["ids that are not ASCII", idsOf(nonAscii)],
])("%s", (_, ids) => {
  test.each(bucketPurposes)("fall evenly into the buckets of %s", (purpose) => {
    const seed = bucketSeed("uniformity", purpose);
    expect(chiSquare(countInto(bucketCount, (id) => bucketOf(seed, id), ids))).toBeLessThan(bound(bucketCount - 1));
    // Coarser too, where a slope over the whole range would show.
    expect(chiSquare(countInto(100, (id) => Math.floor(bucketOf(seed, id) / 100), ids))).toBeLessThan(bound(99));
  });

  const salts = ["checkout", "checkout2", "search", "a", "b"];
  const pairs = salts.flatMap((left, index) => salts.slice(index + 1).map((right): [string, string] => [left, right]));
  test.each(pairs)("fall independently for the salts %s and %s", (left, right) => {
    const a = bucketSeed(left, "variant");
    const b = bucketSeed(right, "variant");
    const cell = (id: string): number => Math.floor(bucketOf(a, id) / 1_000) * 10 + Math.floor(bucketOf(b, id) / 1_000);
    expect(chiSquare(countInto(100, cell, ids))).toBeLessThan(bound(99));
  });

  const purposePairs = bucketPurposes.flatMap((left, index) =>
    bucketPurposes.slice(index + 1).map((right): [BucketPurpose, BucketPurpose] => [left, right]),
  );
  test.each(purposePairs)("fall independently for the purposes %s and %s of one salt", (left, right) => {
    const a = bucketSeed("checkout", left);
    const b = bucketSeed("checkout", right);
    const cell = (id: string): number => Math.floor(bucketOf(a, id) / 1_000) * 10 + Math.floor(bucketOf(b, id) / 1_000);
    expect(chiSquare(countInto(100, cell, ids))).toBeLessThan(bound(99));
  });
});

test("the bound would catch one purpose for two decisions, and a low-byte hash", () => {
  const seed = bucketSeed("checkout", "traffic");
  const cell = (id: string): number => Math.floor(bucketOf(seed, id) / 1_000) * 11;
  expect(chiSquare(countInto(100, cell, idsOf(sequential)))).toBeGreaterThan(bound(99));
  expect(chiSquare(countInto(100, (id) => id.charCodeAt(id.length - 1) % 100, idsOf(sequential)))).toBeGreaterThan(
    bound(99),
  );
});
