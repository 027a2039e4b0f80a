import { describe, expect, test } from "vitest";
import { limits } from "../../../src/limits.ts";
import { createVerifier } from "../../../src/governance/chain.ts";
import type { Head } from "../../../src/governance/store.ts";
import {
  after,
  author,
  checkpointAt,
  creation,
  denied,
  freshRef,
  later,
  next,
  receipt,
  ruleSet,
  transitioned,
  versionWritten,
} from "../../support/governance.ts";
import { commitAll, type MakeStore, observe, wholeHistory, withExperiment } from "./under-test.ts";

export const retentionCases = (makeStore: MakeStore): void => {
  /** An experiment of six events, of which two are versions. */
  const aged = async () => {
    const made = await withExperiment(makeStore, { rules: [ruleSet("a")], receipt: receipt("key") });
    const second = next(made.base, { drafts: [transitioned(), denied(), versionWritten(2), transitioned()] });
    await commitAll(made.store, made.ref, second);
    const history = await wholeHistory(made.store, made.ref);
    const headAt = (seq: number): Head => {
      const event = history[seq - 1];
      if (event === undefined) throw new TypeError(`no event ${seq}`);
      return { seq, hash: event.hash };
    };
    return { ...made, base: after(second), history, headAt };
  };

  describe("retention", () => {
    test("removes what is before a checkpoint, and nothing else", async () => {
      const { store, ref, history, headAt } = await aged();
      const before = await observe(store, ref, { receipt: "key", actor: author.value });
      expect(before.checkpoint).toBeNull();
      expect(await store.archive(ref, checkpointAt(headAt(4)))).toBe(true);
      expect(await observe(store, ref, { receipt: "key", actor: author.value })).toEqual({
        ...before,
        history: history.slice(3),
        checkpoint: checkpointAt(headAt(4)),
      });
    });

    test("leaves a history that goes on and verifies from there", async () => {
      const { store, ref, base, history, headAt } = await aged();
      await store.archive(ref, checkpointAt(headAt(4)));
      const third = next(base, { drafts: [denied(), transitioned()], receipt: receipt("another") });
      await commitAll(store, ref, third, third);
      const rest = await wholeHistory(store, ref);
      expect(rest).toEqual([...history.slice(3), ...third.events]);
      const verifier = createVerifier(headAt(4));
      verifier.add(rest.slice(1));
      expect(verifier.result()).toMatchObject({ valid: true, length: 8 });
      expect(await store.commit(ref, next({ ...base, head: headAt(4) }))).toMatchObject({ conflict: "stale" });
      expect(await store.commit(ref, creation(ref))).toMatchObject({ conflict: "exists" });
    });

    test("is told of in pages, by type and by version as well", async () => {
      const { store, ref, history, headAt } = await aged();
      await store.archive(ref, checkpointAt(headAt(4)));
      expect((await store.history(ref, { limit: 2 })).events).toEqual(history.slice(3, 5));
      expect((await store.history(ref, { after: 2, limit: 1 })).events).toEqual(history.slice(3, 4));
      expect((await store.history(ref, { after: 4 })).events).toEqual(history.slice(4));
      expect((await store.history(ref, { after: 6 })).events).toEqual([]);
      expect((await store.history(ref, { types: ["Transitioned"] })).events).toEqual(history.slice(5));
      expect((await store.history(ref, { version: 1 })).events).toEqual([]);
      expect((await store.history(ref, { version: 2 })).events).toEqual(history.slice(4, 5));
    });

    test("goes forward: at the head, again, and never back", async () => {
      const { store, ref, history, headAt } = await aged();
      expect(await store.archive(ref, checkpointAt(headAt(2)))).toBe(true);
      expect(await store.archive(ref, checkpointAt(headAt(2)))).toBe(true);
      expect(await store.archive(ref, checkpointAt(headAt(6)))).toBe(true);
      const at6 = await observe(store, ref);
      expect(at6.history).toEqual(history.slice(5));
      expect(await store.archive(ref, checkpointAt(headAt(5)))).toBe(false);
      expect(await store.archive(ref, checkpointAt(headAt(6), "Q".repeat(86)))).toBe(true);
      // The signature that was there first stays.
      expect(await observe(store, ref)).toEqual(at6);
      expect(at6.checkpoint).toEqual(checkpointAt(headAt(6)));
    });

    test("is refused at what is no event of this history", async () => {
      const { store, ref, headAt } = await aged();
      const before = await observe(store, ref);
      const other = await withExperiment(makeStore);
      for (const head of [
        { ...headAt(4), seq: 3 },
        { seq: 4, hash: "f".repeat(64) },
        { seq: 7, hash: headAt(6).hash },
        { seq: 4, hash: other.base.head.hash },
      ])
        expect(await store.archive(ref, checkpointAt(head))).toBe(false);
      expect(await store.archive(freshRef(), checkpointAt(headAt(4)))).toBe(false);
      expect(await observe(store, ref)).toEqual(before);
    });

    test("is refused without a signature, or with what cannot be kept", async () => {
      const { store, ref, headAt } = await aged();
      const before = await observe(store, ref);
      const good = checkpointAt(headAt(4));
      for (const [change, path] of [
        [{ signature: { keyId: "", value: good.signature.value } }, "/signature/keyId"],
        [
          { signature: { keyId: "k".repeat(limits.keyIdCharacters + 1), value: good.signature.value } },
          "/signature/keyId",
        ],
        [{ signature: { keyId: "key", value: "" } }, "/signature/value"],
        [{ signature: { keyId: "key", value: "'".repeat(86) } }, "/signature/value"],
        [{ signature: { keyId: "key", value: "B".repeat(86) } }, "/signature/value"],
        [{ seq: 0 }, "/seq"],
        [{ text: "\uD800" }, "/text"],
        [{ text: "a".repeat(limits.storedTextBytes * 2) }, "/text"],
      ] as const)
        await expect(store.archive(ref, { ...good, ...change })).rejects.toMatchObject({
          code: "invalid-request",
          details: { errors: [{ path }] },
        });
      expect(await observe(store, ref)).toEqual(before);
    });

    test("of one experiment leaves every other alone", async () => {
      const { store, ref, headAt } = await aged();
      const twin = { ...ref, experiment: "twin" };
      await commitAll(store, twin, creation(twin));
      const before = await observe(store, twin);
      await store.archive(ref, checkpointAt(headAt(6)));
      expect(await observe(store, twin)).toEqual(before);
    });

    test("past the port: nothing behind a checkpoint goes, and no checkpoint changes", async () => {
      const { store, ref, headAt, attacks } = await aged();
      await store.archive(ref, checkpointAt(headAt(3)));
      const before = await observe(store, ref);
      await attacks.checkpoint(ref, before.history);
      expect(await observe(store, ref)).toEqual(before);
    });

    test("sweeps receipts that have expired, and no others", async () => {
      const { store, ref, base } = await withExperiment(makeStore, { receipt: receipt("old", later(10)) });
      await commitAll(store, ref, next(base, { receipt: receipt("new", later(20)) }));
      const twin = { ...ref, experiment: "twin" };
      await commitAll(store, twin, creation(twin, { receipt: receipt("old", later(10)) }));
      await store.sweep(ref, later(10));
      const kept = async (where: typeof ref, key: string) => (await store.load(where, { receipt: key }))?.receipt?.key;
      expect([await kept(ref, "old"), await kept(ref, "new"), await kept(twin, "old")]).toEqual([
        undefined,
        "new",
        "old",
      ]);
      await store.sweep(freshRef(), later(10));
      await expect(store.sweep(ref, "yesterday")).rejects.toMatchObject({ code: "invalid-request" });
    });
  });
};
