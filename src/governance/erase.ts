/** Erasing a person: their id and what they wrote, in one experiment. The history keeps references that mean nothing. */
import { ProvisoError } from "../errors.ts";
import { limits } from "../limits.ts";
import type { ExperimentRef, Scope } from "../scope.ts";
import type { Actor } from "./actor.ts";
import { sealEvents } from "./chain.ts";
import { textsIn } from "./event-references.ts";
import type { EventRecord, PersonalRef } from "./events.ts";
import type { Governor } from "./governor.ts";
import { personalValue } from "./personal.ts";
import type { CommitResult, GovernanceStore, HistoryPage, ListPage } from "./store.ts";

export interface ErasureRequest {
  readonly ref: ExperimentRef;
  /** Who erases; recorded. */
  readonly actor: Actor;
  /** Whose values go, by the id that they act under. */
  readonly person: string;
  /** Recorded with the erasure, so it should not name the person. */
  readonly reason?: string;
}

const isBy = ({ actor, data }: EventRecord, person: PersonalRef): boolean =>
  actor.ref === person || ("onBehalfOf" in data && data.onBehalfOf?.ref === person);

/**
 * References to everything of one person in one experiment: what they wrote, and last themselves, by whom the rest is found
 * again when an erasure has stopped half way. None: they never acted.
 */
export const personalOf = async (
  store: GovernanceStore,
  ref: ExperimentRef,
  person: string,
): Promise<readonly PersonalRef[]> => {
  const actor = (await store.load(ref, { actor: person }))?.actor ?? null;
  if (actor === null) return [];
  const texts = new Set<PersonalRef>();
  for (let after: number | null = 0; after !== null;) {
    const page: HistoryPage = await store.history(ref, { after, limit: limits.heavyPageRows });
    for (const event of page.events) if (isBy(event, actor)) for (const text of textsIn(event)) texts.add(text);
    after = page.next;
  }
  return [...texts, actor];
};

/** Removes values in calls of a size that a store takes. */
export const eraseAll = async (
  store: GovernanceStore,
  ref: ExperimentRef,
  refs: readonly PersonalRef[],
): Promise<void> => {
  for (let from = 0; from < refs.length; from += limits.pageRows)
    await store.erase(ref, refs.slice(from, from + limits.pageRows));
};

export interface Recording {
  readonly store: GovernanceStore;
  readonly now: () => number;
  readonly id: () => string;
  readonly salt: () => string;
}

/**
 * Writes the record of an erasure. It comes first: a record of an erasure that then fails is made good by asking again,
 * and an erasure without a record would never be known.
 */
export const recordErasure = async (
  { store, now, id, salt }: Recording,
  { ref, actor, reason }: ErasureRequest,
  values: number,
): Promise<CommitResult> => {
  const loaded = await store.load(ref, { actor: actor.id });
  if (loaded === null) throw new ProvisoError("experiment-not-found", `there is no experiment ${ref.experiment}`);
  const known = loaded.actor === null ? personalValue("actor", salt(), actor.id) : null;
  const text = reason === undefined ? null : personalValue("text", salt(), reason);
  const by = { ref: loaded.actor ?? known?.ref ?? "", kind: actor.kind, roles: actor.roles.toSorted() };
  const data = { values, ...(text === null ? {} : { reason: text.ref }) };
  const events = sealEvents(loaded.head, [
    { type: "Erased", data, id: id(), at: new Date(now()).toISOString(), actor: by },
  ]);
  return store.commit(ref, {
    expect: loaded.head,
    events,
    personal: [known, text].filter((row) => row !== null),
    claims: { take: [], release: [] },
    receipt: null,
  });
};

export interface ErasedPage {
  /** Experiments of this page in which the person had acted, and how many values were removed. */
  readonly erased: readonly { readonly experiment: string; readonly values: number }[];
  /** Pass as `after` for the next page; null at the end. */
  readonly next: string | null;
}

/** Erases a person in every experiment of a scope, a page of experiments at a time. */
export const eraseInScope = async (
  { store, governor }: { readonly store: GovernanceStore; readonly governor: (ref: ExperimentRef) => Governor },
  scope: Scope,
  request: Omit<ErasureRequest, "ref">,
  { after, limit }: { readonly after?: string; readonly limit?: number } = {},
): Promise<ErasedPage> => {
  const page: ListPage = await store.list(scope, {
    ...(after === undefined ? {} : { cursor: after }),
    limit: limit ?? limits.heavyPageRows,
  });
  const erased = [];
  for (const { ref } of page.items) {
    const known = (await store.load(ref, { actor: request.person }))?.actor ?? null;
    if (known === null) continue;
    const values = await governor(ref).erase({ ...request, ref });
    if (values > 0) erased.push({ experiment: ref.experiment, values });
  }
  return { erased, next: page.next };
};
