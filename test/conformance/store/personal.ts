import { describe, expect, test } from "vitest";
import type { EventDraft } from "../../../src/governance/chain.ts";
import { personalValue } from "../../../src/governance/personal.ts";
import type { PersonalValue } from "../../../src/governance/store.ts";
import { limits } from "../../../src/limits.ts";
import {
  after,
  author,
  creation,
  denial,
  freshRef,
  next,
  receipt,
  stamp,
  transitioned,
  versionWritten,
} from "../../support/governance.ts";
import {
  commitAll,
  expectValid,
  type MakeStore,
  observe,
  wholeHistory,
  wholePersonal,
  withExperiment,
} from "./under-test.ts";

const salt = (digit: string): string => digit.repeat(32);

const byRef = (values: readonly PersonalValue[]): readonly PersonalValue[] =>
  values.toSorted((left, right) => (left.ref < right.ref ? -1 : 1));

export const personalCases = (makeStore: MakeStore): void => {
  const reason = personalValue("text", salt("1"), "because it's time — 'now' \u{1F600}");
  const metadata = personalValue("text", salt("2"), '{"ticket":"AB-1"}');
  const editor = personalValue("actor", salt("3"), "editor@example.com");

  describe("personal values", () => {
    test("of everybody a snapshot names come with it", async () => {
      const { store, ref, base } = await withExperiment(makeStore);
      const change = { updatedBy: editor.ref, authorsSinceApproval: [author.ref, editor.ref] };
      await commitAll(store, ref, next(base, { change, personal: [editor, reason] }));
      expect((await store.load(ref))?.people).toEqual(
        new Map([
          [author.ref, author.value],
          [editor.ref, editor.value],
        ]),
      );
    });

    test("of a denial do not change whom the snapshot names", async () => {
      const { store, ref, base } = await withExperiment(makeStore);
      await commitAll(store, ref, denial(base, { personal: [editor] }));
      expect((await store.load(ref))?.people).toEqual(new Map([[author.ref, author.value]]));
    });

    test("of the references in its events come with a page of history", async () => {
      const { store, ref, base } = await withExperiment(makeStore);
      const description = personalValue("text", salt("4"), "a smaller button");
      const drafts: readonly EventDraft[] = [
        versionWritten(2, undefined, description),
        {
          type: "ApprovalGiven",
          data: { proposal: "p", changeDigest: "c", reason: reason.ref },
          ...stamp(undefined, editor),
        },
      ];
      const second = next(base, { drafts, personal: [description, reason, editor] });
      const transition = transitioned(reason);
      const third = next(after(second), {
        drafts: [
          transition.type === "Transitioned"
            ? { ...transition, data: { ...transition.data, metadata: metadata.ref } }
            : transition,
        ],
        personal: [metadata],
      });
      await commitAll(store, ref, second, third);
      const people = async (from: number, limit: number) =>
        [...(await store.history(ref, { after: from, limit })).people.values()].toSorted();
      expect(await people(0, 2)).toEqual([author.value]);
      expect(await people(2, 1)).toEqual([description.value, author.value].toSorted());
      expect(await people(3, 1)).toEqual([reason.value, editor.value].toSorted());
      expect(await people(4, 1)).toEqual([metadata.value, reason.value, author.value].toSorted());
      expect(await people(5, 1)).toEqual([]);
    });

    test("find the reference of an actor by id, in this experiment only", async () => {
      const { store, ref, base } = await withExperiment(makeStore);
      const text = personalValue("text", salt("5"), "not.an@actor.example");
      await commitAll(store, ref, next(base, { personal: [editor, text] }));
      const other = { ...ref, experiment: "other" };
      await commitAll(store, other, creation(other));
      const find = async (where: typeof ref, actor: string) => (await store.load(where, { actor }))?.actor;
      expect(await find(ref, editor.value)).toBe(editor.ref);
      expect(await find(ref, author.value)).toBe(author.ref);
      expect(await find(ref, editor.value.toUpperCase())).toBeNull();
      expect(await find(ref, text.value)).toBeNull();
      expect(await find(ref, "")).toBeNull();
      expect(await find(ref, "' OR 1=1 --")).toBeNull();
      expect(await find(other, editor.value)).toBeNull();
    });

    test("may be handed in again as they are", async () => {
      const { store, ref, base } = await withExperiment(makeStore);
      await commitAll(store, ref, next(base, { personal: [author, reason, { ...reason }, author] }));
      expect((await store.load(ref, { actor: author.value }))?.actor).toBe(author.ref);
    });

    test.each([
      { name: "a second reference for one person", rows: [personalValue("actor", salt("6"), author.value)] },
      { name: "another value under one reference", rows: [{ ...author, value: "somebody.else@example.com" }] },
      { name: "another kind under one reference", rows: [{ ...author, kind: "text" as const }] },
      { name: "two references for one new person", rows: [editor, personalValue("actor", salt("6"), editor.value)] },
      { name: "two values under one new reference", rows: [editor, { ...editor, value: "somebody.else@example.com" }] },
    ])("refuse $name and leave nothing", async ({ rows }) => {
      const { store, ref, base } = await withExperiment(makeStore);
      const before = await observe(store, ref, { actor: author.value });
      await expect(store.commit(ref, next(base, { personal: [reason, ...rows] }))).rejects.toMatchObject({
        code: "internal",
      });
      expect(await observe(store, ref, { actor: author.value })).toEqual(before);
      await commitAll(store, ref, next(base, { personal: [reason] }));
    });

    test("that are erased are missing, and the chain still verifies", async () => {
      const { store, ref, base } = await withExperiment(makeStore);
      const second = next(base, { drafts: [transitioned(reason)], personal: [reason] });
      await commitAll(store, ref, second);
      const history = await wholeHistory(store, ref);
      await store.erase(ref, [author.ref, reason.ref]);
      expect((await store.load(ref, { actor: author.value }))?.actor).toBeNull();
      expect((await store.load(ref))?.people).toEqual(new Map());
      expect((await store.history(ref)).people).toEqual(new Map());
      expect(await wholeHistory(store, ref)).toEqual(history);
      expectValid(await wholeHistory(store, ref));
      // The person may come back, as somebody new.
      const again = personalValue("actor", salt("7"), author.value);
      await commitAll(store, ref, next(after(second), { change: { updatedBy: again.ref }, personal: [again] }));
      expect((await store.load(ref, { actor: author.value }))?.actor).toBe(again.ref);
    });

    test("that are erased take the receipts of the experiment with them, and of no other", async () => {
      const { store, ref } = await withExperiment(makeStore, { receipt: receipt("key") });
      const twin = { ...ref, experiment: "twin" };
      await commitAll(store, twin, creation(twin, { receipt: receipt("key") }));
      await store.erase(ref, [author.ref]);
      await store.erase(ref, [author.ref, "f".repeat(64), "'; DROP TABLE personal; --"]);
      expect((await store.load(ref, { receipt: "key" }))?.receipt).toBeNull();
      expect((await store.load(twin, { receipt: "key", actor: author.value }))?.receipt).toEqual(receipt("key"));
      await store.erase(freshRef(), [author.ref]);
    });

    test("stay when others are erased", async () => {
      const { store, ref, base } = await withExperiment(makeStore);
      await commitAll(store, ref, next(base, { personal: [editor, reason, metadata] }));
      await store.erase(ref, [reason.ref, editor.ref]);
      expect(await wholePersonal(store, ref)).toEqual(byRef([author, metadata]));
      expect((await store.load(ref, { actor: author.value }))?.actor).toBe(author.ref);
    });

    test("come in pages, by reference, each once", async () => {
      const { store, ref, base } = await withExperiment(makeStore);
      const texts = Array.from({ length: 22 }, (_, index) => personalValue("text", salt("8"), `text ${index} 'é😀`));
      await commitAll(store, ref, next(base, { personal: [...texts, editor] }));
      for (const limit of [1, 5, 23, 24, 25])
        expect(await wholePersonal(store, ref, { limit })).toEqual(byRef([author, editor, ...texts]));
      expect((await store.personal(ref, { limit: 24 })).next).toBeNull();
      expect(await store.personal(freshRef())).toEqual({ values: [], next: null });
      const asked = ["z", texts[3]?.ref ?? "", author.ref, author.ref, "' OR 1=1 --"];
      const some = byRef([author, ...texts.slice(3, 4)]);
      expect(await store.personal(ref, { refs: asked })).toEqual({ values: some, next: null });
      expect(await wholePersonal(store, ref, { refs: asked, limit: 1 })).toEqual(some);
      expect(await store.personal(ref, { refs: [] })).toEqual({ values: [], next: null });
      for (const query of [{ limit: 0 }, { limit: limits.heavyPageRows + 1 }, { after: "\u0000" }])
        await expect(store.personal(ref, query)).rejects.toMatchObject({ code: "invalid-request" });
    });

    test("that cannot be meant are refused, and nothing is erased", async () => {
      const { store, ref } = await withExperiment(makeStore);
      const before = await observe(store, ref);
      const many = Array.from({ length: limits.pageRows + 1 }, (_, index) => `${index}`);
      for (const refs of [many, [author.ref, "\uD800"]])
        await expect(store.erase(ref, refs)).rejects.toMatchObject({ code: "invalid-request" });
      expect(await observe(store, ref)).toEqual(before);
    });

    test("of one experiment are not erased with those of another", async () => {
      const { store, ref } = await withExperiment(makeStore);
      const twin = freshRef(ref.experiment);
      await commitAll(store, twin, creation(twin));
      await store.erase(ref, [author.ref]);
      expect((await store.load(twin))?.people).toEqual(new Map([[author.ref, author.value]]));
    });
  });
};
