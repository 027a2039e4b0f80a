import { expect, test } from "vitest";
import { createMemory } from "../../src/governance/memory.ts";
import type { Loaded } from "../../src/governance/store.ts";
import { scenario, startOfTime } from "../support/scenario.ts";

const at = new Date(startOfTime).toISOString();
const state = scenario().writes().state();

const loadedAt = (seq: number): Loaded => ({
  snapshot: { state, revision: seq, revisionHash: "" },
  head: { seq, hash: "", at },
  receipt: null,
  actor: null,
  people: new Map([
    ["author", "author@example.com"],
    ["text", "approver@example.com"],
  ]),
});

test("a reading that ends late does not take back what has been committed since", () => {
  const memory = createMemory();
  memory.set("a", loadedAt(3));
  memory.set("a", loadedAt(2));
  expect(memory.get("a")?.head.seq).toBe(3);
  memory.delete("a");
  memory.set("a", loadedAt(2));
  expect(memory.get("a")?.head.seq).toBe(2);
});

test("recalls for an actor whose reference is known, and for nobody else", () => {
  const memory = createMemory();
  memory.set("a", loadedAt(1));
  expect(memory.recall("a", "author@example.com")).toMatchObject({ actor: "author" });
  expect([memory.recall("a", "somebody"), memory.recall("b", "author@example.com")]).toEqual([null, null]);
});

test("a text that reads like somebody's id is not that person", () => {
  const memory = createMemory();
  memory.set("a", loadedAt(1));
  expect(memory.recall("a", "approver@example.com")).toBeNull();
});

test("remembers a bounded number, the latest ones", () => {
  const memory = createMemory();
  for (let index = 0; index < 100; index += 1) memory.set(String(index), loadedAt(1));
  expect([memory.get("0"), memory.get("99")?.head.seq]).toEqual([undefined, 1]);
});
