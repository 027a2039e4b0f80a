import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Commit, CommitResult, Receipt } from "../../../src/governance/store.ts";
import { after, type Base, creation, denial, freshScope, next, receipt } from "../../support/governance.ts";
import { expectValid, type MakeStore, observe, wholeHistory, wholeList } from "./under-test.ts";

const names = ["a", "__proto__", "a' OR 1=1 --"];
const surfaces = ["home", "cart", "%"];
const keys = ["k1", "k2"];

const Step = fc.record({
  name: fc.constantFrom(...names),
  kind: fc.constantFrom("create", "change", "change", "change", "deny"),
  /** How far behind the head it is decided: 0 is up to date. */
  behind: fc.constantFrom(0, 0, 0, 1, 2),
  take: fc.subarray(surfaces),
  release: fc.subarray(surfaces),
  key: fc.option(fc.constantFrom(...keys), { nil: null, freq: 2 }),
});
type Step = typeof Step extends fc.Arbitrary<infer Value> ? Value : never;

/** What a store must know, said as simply as it can be. */
interface Model {
  readonly bases: Map<string, Base[]>;
  readonly claims: Map<string, string>;
  readonly receipts: Map<string, Receipt>;
}

const receiptId = (name: string, key: string): string => JSON.stringify([name, key]);

const expected = (model: Model, name: string, commit: Commit): CommitResult => {
  const head = model.bases.get(name)?.at(-1)?.head;
  if (commit.receipt !== null && model.receipts.has(receiptId(name, commit.receipt.key)))
    return { ok: false, conflict: "receipt" };
  if (commit.expect === "new" ? head !== undefined : head?.hash !== commit.expect.hash)
    return { ok: false, conflict: commit.expect === "new" ? "exists" : "stale" };
  for (const claim of commit.claims.take) {
    const holder = model.claims.get(claim);
    if (holder !== undefined && holder !== name) return { ok: false, conflict: "claimed", claim, holder };
  }
  return { ok: true };
};

const apply = (model: Model, name: string, commit: Commit, base: Base | undefined): void => {
  model.bases.set(name, [...(model.bases.get(name) ?? []), after(commit, base)]);
  for (const claim of commit.claims.release) if (model.claims.get(claim) === name) model.claims.delete(claim);
  for (const claim of commit.claims.take) model.claims.set(claim, name);
  if (commit.receipt !== null) model.receipts.set(receiptId(name, commit.receipt.key), commit.receipt);
};

export const modelCases = (makeStore: MakeStore): void => {
  describe("model", () => {
    test("any commits in any order leave what a simple model says they leave", async () => {
      const { store } = await makeStore();
      await fc.assert(
        fc.asyncProperty(fc.array(Step, { minLength: 5, maxLength: 25 }), async (steps) => {
          const scope = freshScope();
          const model: Model = { bases: new Map(), claims: new Map(), receipts: new Map() };
          const commitOf = ({ name, kind, behind, key, ...step }: Step): { commit: Commit; base: Base | undefined } => {
            const parts = {
              take: step.take.map((surface) => `surface:${surface}`),
              release: step.release.map((surface) => `surface:${surface}`),
              receipt: key === null ? null : receipt(key),
            };
            const bases = model.bases.get(name) ?? [];
            const base = bases.at(-1 - Math.min(behind, Math.max(0, bases.length - 1)));
            if (kind === "create" || base === undefined)
              return { commit: creation({ ...scope, experiment: name }, parts), base: undefined };
            return kind === "deny"
              ? { commit: denial(base, parts), base }
              : { commit: next(base, { ...parts, change: { epoch: base.head.seq } }), base };
          };

          for (const step of steps) {
            const ref = { ...scope, experiment: step.name };
            const { commit, base } = commitOf(step);
            const wanted = expected(model, step.name, commit);
            expect(await store.commit(ref, commit)).toEqual(wanted);
            if (wanted.ok) apply(model, step.name, commit, base);
            const loaded = await store.load(ref);
            const known = model.bases.get(step.name)?.at(-1);
            expect([loaded?.head, loaded?.snapshot]).toEqual([known?.head, known?.snapshot]);
          }
          for (const name of names) {
            const ref = { ...scope, experiment: name };
            const base = model.bases.get(name)?.at(-1);
            const history = await wholeHistory(store, ref);
            expect(history).toHaveLength(base?.head.seq ?? 0);
            expectValid(history);
            for (const key of keys) {
              const { loaded } = await observe(store, ref, { receipt: key });
              expect(loaded?.receipt ?? null).toEqual(model.receipts.get(receiptId(name, key)) ?? null);
            }
          }
          for (const surface of surfaces) {
            const holder = model.claims.get(`surface:${surface}`);
            expect(await wholeList(store, scope, { surface })).toEqual(holder === undefined ? [] : [holder]);
          }
          expect(await wholeList(store, scope)).toEqual(names.filter((name) => model.bases.has(name)).toSorted());
        }),
        { numRuns: 40 },
      );
    });
  });
};
