/** What every benchmark of stores writes: the same commits on each, also inside workerd. */
import type { Commit, GovernanceStore } from "../../src/governance/store.ts";
import type { ExperimentRef } from "../../src/scope.ts";
import {
  after,
  type Base,
  creation,
  denial,
  denied,
  next,
  receipt,
  transitioned,
} from "../../test/support/governance.ts";

/** So many transitions one after another, each an event, a snapshot and a receipt. Their keys are `label-0`, `label-1` … */
export const chainOf = (base: Base, count: number, label: string): readonly Commit[] => {
  const commits: Commit[] = [];
  let last = base;
  for (let index = 0; index < count; index += 1) {
    const lifecycle = index % 2 === 0 ? "Running" : "Ramping";
    const commit = next(last, {
      drafts: [transitioned()],
      change: { lifecycle },
      receipt: receipt(`${label}-${index}`, undefined, JSON.stringify({ ok: true, body: { newState: lifecycle } })),
    });
    commits.push(commit);
    last = after(commit, last);
  }
  return commits;
};

export const expectOk = async (
  store: Pick<GovernanceStore, "commit">,
  ref: ExperimentRef,
  commit: Commit,
): Promise<void> => {
  const result = await store.commit(ref, commit);
  if (!result.ok) throw new Error(`a commit of the benchmark was refused: ${result.conflict}`);
};

/** The commits that make an experiment with so many events. */
export const growth = (
  ref: ExperimentRef,
  length: number,
): { readonly commits: readonly Commit[]; readonly base: Base } => {
  const created = creation(ref);
  const commits = [created];
  let base = after(created);
  while (base.head.seq < length) {
    const drafts = Array.from({ length: Math.min(100, length - base.head.seq) }, () => denied());
    const commit = denial(base, { drafts });
    commits.push(commit);
    base = after(commit, base);
  }
  return { commits, base };
};

/** An experiment with so many events, in the store. */
export const grown = async (store: GovernanceStore, ref: ExperimentRef, length: number): Promise<Base> => {
  const { commits, base } = growth(ref, length);
  for (const commit of commits) await expectOk(store, ref, commit);
  return base;
};

/** Other experiments of a scope, from one number up to another, so many at once. */
export const crowd = async (
  from: number,
  to: number,
  atOnce: number,
  add: (experiment: string) => Promise<unknown>,
): Promise<void> => {
  for (let start = from; start < to; start += atOnce)
    await Promise.all(
      Array.from({ length: Math.min(atOnce, to - start) }, (_, index) =>
        add(`other-${String(start + index).padStart(6, "0")}`),
      ),
    );
};
