/** What an adapter's test hands to the suite, and how the suite looks at a store from outside. */
import { expect } from "vitest";
import { verifyChain } from "../../../src/governance/chain.ts";
import type { EventRecord } from "../../../src/governance/events.ts";
import type {
  Checkpoint,
  Commit,
  GovernanceStore,
  HistoryQuery,
  ListQuery,
  Loaded,
  PersonalQuery,
  PersonalValue,
  RulesQuery,
  RuleSet,
} from "../../../src/governance/store.ts";
import type { ExperimentRef, Scope } from "../../../src/scope.ts";
import { after, type Base, creation, freshRef, type Parts } from "../../support/governance.ts";

/** Ways to change history past the port. A store that cannot be attacked one way says what comes closest to it. */
export type Attack =
  | "gap"
  | "unlinked"
  | "insertOrReplace"
  | "insertOrIgnore"
  | "upsert"
  | "update"
  | "delete"
  /** Not of the history but of the rules that were in force: other text, another digest, nothing. */
  | "rules"
  /** Of a history that has a checkpoint: events before and behind it, and the checkpoint itself. */
  | "checkpoint";

export interface StoreUnderTest {
  readonly store: GovernanceStore;
  /**
   * Each tries its worst on a history of at least three events with rules beside it, and fails the test itself where the store should have
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

/** All rules of an experiment, page by page. */
export const wholeRules = async (
  store: GovernanceStore,
  ref: ExperimentRef,
  query: RulesQuery = {},
): Promise<readonly RuleSet[]> => {
  const found: RuleSet[] = [];
  let from: string | null = "";
  while (from !== null) {
    const page: Awaited<ReturnType<GovernanceStore["rules"]>> = await store.rules(ref, { ...query, after: from });
    found.push(...page.rules);
    from = page.next;
  }
  return found;
};

/** All personal values of an experiment, page by page. */
export const wholePersonal = async (
  store: GovernanceStore,
  ref: ExperimentRef,
  query: PersonalQuery = {},
): Promise<readonly PersonalValue[]> => {
  const found: PersonalValue[] = [];
  let from: string | null = "";
  while (from !== null) {
    const page: Awaited<ReturnType<GovernanceStore["personal"]>> = await store.personal(ref, { ...query, after: from });
    found.push(...page.values);
    from = page.next;
  }
  return found;
};

interface Observed {
  readonly loaded: Loaded | null;
  readonly history: readonly EventRecord[];
  readonly rules: readonly RuleSet[];
  readonly personal: readonly PersonalValue[];
  readonly checkpoint: Checkpoint | null;
}

/** Everything that can be seen of an experiment. Two that are equal mean that nothing happened in between. */
export const observe = async (
  store: GovernanceStore,
  ref: ExperimentRef,
  asked: { readonly receipt?: string; readonly actor?: string } = {},
): Promise<Observed> => ({
  loaded: await store.load(ref, asked),
  history: await wholeHistory(store, ref),
  rules: await wholeRules(store, ref),
  personal: await wholePersonal(store, ref),
  checkpoint: await store.checkpoint(ref),
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
