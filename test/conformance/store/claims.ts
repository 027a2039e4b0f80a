import { describe, expect, test } from "vitest";
import { surfaceClaim } from "../../../src/governance/store.ts";
import { after, creation, denial, freshScope, next } from "../../support/governance.ts";
import { commitAll, type MakeStore, withExperiment } from "./under-test.ts";

export const claimCases = (makeStore: MakeStore): void => {
  /** Two experiments of one scope, neither of which holds anything. */
  const pair = async () => {
    const { store } = await makeStore();
    const scope = freshScope();
    const [a, b] = [
      { ...scope, experiment: "a" },
      { ...scope, experiment: "b" },
    ];
    const [first, second] = [creation(a), creation(b)];
    await commitAll(store, a, first);
    await commitAll(store, b, second);
    return { store, scope, a, b, baseA: after(first), baseB: after(second) };
  };
  const heldByA = { ok: false, conflict: "claimed", claim: "token", holder: "a" };

  describe("claims", () => {
    test("are exclusive, and name who holds them", async () => {
      const { store, a, b, baseA, baseB } = await pair();
      await commitAll(store, a, next(baseA, { take: ["token"] }));
      expect(await store.commit(b, next(baseB, { take: ["other", "token"] }))).toEqual(heldByA);
      expect(await store.commit(b, next(baseB, { take: ["token"] }))).toEqual(heldByA);
    });

    test("are exclusive for an experiment that is created with one", async () => {
      const { store, a, scope, baseA } = await pair();
      await commitAll(store, a, next(baseA, { take: ["token"] }));
      const c = { ...scope, experiment: "c" };
      expect(await store.commit(c, creation(c, { take: ["token"] }))).toEqual(heldByA);
      expect(await store.load(c)).toBeNull();
    });

    test("of several that are held, the first asked for is named", async () => {
      const { store, a, b, baseA, baseB } = await pair();
      await commitAll(store, a, next(baseA, { take: ["y", "x", "token"] }));
      expect(await store.commit(b, next(baseB, { take: ["free", "token", "x", "y"] }))).toEqual(heldByA);
    });

    test("may be taken again by their holder, also twice in one commit", async () => {
      const { store, a, b, baseA, baseB } = await pair();
      const first = next(baseA, { take: ["token", "token"] });
      const second = next(after(first), { take: ["token"] });
      await commitAll(store, a, first, second);
      expect(await store.commit(b, next(baseB, { take: ["token"] }))).toEqual(heldByA);
    });

    test("are free once released, and can be taken again", async () => {
      const { store, a, b, baseA, baseB } = await pair();
      const taking = next(baseA, { take: ["token"] });
      const releasing = next(after(taking), { release: ["token", "never held"] });
      await commitAll(store, a, taking, releasing);
      await commitAll(store, b, next(baseB, { take: ["token"] }));
      expect(await store.commit(a, next(after(releasing), { take: ["token"] }))).toEqual({ ...heldByA, holder: "b" });
    });

    test("are released by their holder alone", async () => {
      const { store, a, b, baseA, baseB } = await pair();
      await commitAll(store, a, next(baseA, { take: ["token"] }));
      const attempt = next(baseB, { release: ["token"] });
      await commitAll(store, b, attempt);
      expect(await store.commit(b, next(after(attempt), { take: ["token"] }))).toEqual(heldByA);
    });

    test("that are released and taken in one commit stay held", async () => {
      const { store, a, b, baseA, baseB } = await pair();
      const taking = next(baseA, { take: ["token", "left"] });
      await commitAll(store, a, taking, next(after(taking), { release: ["token", "left"], take: ["token"] }));
      expect(await store.commit(b, next(baseB, { take: ["token"] }))).toEqual(heldByA);
      await commitAll(store, b, next(baseB, { take: ["left"] }));
    });

    test("go to exactly one of two experiments that take them at one moment", async () => {
      const { store, a, b, baseA, baseB } = await pair();
      const results = await Promise.all([
        store.commit(a, next(baseA, { take: ["token"] })),
        store.commit(b, next(baseB, { take: ["token"] })),
      ]);
      expect(results.filter((result) => result.ok)).toHaveLength(1);
      const [winner, loser] = results[0].ok ? ["a", results[1]] : ["b", results[0]];
      expect(loser).toEqual({ ...heldByA, holder: winner });
    });

    test("come with a denial too", async () => {
      const { store, a, b, baseA, baseB } = await pair();
      await commitAll(store, a, denial(baseA, { take: ["token"] }));
      expect(await store.commit(b, denial(baseB, { take: ["token"] }))).toEqual(heldByA);
    });

    test("of one scope say nothing in another", async () => {
      const { store, ref } = await withExperiment(makeStore, { take: ["token", surfaceClaim("home")] });
      for (const scope of [
        { tenant: ref.tenant, environment: "production" },
        { tenant: `${ref.tenant}-2`, environment: ref.environment },
      ]) {
        const other = { ...scope, experiment: "other" };
        await commitAll(store, other, creation(other, { take: ["token", surfaceClaim("home")] }));
        expect((await store.list(scope, { surface: "home" })).items.map((item) => item.ref)).toEqual([other]);
      }
      expect((await store.list(ref, { surface: "home" })).items.map((item) => item.ref)).toEqual([ref]);
    });

    test.each(["a' OR 1=1 --", "__proto__", "constructor", 'conflict:["a","b"]', "%", "surface:", "\uFFFF\u{1F600}"])(
      "may have any name: %s",
      async (token) => {
        const { store, a, b, baseA, baseB } = await pair();
        await commitAll(store, a, next(baseA, { take: [token] }));
        expect(await store.commit(b, next(baseB, { take: [token] }))).toEqual({ ...heldByA, claim: token });
        await commitAll(store, b, next(baseB, { take: [`${token} `] }));
      },
    );
  });
};
