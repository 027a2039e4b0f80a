import { describe, expect, test } from "vitest";
import { limits } from "../../../src/limits.ts";
import { freshRef } from "../../support/governance.ts";
import { type MakeStore, observe, withExperiment } from "./under-test.ts";

/** Names of subscribers are keys beside others: nothing in them may have a meaning. */
const hostile = [
  ":", "/", "%", "'", "a:b", "'; DROP TABLE positions; --", "__proto__", "constructor", "toString", "0", " ", "A", "a", "é", "e\u0301",
  "\u{1F600}", "{a}", '["a"]', "\n", "seq", "head", "a".repeat(limits.nameCharacters),
]; // prettier-ignore

export const positionCases = (makeStore: MakeStore): void => {
  describe("positions", () => {
    test("say how far each subscriber has been served", async () => {
      const { store, ref } = await withExperiment(makeStore);
      expect(await store.positions(ref)).toEqual(new Map());
      await store.advance(ref, "webhook", 1);
      await store.advance(ref, "rules", 2);
      await store.advance(ref, "webhook", 2);
      expect(await store.positions(ref)).toEqual(
        new Map([
          ["webhook", 2],
          ["rules", 2],
        ]),
      );
    });

    test("never go back, whoever comes late", async () => {
      const { store, ref } = await withExperiment(makeStore);
      for (const seq of [3, 1, 2, 3]) await store.advance(ref, "webhook", seq);
      await Promise.all([7, 12, 5, 9].map((seq) => store.advance(ref, "webhook", seq)));
      expect(await store.positions(ref)).toEqual(new Map([["webhook", 12]]));
      // As numbers, not as text.
      await store.advance(ref, "webhook", 9);
      expect(await store.positions(ref)).toEqual(new Map([["webhook", 12]]));
    });

    test("of subscribers with any name never meet", async () => {
      const { store, ref } = await withExperiment(makeStore);
      for (const [index, name] of hostile.entries()) await store.advance(ref, name, index + 1);
      expect(await store.positions(ref)).toEqual(new Map(hostile.map((name, index) => [name, index + 1])));
    });

    test("belong to one experiment, and are no part of it", async () => {
      const { store, ref } = await withExperiment(makeStore);
      const before = await observe(store, ref);
      await store.advance(ref, "webhook", Number.MAX_SAFE_INTEGER);
      expect(await observe(store, ref)).toEqual(before);
      expect(await store.positions({ ...ref, experiment: "other" })).toEqual(new Map());
      expect(await store.positions(freshRef())).toEqual(new Map());
    });

    test("that no store can keep are refused", async () => {
      const { store, ref } = await withExperiment(makeStore);
      for (const name of ["", "\u0000", "\uD800", "x".repeat(limits.nameCharacters + 1)])
        await expect(store.advance(ref, name, 1)).rejects.toMatchObject({
          code: "invalid-request",
          details: { errors: [{ path: "/subscriber" }] },
        });
      for (const seq of [0, -1, 1.5, Number.NaN, Number.MAX_SAFE_INTEGER + 1])
        await expect(store.advance(ref, "webhook", seq)).rejects.toMatchObject({
          code: "invalid-request",
          details: { errors: [{ path: "/seq" }] },
        });
      await expect(store.positions({ ...ref, tenant: "" })).rejects.toMatchObject({ code: "invalid-request" });
      expect(await store.positions(ref)).toEqual(new Map());
    });
  });
};
