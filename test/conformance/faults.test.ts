/** What `describeFaults` is worth: stores that break a promise are found out. */
import { expect, test } from "vitest";
import { memoryStore } from "../../adapters/store/memory.ts";
import type { GovernanceStore } from "../../src/governance/store.ts";
import { tryFaults } from "./faults.suite.ts";

const broken: Readonly<Record<string, (store: GovernanceStore) => GovernanceStore>> = {
  "forgets receipts": (store) => ({
    ...store,
    commit: (ref, commit) => store.commit(ref, { ...commit, receipt: null }),
  }),
  "says that it wrote, and did not": (store) => {
    let count = 0;
    return {
      ...store,
      commit: async (ref, commit) => ((count += 1) % 7 === 0 ? { ok: true } : store.commit(ref, commit)),
    };
  },
  "forgets claims": (store) => ({
    ...store,
    commit: (ref, commit) => store.commit(ref, { ...commit, claims: { take: [], release: [] } }),
  }),
};

test.each(Object.entries(broken))("a store that %s is found out", async (_, break_) => {
  const makeStore = async (): Promise<GovernanceStore> => break_(memoryStore());
  await expect(tryFaults(makeStore, "lose", "another process")).rejects.toThrow(/expected/);
});

test("a store that keeps its promises passes", async () => {
  await expect(tryFaults(async () => memoryStore(), "lose", "another process")).resolves.toBeGreaterThan(10);
});
