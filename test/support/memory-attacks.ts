/** What comes closest to going past the port of a store that has no language to do so. */
import { expect } from "vitest";
import type { EventRecord } from "../../src/governance/events.ts";
import type { Commit, GovernanceStore } from "../../src/governance/store.ts";
import type { StoreUnderTest } from "../conformance/store.suite.ts";
import { denial, denied, next, versionWritten } from "./governance.ts";

const headOf = (history: readonly EventRecord[], back = 0): { readonly seq: number; readonly hash: string } => {
  const event = history.at(-1 - back);
  if (event === undefined) throw new TypeError("the history is too short to attack");
  return { seq: event.seq, hash: event.hash };
};

/**
 * There is no language to go past this store's port with. What comes closest: commits made up by hand, and changing
 * the very objects that went in and came out.
 */
export const memoryAttacks = (store: GovernanceStore): StoreUnderTest["attacks"] => {
  const refused = async (ref: Parameters<typeof store.commit>[0], commit: Commit): Promise<void> => {
    expect(await store.commit(ref, commit)).toMatchObject({ ok: false });
  };
  return {
    async gap(ref, history) {
      const { seq, hash } = headOf(history);
      await refused(ref, denial({ head: { seq: seq + 1, hash } }));
    },
    async unlinked(ref, history) {
      await refused(ref, denial({ head: { seq: headOf(history).seq, hash: "f".repeat(64) } }));
    },
    async insertOrReplace(ref, history) {
      await refused(ref, denial({ head: headOf(history, 1) }));
    },
    async insertOrIgnore(ref, history) {
      await refused(ref, denial({ head: headOf(history, 2) }, { drafts: [denied(), versionWritten(9)] }));
    },
    async upsert(ref) {
      const loaded = await store.load(ref);
      if (loaded === null) throw new TypeError("nothing to attack");
      await refused(ref, { ...next({ ...loaded, head: { seq: 0, hash: "0".repeat(64) } }), expect: "new" });
    },
    async update(ref) {
      const page = await store.history(ref);
      for (const event of page.events) {
        Reflect.set(event.data, "version", 99);
        Reflect.set(event, "hash", "f".repeat(64));
      }
    },
    async delete(ref) {
      const page = await store.history(ref);
      Reflect.set(page.events, "length", 0);
      await store.load(ref).then((loaded) => Reflect.set(loaded?.head ?? {}, "seq", 0));
    },
    async checkpoint(ref) {
      const found = await store.checkpoint(ref);
      Reflect.set(found ?? {}, "seq", 99);
      Reflect.set(found?.signature ?? {}, "keyId", "thief");
    },
    async rules(ref, history) {
      const { rules } = await store.rules(ref);
      for (const rule of rules) Reflect.set(rule, "text", "{}");
      const forged = rules.map(({ digest }) => ({ digest, text: "[]" }));
      await expect(store.commit(ref, denial({ head: headOf(history) }, { rules: forged }))).rejects.toThrow(TypeError);
    },
  };
};
