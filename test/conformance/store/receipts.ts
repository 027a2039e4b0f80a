import { describe, expect, test } from "vitest";
import { byCodePoint } from "../../../src/code-points.ts";
import type { Receipt, ReceiptsPage } from "../../../src/governance/store.ts";
import { limits } from "../../../src/limits.ts";
import {
  after,
  at,
  type Base,
  creation,
  denial,
  denied,
  freshRef,
  later,
  next,
  receipt,
  transitioned,
} from "../../support/governance.ts";
import { commitAll, type MakeStore, observe, withExperiment } from "./under-test.ts";

export const receiptCases = (makeStore: MakeStore): void => {
  const inUse = { ok: false, conflict: "receipt" };

  describe("receipts", () => {
    test("come back as they were stored, for a create, a change and a denial", async () => {
      const { store } = await makeStore();
      const ref = freshRef();
      const answers = ['{"ok":true}', "", '{"text":"a \\"quoted\\" \u{1F600} answer \u2028"}'].map((answer, index) =>
        receipt(`key ${index}`, later(60), answer),
      );
      const created = creation(ref, { receipt: answers[0] ?? null });
      const changed = next(after(created), { receipt: answers[1] ?? null });
      await commitAll(store, ref, created, changed, denial(after(changed), { receipt: answers[2] ?? null }));
      for (const stored of answers) {
        expect((await store.load(ref, { receipt: stored.key, now: later(59) }))?.receipt).toEqual(stored);
      }
      expect((await store.load(ref, { receipt: "key 3", now: at }))?.receipt).toBeNull();
      expect((await store.load(ref))?.receipt).toBeNull();
    });

    test("refuse a second use of their key, whatever it asks for", async () => {
      const { store, ref, base } = await withExperiment(makeStore);
      const first = next(base, { receipt: receipt("key") });
      await commitAll(store, ref, first);
      const before = await observe(store, ref, { receipt: "key" });
      const again = { ...receipt("key"), fingerprint: "other", answer: "other" };
      expect(await store.commit(ref, next(after(first), { receipt: again }))).toEqual(inUse);
      expect(await store.commit(ref, denial(after(first), { receipt: again }))).toEqual(inUse);
      expect(await observe(store, ref, { receipt: "key" })).toEqual(before);
    });

    test("tell the loser of a race with its own twin that the answer is there", async () => {
      const { store } = await makeStore();
      const ref = freshRef();
      const creations = [creation(ref, { receipt: receipt("key") }), creation(ref, { receipt: receipt("key") })];
      const results = await Promise.all(creations.map((commit) => store.commit(ref, commit)));
      expect(results.toSorted((left, right) => Number(left.ok) - Number(right.ok))).toEqual([inUse, { ok: true }]);
      const base = after(creations[results[0]?.ok === true ? 0 : 1] ?? creation(ref));
      await commitAll(store, ref, next(base, { receipt: receipt("change") }));
      expect(await store.commit(ref, next(base, { receipt: receipt("change") }))).toEqual(inUse);
      expect(await store.commit(ref, next(base, { receipt: receipt("unused") }))).toEqual({
        ok: false,
        conflict: "stale",
      });
    });

    test("belong to one experiment", async () => {
      const { store, ref } = await withExperiment(makeStore, { receipt: receipt("key") });
      const other = { ...ref, experiment: "other" };
      const created = creation(other);
      await commitAll(store, other, created);
      expect((await store.load(other, { receipt: "key", now: at }))?.receipt).toBeNull();
      const mine = { ...receipt("key"), answer: "mine" };
      await commitAll(store, other, next(after(created), { receipt: mine }));
      expect((await store.load(other, { receipt: "key", now: at }))?.receipt).toEqual(mine);
      expect((await store.load(ref, { receipt: "key", now: at }))?.receipt).toEqual(receipt("key"));
    });

    test("are gone at the moment they expire", async () => {
      const { store, ref } = await withExperiment(makeStore, { receipt: receipt("key", later(60)) });
      const found = async (now: string) => (await store.load(ref, { receipt: "key", now }))?.receipt ?? null;
      expect(await found("2026-11-02T09:59:59.999Z")).not.toBeNull();
      expect(await found("2026-11-02T10:59:59.999+01:00")).not.toBeNull();
      expect(await found(later(60))).toBeNull();
      expect(await found("2026-11-02T10:00:00Z")).toBeNull();
      expect(await found("2026-11-03T00:00:00Z")).toBeNull();
    });

    test("come in pages by key, without those that have ended", async () => {
      const { store, ref, base } = await withExperiment(makeStore);
      const other = { ...ref, experiment: "other" };
      expect(await store.receipts(ref)).toEqual({ receipts: [], next: null });
      const keys = ["b", "a", "\u{1F600}", "\uFFFD", "'", "B", "10", "9"];
      let last: Base = base;
      for (const [index, key] of keys.entries()) {
        const commit = next(last, { receipt: receipt(key, later(60 + index), `answer ${key}`) });
        await commitAll(store, ref, commit);
        last = after(commit);
      }
      await commitAll(store, other, creation(other, { receipt: receipt("elsewhere") }));
      const stored = keys
        .map((key, index) => receipt(key, later(60 + index), `answer ${key}`))
        .toSorted((left, right) => byCodePoint(left.key, right.key));
      expect(await store.receipts(ref)).toEqual({ receipts: stored, next: null });
      expect((await store.receipts(ref, { now: later(62) })).receipts).toEqual(
        stored.filter(({ expiresAt }) => expiresAt > later(62)),
      );
      for (const now of [undefined, later(63)]) {
        const found: Receipt[] = [];
        for (let from: string | null = ""; from !== null;) {
          const page: ReceiptsPage = await store.receipts(ref, {
            after: from,
            limit: 3,
            ...(now === undefined ? {} : { now }),
          });
          expect(page.receipts.length).toBeLessThanOrEqual(3);
          found.push(...page.receipts);
          from = page.next;
        }
        expect(found).toEqual(stored.filter(({ expiresAt }) => now === undefined || expiresAt > now));
      }
      expect(await store.receipts(freshRef())).toEqual({ receipts: [], next: null });
      for (const query of [{ limit: 0 }, { limit: 101 }, { now: "yesterday" }, { after: "\u0000" }])
        await expect(store.receipts(ref, query)).rejects.toMatchObject({ code: "invalid-request" });
    });

    test("of another store are kept: of two under one key the one that ends later, whoever comes first", async () => {
      const { store, ref, base } = await withExperiment(makeStore, { receipt: receipt("own", later(60), "own") });
      const before = await observe(store, ref);
      const brought = ["one", "two", "\u{1F600} 'three'"].map((key) => receipt(key, later(90), `answer of ${key}`));
      const [early, late] = [receipt("own", later(59), "early"), receipt("two", later(95), "late")];
      await store.keepReceipts(ref, []);
      await store.keepReceipts(ref, [...brought, early]);
      await store.keepReceipts(ref, [...brought, late, receipt("two", later(94), "between")]);
      await store.keepReceipts(ref, brought);
      const wanted = [receipt("own", later(60), "own"), brought[0], late, brought[2]];
      for (const one of wanted)
        expect((await store.load(ref, { receipt: one?.key ?? "", now: at }))?.receipt).toEqual(one);
      expect(await observe(store, ref)).toEqual(before);
      // A key that was brought is in use, and free once it has expired, like any other.
      expect(await store.commit(ref, next(base, { receipt: receipt("one") }))).toEqual(inUse);
      const after90 = next(base, { drafts: [transitioned(undefined, later(90))], receipt: receipt("one", later(120)) });
      await commitAll(store, ref, after90);
      expect((await store.receipts(ref)).receipts.map(({ key }) => key).toSorted()).toEqual(["one", "two"]);
      await store.erase(ref, []);
      expect((await store.receipts(ref)).receipts).toEqual([]);
    });

    test("of another store are not kept for an experiment that is unknown, and not where they cannot be", async () => {
      const { store, ref } = await withExperiment(makeStore);
      const unknown = freshRef();
      await store.keepReceipts(unknown, [receipt("key")]);
      expect(await store.load(unknown)).toBeNull();
      const created = creation(unknown);
      await commitAll(store, unknown, created);
      expect((await store.load(unknown, { receipt: "key", now: at }))?.receipt).toBeNull();
      const many = Array.from({ length: limits.heavyPageRows + 1 }, (_, index) => receipt(`key ${index}`));
      for (const wrong of [many, [receipt("\u0000")], [receipt("key", "tomorrow")]])
        await expect(store.keepReceipts(ref, wrong)).rejects.toMatchObject({ code: "invalid-request" });
      await store.keepReceipts(ref, many.slice(1));
      expect((await store.receipts(ref)).receipts).toHaveLength(limits.heavyPageRows);
    });

    test("give their key free when they have expired", async () => {
      const { store, ref, base } = await withExperiment(makeStore, { receipt: receipt("key", later(60)) });
      const early = next(base, { drafts: [transitioned(undefined, later(59))], receipt: receipt("key", later(120)) });
      expect(await store.commit(ref, early)).toEqual(inUse);
      const late = next(base, {
        drafts: [transitioned(undefined, later(60))],
        receipt: receipt("key", later(120), "2"),
      });
      await commitAll(store, ref, late);
      expect((await store.load(ref, { receipt: "key", now: later(61) }))?.receipt).toEqual(
        receipt("key", later(120), "2"),
      );
      const last = denial(after(late), { drafts: [denied(later(90))], receipt: receipt("key") });
      expect(await store.commit(ref, last)).toEqual(inUse);
    });
  });
};
