import { describe, expect, test } from "vitest";
import { personalValue } from "../../../src/governance/personal.ts";
import { surfaceClaim } from "../../../src/governance/store.ts";
import {
  after,
  author,
  creation,
  denial,
  denied,
  freshRef,
  next,
  receipt,
  transitioned,
  versionWritten,
} from "../../support/governance.ts";
import { commitAll, expectValid, type MakeStore, observe, wholeHistory, withExperiment } from "./under-test.ts";

export const commitCases = (makeStore: MakeStore): void => {
  describe("commit", () => {
    test("creates an experiment that loads back as it was written", async () => {
      const { store } = await makeStore();
      const ref = freshRef();
      const commit = creation(ref);
      expect(await store.commit(ref, commit)).toEqual({ ok: true });
      const last = commit.events[1];
      expect(await store.load(ref)).toEqual({
        snapshot: commit.snapshot,
        head: { seq: 2, hash: last?.hash, at: last?.at },
        receipt: null,
        actor: null,
        people: new Map([[author.ref, author.value]]),
      });
      expect((await store.history(ref)).events).toEqual(commit.events);
    });

    test("knows nothing of an experiment that was never created", async () => {
      const { store } = await makeStore();
      const ref = freshRef();
      expect(await store.load(ref, { receipt: "key", actor: author.value })).toBeNull();
      expect(await store.history(ref)).toEqual({ events: [], next: null, people: new Map() });
      expect(await store.list(ref)).toEqual({ items: [], next: null });
    });

    test("refuses a second create and changes nothing", async () => {
      const { store, ref } = await withExperiment(makeStore);
      const before = await observe(store, ref, { receipt: "second" });
      const second = creation(ref, { change: { lifecycle: "Archived" }, receipt: receipt("second") });
      expect(await store.commit(ref, second)).toEqual({ ok: false, conflict: "exists" });
      expect(await observe(store, ref, { receipt: "second" })).toEqual(before);
    });

    test("refuses a create of one event where the history is longer", async () => {
      const { store, ref, base } = await withExperiment(makeStore);
      await commitAll(store, ref, next(base));
      const before = await observe(store, ref);
      const second = creation(ref, { drafts: [versionWritten(1)] });
      expect(await store.commit(ref, second)).toEqual({ ok: false, conflict: "exists" });
      expect(await observe(store, ref)).toEqual(before);
    });

    test("takes commits one after another, each on the head before it", async () => {
      const { store, ref, base } = await withExperiment(makeStore);
      let last = base;
      for (let turn = 0; turn < 5; turn += 1) {
        const commit = next(last, { drafts: [transitioned(), denied()], change: { epoch: turn } });
        await commitAll(store, ref, commit);
        last = after(commit);
      }
      const history = await wholeHistory(store, ref);
      expect(history.map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
      expectValid(history);
      expect(await store.load(ref)).toMatchObject({ head: last.head, snapshot: last.snapshot });
    });

    test("refuses a stale commit and changes nothing", async () => {
      const { store, ref, base } = await withExperiment(makeStore);
      await commitAll(store, ref, next(base));
      const asked = { receipt: "stale", actor: "somebody@example.com" };
      const before = await observe(store, ref, asked);
      const stale = next(base, {
        change: { lifecycle: "Running" },
        personal: [personalValue("actor", "5a", "somebody@example.com")],
        take: [surfaceClaim("checkout")],
        receipt: receipt("stale"),
      });
      expect(await store.commit(ref, stale)).toEqual({ ok: false, conflict: "stale" });
      expect(await observe(store, ref, asked)).toEqual(before);
      expect((await store.list(ref, { surface: "checkout" })).items).toEqual([]);
    });

    test("refuses a commit on the right seq with another hash", async () => {
      const { store, ref, base } = await withExperiment(makeStore);
      const before = await observe(store, ref);
      const forked = next({ ...base, head: { seq: base.head.seq, hash: "f".repeat(64) } });
      expect(await store.commit(ref, forked)).toEqual({ ok: false, conflict: "stale" });
      expect(await observe(store, ref)).toEqual(before);
    });

    test("refuses a gap: a head that does not exist yet", async () => {
      const { store, ref, base } = await withExperiment(makeStore);
      const before = await observe(store, ref);
      const ahead = next({ ...base, head: { seq: base.head.seq + 1, hash: base.head.hash } });
      expect(await store.commit(ref, ahead)).toEqual({ ok: false, conflict: "stale" });
      expect(await observe(store, ref)).toEqual(before);
    });

    test("refuses to go on with an experiment that does not exist", async () => {
      const { store } = await makeStore();
      const ref = freshRef();
      const orphan = next(after(creation(ref)));
      expect(await store.commit(ref, orphan)).toEqual({ ok: false, conflict: "stale" });
      expect(await observe(store, ref)).toEqual({
        loaded: null,
        history: [],
        rules: [],
        personal: [],
        checkpoint: null,
      });
    });

    test.each([
      { name: "a gap between its events", wrong: [0, 2] },
      { name: "its events in the wrong order", wrong: [1, 0] },
      { name: "one event twice", wrong: [0, 0] },
      { name: "no first event", wrong: [1, 2] },
      { name: "no event", wrong: [] },
    ])("throws for a commit with $name and changes nothing", async ({ wrong }) => {
      const { store, ref, base } = await withExperiment(makeStore);
      const before = await observe(store, ref);
      const good = next(base, { drafts: [transitioned(), denied(), denied()] });
      const events = wrong.map((index) => good.events[index]).filter((event) => event !== undefined);
      await expect(store.commit(ref, { ...good, events })).rejects.toThrow(TypeError);
      expect(await observe(store, ref)).toEqual(before);
    });

    test("throws for a new experiment without a state, and for the state of another", async () => {
      const { store } = await makeStore();
      const ref = freshRef();
      const { snapshot, ...rest } = creation(ref);
      expect(snapshot).toBeDefined();
      await expect(store.commit(ref, rest)).rejects.toThrow(TypeError);
      await expect(store.commit(ref, creation({ ...ref, experiment: "other" }))).rejects.toThrow(TypeError);
      expect(await observe(store, ref)).toEqual({
        loaded: null,
        history: [],
        rules: [],
        personal: [],
        checkpoint: null,
      });
    });

    test("of 20 commits at one moment takes one", async () => {
      const { store, ref, base } = await withExperiment(makeStore);
      const commits = Array.from({ length: 20 }, (_, epoch) => next(base, { change: { epoch } }));
      const results = await Promise.all(commits.map((commit) => store.commit(ref, commit)));
      const winners = commits.filter((_, index) => results[index]?.ok);
      expect(winners).toHaveLength(1);
      expect(results.filter((result) => !result.ok && result.conflict === "stale")).toHaveLength(19);
      expect((await store.load(ref))?.snapshot).toEqual(winners[0]?.snapshot);
      expect(await wholeHistory(store, ref)).toHaveLength(3);
    });

    test("of 20 creates at one moment takes one", async () => {
      const { store } = await makeStore();
      const ref = freshRef();
      const commits = Array.from({ length: 20 }, (_, epoch) => creation(ref, { change: { epoch } }));
      const results = await Promise.all(commits.map((commit) => store.commit(ref, commit)));
      const winners = commits.filter((_, index) => results[index]?.ok);
      expect(winners).toHaveLength(1);
      expect(results.filter((result) => !result.ok && result.conflict === "exists")).toHaveLength(19);
      expect((await store.load(ref))?.snapshot).toEqual(winners[0]?.snapshot);
      expect(await wholeHistory(store, ref)).toHaveLength(2);
    });

    test("leaves nothing of a commit whose last part fails", async () => {
      const { store, ref, base } = await withExperiment(makeStore, { take: ["mine"] });
      const rival = { ...ref, experiment: "rival" };
      await commitAll(store, rival, creation(rival, { take: ["wanted"] }));
      const asked = { receipt: "failed", actor: "somebody@example.com" };
      const before = await observe(store, ref, asked);
      const failing = next(base, {
        drafts: [transitioned(), versionWritten(2), denied()],
        change: { lifecycle: "Running" },
        personal: [personalValue("actor", "5a", "somebody@example.com")],
        receipt: receipt("failed"),
        release: ["mine"],
        take: ["free", "wanted"],
      });
      const refused = { ok: false, conflict: "claimed", claim: "wanted", holder: "rival" };
      expect(await store.commit(ref, failing)).toEqual(refused);
      expect(await observe(store, ref, asked)).toEqual(before);
      expect((await store.list(ref, { states: ["Running"] })).items).toEqual([]);
      // Neither was "mine" released nor "free" taken.
      const third = { ...ref, experiment: "third" };
      const free = creation(third, { take: ["free"] });
      await commitAll(store, third, free);
      expect(await store.commit(third, denial(after(free), { take: ["mine"] }))).toMatchObject({ holder: "checkout" });
      // And the very same change goes through once nothing is in its way.
      await commitAll(store, ref, next(base, { drafts: [transitioned(), versionWritten(2)], release: ["mine"] }));
    });

    test("records a denial in the log and leaves the snapshot, its revision and its hash", async () => {
      const { store, ref, base } = await withExperiment(makeStore);
      const commit = denial(base, { drafts: [denied(), denied()] });
      await commitAll(store, ref, commit);
      const loaded = await store.load(ref);
      expect(loaded?.snapshot).toEqual(base.snapshot);
      expect(loaded?.head).toEqual(after(commit, base).head);
      // Whoever decided on the head before it must look again.
      expect(await store.commit(ref, next(base))).toEqual({ ok: false, conflict: "stale" });
      await commitAll(store, ref, next(after(commit, base)));
    });

    test("answers the very same commit again with ok and adds nothing", async () => {
      const { store } = await makeStore();
      const ref = freshRef();
      const first = creation(ref, { receipt: receipt("first"), take: ["name"] });
      const second = next(after(first), { receipt: receipt("second"), release: ["name"] });
      await commitAll(store, ref, first, first, second, second, first);
      expect(await wholeHistory(store, ref)).toEqual([...first.events, ...second.events]);
      expect((await store.load(ref))?.snapshot).toEqual(second.snapshot);
    });

    test("says that it can be read", async () => {
      const { store } = await makeStore();
      await expect(store.check()).resolves.toBeUndefined();
      expect(store.name).toMatch(/^[a-z0-9-]+$/);
    });
  });
};
