import { describe, expect, test } from "vitest";
import { lifecycleStates } from "../../../src/lifecycle.ts";
import { surfaceClaim } from "../../../src/governance/store.ts";
import { after, author, creation, denial, freshScope, next } from "../../support/governance.ts";
import { commitAll, type MakeStore, wholeList } from "./under-test.ts";

const numbered = (index: number): string => `e${String(index).padStart(2, "0")}`;

export const listCases = (makeStore: MakeStore): void => {
  describe("list", () => {
    test("gives whole snapshots, by name", async () => {
      const { store } = await makeStore();
      const scope = freshScope();
      const commits = ["b", "a", "c"].map((experiment) => creation({ ...scope, experiment }));
      for (const commit of commits)
        await commitAll(store, { ...scope, experiment: commit.snapshot?.state.name ?? "" }, commit);
      const item = (index: number, experiment: string) => ({
        ref: { ...scope, experiment },
        snapshot: commits[index]?.snapshot,
      });
      expect(await store.list(scope)).toEqual({ items: [item(1, "a"), item(0, "b"), item(2, "c")], next: null });
    });

    test("is in the order of code points", async () => {
      const { store } = await makeStore();
      const scope = freshScope();
      // UTF-16 puts the emoji, whose first unit is U+D83D, before U+E000 and U+FFFF.
      const inOrder = [
        "!",
        "-",
        "0",
        "10",
        "9",
        "A",
        "Z",
        "_",
        "a",
        "a-",
        "aa",
        "b",
        "é",
        "\uE000",
        "\uFFFF",
        "\u{1F600}",
        "\u{1F601}",
      ];
      for (const experiment of inOrder.toReversed()) {
        const ref = { ...scope, experiment };
        await commitAll(store, ref, creation(ref));
      }
      expect(await wholeList(store, scope)).toEqual(inOrder);
      for (const limit of [1, 2, 5, inOrder.length - 1, inOrder.length])
        expect(await wholeList(store, scope, { limit })).toEqual(inOrder);
    });

    test("goes on where it was, whatever came and went in between", async () => {
      const { store } = await makeStore();
      const scope = freshScope();
      const add = async (experiment: string) => {
        const ref = { ...scope, experiment };
        const commit = creation(ref);
        await commitAll(store, ref, commit);
        return { ref, base: after(commit) };
      };
      const d = await add("d");
      for (const name of ["b", "f", "h"]) await add(name);
      const first = await store.list(scope, { limit: 2 });
      expect(first.items.map((item) => item.ref.experiment)).toEqual(["b", "d"]);
      for (const name of ["a", "c", "e", "i"]) await add(name);
      await commitAll(store, d.ref, next(d.base, { change: { lifecycle: "Archived" } }));
      const rest = await store.list(scope, { limit: 3, cursor: first.next ?? "" });
      expect(rest.items.map((item) => item.ref.experiment)).toEqual(["e", "f", "h"]);
      const last = await store.list(scope, { limit: 3, cursor: rest.next ?? "" });
      expect(last.items.map((item) => item.ref.experiment)).toEqual(["i"]);
      expect(last.next).toBeNull();
    });

    test("ends with a whole last page, and gives nothing behind the last name", async () => {
      const { store } = await makeStore();
      const scope = freshScope();
      for (const experiment of ["a", "b", "c", "d"]) {
        const ref = { ...scope, experiment };
        await commitAll(store, ref, creation(ref));
      }
      const first = await store.list(scope, { limit: 2 });
      const second = await store.list(scope, { limit: 2, cursor: first.next ?? "" });
      expect([first.next === null, second.next, second.items.length]).toEqual([false, null, 2]);
      expect(await store.list(scope, { cursor: "\u{10FFFF}" })).toEqual({ items: [], next: null });
    });

    test("can be of some lifecycle states only", async () => {
      const { store } = await makeStore();
      const scope = freshScope();
      for (const [index, lifecycle] of [...lifecycleStates, ...lifecycleStates].entries()) {
        const ref = { ...scope, experiment: numbered(index) };
        await commitAll(store, ref, creation(ref, { change: { lifecycle } }));
      }
      const running = lifecycleStates.indexOf("Running");
      const paused = lifecycleStates.indexOf("Paused");
      const count = lifecycleStates.length;
      expect(await wholeList(store, scope, { states: ["Running"] })).toEqual([
        numbered(running),
        numbered(running + count),
      ]);
      const both = [numbered(running), numbered(paused), numbered(running + count), numbered(paused + count)];
      for (const limit of [1, 3, 4, 100])
        expect(await wholeList(store, scope, { states: ["Paused", "Running", "Paused"], limit })).toEqual(both);
      expect(await wholeList(store, scope, { states: [...lifecycleStates], limit: 4 })).toHaveLength(2 * count);
      expect(await wholeList(store, scope, { states: [] })).toEqual([]);
    });

    test("follows changes of state, and does not mind denials", async () => {
      const { store } = await makeStore();
      const ref = { ...freshScope(), experiment: "a" };
      const created = creation(ref);
      const running = next(after(created), { change: { lifecycle: "Running" } });
      await commitAll(store, ref, created, running, denial(after(running)));
      expect(await wholeList(store, ref, { states: ["Draft"] })).toEqual([]);
      expect((await store.list(ref, { states: ["Running"] })).items).toEqual([{ ref, snapshot: running.snapshot }]);
    });

    test("can be of the holder of a surface only", async () => {
      const { store } = await makeStore();
      const scope = freshScope();
      const [a, b] = [
        { ...scope, experiment: "a" },
        { ...scope, experiment: "b" },
      ];
      const created = creation(a, { take: [surfaceClaim("home"), "cart"] });
      await commitAll(store, a, created);
      await commitAll(store, b, creation(b, { take: [surfaceClaim("cart")], change: { lifecycle: "Running" } }));
      expect(await wholeList(store, scope, { surface: "home" })).toEqual(["a"]);
      expect(await wholeList(store, scope, { surface: "cart" })).toEqual(["b"]);
      expect(await wholeList(store, scope, { surface: "Home" })).toEqual([]);
      expect(await wholeList(store, scope, { surface: "h%" })).toEqual([]);
      expect(await wholeList(store, scope, { surface: "cart", states: ["Running", "Paused"] })).toEqual(["b"]);
      expect(await wholeList(store, scope, { surface: "cart", states: ["Draft"] })).toEqual([]);
      expect(await wholeList(store, scope, { surface: "cart", states: [] })).toEqual([]);
      expect(await wholeList(store, scope, { surface: "cart", cursor: "a" })).toEqual(["b"]);
      expect(await wholeList(store, scope, { surface: "cart", cursor: "b" })).toEqual([]);
      await commitAll(store, a, next(after(created), { release: [surfaceClaim("home")] }));
      expect(await wholeList(store, scope, { surface: "home" })).toEqual([]);
    });

    test("says nothing of people", async () => {
      const { store } = await makeStore();
      const ref = { ...freshScope(), experiment: "a" };
      await commitAll(store, ref, creation(ref));
      expect(JSON.stringify(await store.list(ref))).not.toContain(author.value);
    });
  });
};
