/** What an adapter's test hands to the suite, and how the suite looks at a store from outside. */
import { expect } from "vitest";
import { verifyChain } from "../../../src/governance/chain.ts";
import type { EventRecord, PersonalRef } from "../../../src/governance/events.ts";
import type { Commit, GovernanceStore, HistoryQuery, ListQuery, Loaded } from "../../../src/governance/store.ts";
import type { ExperimentRef, Scope } from "../../../src/scope.ts";
import { after, type Base, creation, freshRef, type Parts } from "../../support/governance.ts";

/** Ways to change history past the port. A store that cannot be attacked one way says what comes closest to it. */
export type Attack = "gap" | "unlinked" | "insertOrReplace" | "insertOrIgnore" | "upsert" | "update" | "delete";

export interface StoreUnderTest {
  readonly store: GovernanceStore;
  /** Removes personal values for good, as a request for erasure does. */
  readonly erase: (ref: ExperimentRef, refs: readonly PersonalRef[]) => Promise<void>;
  /**
   * Each tries its worst on a history of at least three events, and fails the test itself where the store should have
   * refused aloud. The suite looks at what the history is afterwards.
   */
  readonly attacks: Readonly<Record<Attack, (ref: ExperimentRef, history: readonly EventRecord[]) => Promise<void>>>;
}

export type MakeStore = () => Promise<StoreUnderTest>;

/** A whole history, page by page. */
export const wholeHistory = async (
  store: GovernanceStore,
  ref: ExperimentRef,
  query: HistoryQuery = { limit: 1_000 },
): Promise<readonly EventRecord[]> => {
  const events: EventRecord[] = [];
  let from: number | null = 0;
  while (from !== null) {
    const page: Awaited<ReturnType<GovernanceStore["history"]>> = await store.history(ref, { ...query, after: from });
    events.push(...page.events);
    from = page.next;
  }
  return events;
};

/** Names of a whole listing, page by page. */
export const wholeList = async (
  store: GovernanceStore,
  scope: Scope,
  query: ListQuery = {},
): Promise<readonly string[]> => {
  const names: string[] = [];
  let cursor: string | null = null;
  do {
    const page: Awaited<ReturnType<GovernanceStore["list"]>> = await store.list(scope, {
      ...query,
      ...(cursor === null ? {} : { cursor }),
    });
    names.push(...page.items.map((item) => item.ref.experiment));
    cursor = page.next;
  } while (cursor !== null);
  return names;
};

/** Everything that can be seen of an experiment. Two that are equal mean that nothing happened in between. */
export const observe = async (
  store: GovernanceStore,
  ref: ExperimentRef,
  asked: { readonly receipt?: string; readonly actor?: string } = {},
): Promise<{ readonly loaded: Loaded | null; readonly history: readonly EventRecord[] }> => ({
  loaded: await store.load(ref, asked),
  history: await wholeHistory(store, ref),
});

export const expectValid = (history: readonly EventRecord[]): void => {
  expect(verifyChain(history)).toMatchObject({ valid: true, length: history.length });
};

/** Commits that must succeed. */
export const commitAll = async (store: GovernanceStore, ref: ExperimentRef, ...commits: Commit[]): Promise<void> => {
  for (const commit of commits) expect(await store.commit(ref, commit)).toEqual({ ok: true });
};

/** A store with one experiment in it. */
export const withExperiment = async (
  makeStore: MakeStore,
  parts: Parts & { readonly ref?: ExperimentRef } = {},
): Promise<StoreUnderTest & { readonly ref: ExperimentRef; readonly base: Base }> => {
  const under = await makeStore();
  const ref = parts.ref ?? freshRef();
  const commit = creation(ref, parts);
  await commitAll(under.store, ref, commit);
  return { ...under, ref, base: after(commit) };
};
