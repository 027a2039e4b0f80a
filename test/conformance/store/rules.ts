import { describe, expect, test } from "vitest";
import { canonicalJson, sha256Hex } from "../../../src/canonical.ts";
import { limits } from "../../../src/limits.ts";
import { after, creation, denial, freshRef, next, ruleSet, stamp } from "../../support/governance.ts";
import { commitAll, type MakeStore, observe, wholeRules, withExperiment } from "./under-test.ts";

const sorted = <Value extends { readonly digest: string }>(rules: readonly Value[]): readonly Value[] =>
  rules.toSorted((left, right) => (left.digest < right.digest ? -1 : 1));

export const ruleCases = (makeStore: MakeStore): void => {
  describe("rules", () => {
    test("come back by digest, whatever their text says", async () => {
      const { store, ref, base } = await withExperiment(makeStore, { rules: [ruleSet("a")] });
      const text = canonicalJson(
        JSON.parse(`{"__proto__":{"a":1},"quotes":"' \\" ; -- \\u2028 😀","list":[1e21,0.1]}`),
      );
      const hostile = { digest: sha256Hex(text), text };
      await commitAll(store, ref, next(base, { rules: [ruleSet("b"), hostile] }));
      expect(await wholeRules(store, ref)).toEqual(sorted([ruleSet("a"), ruleSet("b"), hostile]));
    });

    test("are written once: the same again is nothing new", async () => {
      const { store, ref, base } = await withExperiment(makeStore, { rules: [ruleSet("a"), ruleSet("a")] });
      const second = next(base, { rules: [ruleSet("a"), ruleSet("b"), ruleSet("a")] });
      const third = denial(after(second), { rules: [ruleSet("b"), ruleSet("a")] });
      await commitAll(store, ref, second, third, third);
      expect(await wholeRules(store, ref)).toEqual(sorted([ruleSet("a"), ruleSet("b")]));
    });

    test("come in pages, each once", async () => {
      const all = Array.from({ length: 25 }, (_, index) => ruleSet(`rule ${index}`));
      const { store, ref } = await withExperiment(makeStore, { rules: all });
      for (const limit of [1, 7, 24, 25, 26]) expect(await wholeRules(store, ref, { limit })).toEqual(sorted(all));
      const page = await store.rules(ref, { limit: 25 });
      expect(page.next).toBeNull();
      expect(await store.rules(ref, { after: "g" })).toEqual({ rules: [], next: null });
    });

    test("are written with their commit or not at all", async () => {
      const { store, ref, base } = await withExperiment(makeStore);
      await commitAll(store, ref, next(base));
      const before = await observe(store, ref);
      expect(await store.commit(ref, next(base, { rules: [ruleSet("a")] }))).toMatchObject({ conflict: "stale" });
      expect(await observe(store, ref)).toEqual(before);
      expect(before.rules).toEqual([]);
    });

    test("belong to one experiment", async () => {
      const { store, ref } = await withExperiment(makeStore, { rules: [ruleSet("a")] });
      const other = { ...ref, experiment: "other" };
      await commitAll(store, other, creation(other, { rules: [ruleSet("b")] }));
      expect(await wholeRules(store, ref)).toEqual([ruleSet("a")]);
      expect(await wholeRules(store, other)).toEqual([ruleSet("b")]);
      expect(await wholeRules(store, freshRef())).toEqual([]);
    });

    test("whose text is not what the digest says, or that are too many or too large, are refused", async () => {
      const { store, ref, base } = await withExperiment(makeStore);
      const [{ digest }, { text }] = [ruleSet("a"), ruleSet("b")];
      await expect(store.commit(ref, next(base, { rules: [{ digest, text }] }))).rejects.toThrow(TypeError);
      const large = canonicalJson("a".repeat(limits.storedTextBytes));
      await expect(
        store.commit(ref, next(base, { rules: [{ digest: sha256Hex(large), text: large }] })),
      ).rejects.toMatchObject({ code: "invalid-request", details: { errors: [{ path: "/rules/0/text" }] } });
      const many = Array.from({ length: limits.commitRules + 1 }, (_, index) => ruleSet(`rule ${index}`));
      await expect(store.commit(ref, next(base, { rules: many }))).rejects.toMatchObject({
        details: { errors: [{ path: "/rules" }] },
      });
      for (const query of [{ limit: 0 }, { limit: limits.heavyPageRows + 1 }, { after: "\uD800" }])
        await expect(store.rules(ref, query)).rejects.toMatchObject({ code: "invalid-request" });
      expect(await wholeRules(store, ref)).toEqual([]);
    });

    test("as large as a row can be come two in one commit", async () => {
      const large = (letter: string) => {
        const text = canonicalJson(letter.repeat(limits.storedTextBytes - 2));
        return { digest: sha256Hex(text), text };
      };
      const { store, ref } = await withExperiment(makeStore, {
        rules: [large("a"), large("b")],
        drafts: [{ type: "Created", data: freshRef(), ...stamp() }],
      });
      expect((await wholeRules(store, ref, { limit: 1 })).map(({ text }) => text.length)).toEqual([
        limits.storedTextBytes,
        limits.storedTextBytes,
      ]);
    });
  });
};
