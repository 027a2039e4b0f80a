import { describe, expect, test } from "vitest";
import type { ExperimentRef } from "../../../src/scope.ts";
import { limits } from "../../../src/limits.ts";
import { after, author, creation, freshScope, next, receipt } from "../../support/governance.ts";
import { commitAll, type MakeStore, observe, wholeList } from "./under-test.ts";

/** Names that `NameSchema` refuses too: a store's keys must be safe by how they are made, not by who checked before. */
const hostile = [
  ":", "/", "%", "'", '"', "\\", "*", "?", "a:b", "a/b", "%41", "a' OR 1=1 --", "'; DROP TABLE events; --",
  "__proto__", "constructor", "toString", "hasOwnProperty", "null", "undefined", "0", "-1", "1e3", " ", "a ", " a", "A", "a",
  "é", "e\u0301", "\uFFFF", "\uFEFF", "\u{1F600}", "{a}", '["a","b"]', "\n", "\u0001", "a".repeat(limits.nameCharacters),
]; // prettier-ignore

/** Different places whose three names run together the same way, with each of these between them. */
const colliding = (tenant: string): readonly ExperimentRef[] =>
  ["", ":", "/", "|", "\u0001", '","', "'", " ", "%3A"].flatMap((separator) => [
    { tenant: `${tenant}${separator}a`, environment: "b", experiment: "c" },
    { tenant, environment: `a${separator}b`, experiment: "c" },
    { tenant, environment: "a", experiment: `b${separator}c` },
    { tenant: `${tenant}${separator}a${separator}b`, environment: "c", experiment: "d" },
    { tenant, environment: `a${separator}b${separator}c`, experiment: "d" },
    { tenant: `${tenant}${separator}a`, environment: `b${separator}c`, experiment: "d" },
  ]);

const unique = (refs: readonly ExperimentRef[]): readonly ExperimentRef[] => [
  ...new Map(refs.map((ref) => [JSON.stringify([ref.tenant, ref.environment, ref.experiment]), ref])).values(),
];

export const nameCases = (makeStore: MakeStore): void => {
  /** Gives each place an experiment of its own; what each then sees, and what it should see. */
  const inhabit = async (refs: readonly ExperimentRef[]) => {
    const { store } = await makeStore();
    for (const [epoch, ref] of refs.entries()) {
      const created = creation(ref, { change: { epoch }, receipt: receipt(`receipt ${epoch}`) });
      await commitAll(store, ref, created);
      await commitAll(store, ref, next(after(created), { change: { epoch: epoch + 1_000 } }));
    }
    const seen: unknown[] = [];
    for (const [epoch, ref] of refs.entries()) {
      const { loaded, history } = await observe(store, ref, { receipt: `receipt ${epoch}`, actor: author.value });
      seen.push({
        name: loaded?.snapshot.state.name,
        epoch: loaded?.snapshot.state.epoch,
        receipt: loaded?.receipt?.key,
        actor: loaded?.actor,
        created: history[0]?.data,
        length: history.length,
        neighbours: (await wholeList(store, ref, { limit: 7 })).toSorted(),
      });
    }
    const wanted = refs.map((ref, epoch) => ({
      name: ref.experiment,
      epoch: epoch + 1_000,
      receipt: `receipt ${epoch}`,
      actor: author.ref,
      created: ref,
      length: 3,
      neighbours: refs
        .filter((other) => other.tenant === ref.tenant && other.environment === ref.environment)
        .map((other) => other.experiment)
        .toSorted(),
    }));
    return { seen, wanted };
  };

  describe("names", () => {
    test("of experiments may be anything", async () => {
      const scope = freshScope();
      const { seen, wanted } = await inhabit(hostile.map((experiment) => ({ ...scope, experiment })));
      expect(seen).toEqual(wanted);
    });

    test("of tenants and environments may be anything", async () => {
      const { tenant } = freshScope();
      const { seen, wanted } = await inhabit(
        hostile.flatMap((name) => [
          {
            tenant: `${tenant}${name}`.slice(0, limits.nameCharacters).toWellFormed(),
            environment: "test",
            experiment: "a",
          },
          { tenant, environment: name, experiment: "a" },
        ]),
      );
      expect(seen).toEqual(wanted);
    });

    test("that run together the same way never meet", async () => {
      const { seen, wanted } = await inhabit(unique(colliding(freshScope().tenant)));
      expect(seen).toEqual(wanted);
    });

    test.each(["", "\u0000", "a\u0000", "\uD800", "x".repeat(limits.nameCharacters + 1)])(
      "that no store can keep are refused: %j",
      async (name) => {
        const { store } = await makeStore();
        const good = { ...freshScope(), experiment: "a" };
        const commit = creation(good);
        for (const part of ["experiment", "environment", "tenant"]) {
          const ref = { ...good, [part]: name };
          const refused = { code: "invalid-request", details: { errors: [{ path: `/ref/${part}` }] } };
          await expect(store.commit(ref, commit)).rejects.toMatchObject(refused);
          await expect(store.load(ref)).rejects.toMatchObject(refused);
          await expect(store.history(ref)).rejects.toMatchObject(refused);
        }
        for (const scope of [
          { ...good, environment: name },
          { ...good, tenant: name },
        ])
          await expect(store.list(scope)).rejects.toMatchObject({ code: "invalid-request" });
      },
    );
  });
};
