import { describe, expect, test } from "vitest";
import { after, denied, next, ruleSet, transitioned } from "../../support/governance.ts";
import {
  type Attack,
  commitAll,
  expectValid,
  type MakeStore,
  observe,
  wholeHistory,
  withExperiment,
} from "./under-test.ts";

const attacks = {
  gap: "an event that leaves a gap",
  unlinked: "an event that does not link to the head",
  insertOrReplace: "INSERT OR REPLACE",
  insertOrIgnore: "INSERT OR IGNORE",
  upsert: "an upsert",
  update: "an UPDATE",
  delete: "a DELETE",
  rules: "a change of the rules",
} as const satisfies Record<Exclude<Attack, "checkpoint">, string>;

const isAttack = (name: string): name is keyof typeof attacks => Object.hasOwn(attacks, name);

export const attackCases = (makeStore: MakeStore): void => {
  describe("history past the port", () => {
    test.each(Object.entries(attacks))("%s: stays as it is under %s", async (name) => {
      const { store, ref, base, attacks: tried } = await withExperiment(makeStore);
      const second = next(base, { drafts: [transitioned(), denied()], rules: [ruleSet("a"), ruleSet("b")] });
      await commitAll(store, ref, second);
      const before = await observe(store, ref);
      expect(isAttack(name)).toBe(true);
      if (isAttack(name)) await tried[name](ref, await wholeHistory(store, ref));
      const now = await observe(store, ref);
      expect(now).toEqual(before);
      expectValid(now.history);
      // Nothing is in the way of whoever comes next.
      await commitAll(store, ref, next(after(second)));
    });
  });
};
