import { describe, expect, test } from "vitest";
import { type EventType, eventTypes } from "../../../src/governance/events.ts";
import {
  after,
  type Base,
  configuration,
  denial,
  denied,
  next,
  transitioned,
  versionWritten,
} from "../../support/governance.ts";
import { commitAll, expectValid, type MakeStore, wholeHistory, withExperiment } from "./under-test.ts";

/** Events in a long history: more than two pages of the largest size. */
const longHistory = 2_500;

export const historyCases = (makeStore: MakeStore): void => {
  /** Versions 2 to 26 far apart, a transition behind each, denials between. */
  const grow = async () => {
    const under = await withExperiment(makeStore);
    const { store, ref } = under;
    let base: Base = under.base;
    let version = 1;
    while (base.head.seq < longHistory) {
      version += 1;
      const denials = Math.min(98, longHistory - base.head.seq - 2);
      const drafts = [
        versionWritten(version, configuration({ traffic: version })),
        transitioned(),
        ...Array.from({ length: denials }, () => denied()),
      ];
      const commit = next(base, { drafts });
      await commitAll(store, ref, commit);
      base = after(commit);
    }
    return { ...under, base, versions: version };
  };

  describe("history", () => {
    test("longer than a page comes whole, in order and without a gap", async () => {
      const { store, ref, base, versions } = await grow();
      expect(base.head.seq).toBe(longHistory);
      const history = await wholeHistory(store, ref);
      expect(history.map(({ seq }) => seq)).toEqual(Array.from({ length: longHistory }, (_, index) => index + 1));
      expectValid(history);
      expect(history.at(-1)?.hash).toBe(base.head.hash);

      const page = async (from: number, limit?: number) => {
        const { events, next: following } = await store.history(ref, {
          after: from,
          ...(limit === undefined ? {} : { limit }),
        });
        return [events.at(0)?.seq, events.at(-1)?.seq, events.length, following];
      };
      expect(await page(0)).toEqual([1, 100, 100, 100]);
      expect(await page(0, 1_000)).toEqual([1, 1_000, 1_000, 1_000]);
      expect(await page(1_500, 1_000)).toEqual([1_501, 2_500, 1_000, null]);
      expect(await page(1_499, 1_000)).toEqual([1_500, 2_499, 1_000, 2_499]);
      expect(await page(2_499, 1)).toEqual([2_500, 2_500, 1, null]);
      expect(await page(2_500)).toEqual([undefined, undefined, 0, null]);
      expect(await page(1e9)).toEqual([undefined, undefined, 0, null]);

      const ofTypes = (...types: EventType[]) =>
        history.filter((event) => types.includes(event.type)).map(({ seq }) => seq);
      for (const types of [
        ["VersionWritten"],
        ["Transitioned"],
        ["Created"],
        ["ApprovalGiven"],
        ["Transitioned", "VersionWritten"],
        ["ChangeDenied", "Created", "Created"],
        [...eventTypes],
        [],
      ] satisfies EventType[][]) {
        for (const limit of [90, 1_000]) {
          const found = await wholeHistory(store, ref, { types, limit });
          expect(found.map(({ seq }) => seq)).toEqual(ofTypes(...types));
        }
      }
      const late = await store.history(ref, { types: ["VersionWritten", "Transitioned"], after: 2_000, limit: 2 });
      expect(late.events.map(({ seq }) => seq)).toEqual(
        ofTypes("VersionWritten", "Transitioned")
          .filter((seq) => seq > 2_000)
          .slice(0, 2),
      );
      expect(late.next).toBe(late.events[1]?.seq);

      expect(versions).toBeGreaterThan(20);
      for (const version of [1, 2, versions]) {
        const found = await store.history(ref, { version });
        expect(found.events.map(({ data }) => data)).toMatchObject([{ version }]);
        expect(found.next).toBeNull();
      }
      expect((await store.history(ref, { version: versions + 1 })).events).toEqual([]);
    });

    test("of a version looks past transitions that name it, and heeds the other filters", async () => {
      const { store, ref, base } = await withExperiment(makeStore);
      await commitAll(store, ref, next(base, { drafts: [transitioned(), denied()] }));
      const seqs = async (query: Parameters<typeof store.history>[1]) =>
        (await store.history(ref, query)).events.map(({ seq }) => seq);
      expect(await seqs({ version: 1 })).toEqual([2]);
      expect(await seqs({ version: 1, types: ["Created", "VersionWritten"] })).toEqual([2]);
      expect(await seqs({ version: 1, types: ["Transitioned"] })).toEqual([]);
      expect(await seqs({ version: 1, types: [] })).toEqual([]);
      expect(await seqs({ version: 1, after: 1 })).toEqual([2]);
      expect(await seqs({ version: 1, after: 2 })).toEqual([]);
      expect(await seqs({ version: 2 })).toEqual([]);
      expect(await seqs({ version: 0 })).toEqual([]);
    });

    test("ends with a whole last page", async () => {
      const { store, ref, base } = await withExperiment(makeStore);
      await commitAll(store, ref, denial(base, { drafts: Array.from({ length: 8 }, () => denied()) }));
      const first = await store.history(ref, { limit: 5 });
      const second = await store.history(ref, { limit: 5, after: first.next ?? -1 });
      expect([first.next, second.next, second.events.length]).toEqual([5, null, 5]);
    });
  });
};
