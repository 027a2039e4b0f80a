/** A store in the memory of one process: for tests, examples and single-process hosts. Nothing survives a restart. */
import { byCodePoint } from "../../src/code-points.ts";
import { ProvisoError } from "../../src/errors.ts";
import type { PersonalRef } from "../../src/governance/events.ts";
import { readEvent, readState } from "../../src/governance/stored.ts";
import {
  readReceipt,
  storableCommit,
  type StorableCommit,
  type StorableEvent,
  type StorableReceipt,
  storableReceipts,
  type StorableSnapshot,
} from "../../src/governance/storable-commit.ts";
import {
  checkCheckpoint,
  checkPosition,
  storableHistoryQuery,
  storableListQuery,
  storableLoad,
  type StorablePageQuery,
  storablePageQuery,
  storablePersonalQuery,
  storableReceiptsQuery,
  storableRefs,
} from "../../src/governance/storable-query.ts";
import { checkRef, parseTime } from "../../src/governance/store-door.ts";
import type {
  Checkpoint,
  Commit,
  Conflict,
  GovernanceStore,
  PersonalValue,
  Snapshot,
} from "../../src/governance/store.ts";
import { surfaceClaim } from "../../src/governance/store.ts";
import { type ExperimentRef, refKey, type Scope, scopeKey } from "../../src/scope.ts";

interface Aggregate {
  /** In order of seq, without a gap; the first is event 1, or the one at the checkpoint. */
  events: StorableEvent[];
  checkpoint: Checkpoint | null;
  snapshot: StorableSnapshot;
  readonly receipts: Map<string, StorableReceipt>;
  readonly personal: Map<PersonalRef, PersonalValue>;
  /** Who has which reference; always what {@link personal} says. */
  readonly actors: Map<string, PersonalRef>;
  /** Text by digest. */
  readonly rules: Map<string, string>;
}

interface ScopeContent {
  readonly experiments: Map<string, Aggregate>;
  /** Claim to the experiment that holds it. */
  readonly claims: Map<string, string>;
}

/** Text is parsed anew for every reader, so nobody can change what is stored by changing what they were given. */
const readSnapshot = ({ text, revision, revisionHash }: StorableSnapshot): Snapshot => ({
  state: readState(text),
  revision,
  revisionHash,
});

const peopleAmong = (aggregate: Aggregate, refs: readonly PersonalRef[]): ReadonlyMap<PersonalRef, string> =>
  new Map(
    refs.flatMap((ref) => {
      const found = aggregate.personal.get(ref);
      return found === undefined ? [] : [[ref, found.value] as const];
    }),
  );

/** One page of what is kept by key, in the order of the keys. */
const pageOf = <Value>(
  kept: ReadonlyMap<string, Value> | undefined,
  { after, limit }: StorablePageQuery,
): { readonly rows: readonly (readonly [string, Value])[]; readonly next: string | null } => {
  const found = [...(kept ?? [])]
    .filter(([key]) => byCodePoint(key, after) > 0)
    .toSorted(([left], [right]) => byCodePoint(left, right));
  const rows = found.slice(0, limit);
  return { rows, next: found.length > limit ? (rows.at(-1)?.[0] ?? null) : null };
};

const eventAt = ({ events }: Aggregate, seq: number): StorableEvent | undefined => events[seq - (events[0]?.seq ?? 1)];

const liveReceipt = (aggregate: Aggregate, key: string, now: number): StorableReceipt | null => {
  const found = aggregate.receipts.get(key);
  return found !== undefined && found.expiresAt > now ? found : null;
};

const conflictOf = (
  aggregate: Aggregate | undefined,
  claims: ReadonlyMap<string, string>,
  experiment: string,
  commit: StorableCommit,
): Conflict | null => {
  const { receipt, now, expect, isNew } = commit;
  if (receipt !== null && aggregate !== undefined && liveReceipt(aggregate, receipt.key, now) !== null)
    return { ok: false, conflict: "receipt" };
  const head = aggregate?.events.at(-1);
  if ((head?.seq ?? 0) !== expect.seq || (head !== undefined && head.hash !== expect.hash))
    return { ok: false, conflict: isNew ? "exists" : "stale" };
  for (const claim of commit.take) {
    const holder = claims.get(claim);
    if (holder !== undefined && holder !== experiment) return { ok: false, conflict: "claimed", claim, holder };
  }
  return null;
};

const isSame = (left: PersonalValue, right: PersonalValue): boolean =>
  left.kind === right.kind && left.salt === right.salt && left.value === right.value;

/** One reference has one value, and one person one reference: as they stand, and within the commit. */
const refusePersonalClash = (aggregate: Aggregate | undefined, personal: readonly PersonalValue[]): void => {
  const added = new Map<PersonalRef, PersonalValue>();
  const addedActors = new Map<string, PersonalRef>();
  for (const row of personal) {
    const known = added.get(row.ref) ?? aggregate?.personal.get(row.ref);
    const actor = row.kind === "actor" ? (addedActors.get(row.value) ?? aggregate?.actors.get(row.value)) : undefined;
    if ((known !== undefined && !isSame(known, row)) || (actor !== undefined && actor !== row.ref))
      throw new ProvisoError("internal", "the store refused the commit");
    added.set(row.ref, row);
    if (row.kind === "actor") addedActors.set(row.value, row.ref);
  }
};

/**
 * A {@link GovernanceStore} in memory. Its commits are atomic because nothing is awaited between looking and writing.
 *
 * @example const store = memoryStore();
 */
export const memoryStore = (): GovernanceStore => {
  const scopes = new Map<string, ScopeContent>();
  const delivered = new Map<string, Map<string, number>>();

  const contentOf = (scope: Scope): ScopeContent | undefined => scopes.get(scopeKey(scope));
  const aggregateOf = (ref: ExperimentRef): Aggregate | undefined => contentOf(ref)?.experiments.get(ref.experiment);

  const write = (ref: ExperimentRef, commit: StorableCommit): void => {
    const content = contentOf(ref) ?? { experiments: new Map<string, Aggregate>(), claims: new Map<string, string>() };
    let aggregate = content.experiments.get(ref.experiment);
    if (aggregate === undefined) {
      if (commit.snapshot === null) throw new ProvisoError("internal", "an experiment without a snapshot");
      aggregate = {
        events: [],
        checkpoint: null,
        snapshot: commit.snapshot,
        receipts: new Map(),
        personal: new Map(),
        actors: new Map(),
        rules: new Map(),
      };
      content.experiments.set(ref.experiment, aggregate);
      scopes.set(scopeKey(ref), content);
    }
    aggregate.events.push(...commit.events);
    if (commit.snapshot !== null) aggregate.snapshot = commit.snapshot;
    for (const row of commit.personal) {
      aggregate.personal.set(row.ref, { ...row });
      if (row.kind === "actor") aggregate.actors.set(row.value, row.ref);
    }
    for (const { digest, text } of commit.rules) aggregate.rules.set(digest, text);
    if (commit.receipt !== null) {
      for (const [key, { expiresAt }] of aggregate.receipts)
        if (expiresAt <= commit.now) aggregate.receipts.delete(key);
      aggregate.receipts.set(commit.receipt.key, commit.receipt);
    }
    for (const claim of commit.release) if (content.claims.get(claim) === ref.experiment) content.claims.delete(claim);
    for (const claim of commit.take) content.claims.set(claim, ref.experiment);
  };

  return {
    name: "memory",

    async load(ref, options) {
      const { receipt, actor, now } = storableLoad(ref, options);
      const aggregate = aggregateOf(ref);
      const head = aggregate?.events.at(-1);
      if (aggregate === undefined || head === undefined) return null;
      const kept = receipt === null ? null : liveReceipt(aggregate, receipt, now);
      return {
        snapshot: readSnapshot(aggregate.snapshot),
        head: { seq: head.seq, hash: head.hash, at: head.at },
        receipt: kept === null ? null : readReceipt(kept),
        actor: actor === null ? null : (aggregate.actors.get(actor) ?? null),
        people: peopleAmong(aggregate, aggregate.snapshot.people),
      };
    },

    async commit(ref: ExperimentRef, commit: Commit) {
      const storable = storableCommit(ref, commit);
      const content = contentOf(ref);
      const aggregate = content?.experiments.get(ref.experiment);
      // The very same events are in place: this commit was made already, and its answer was lost.
      if (aggregate !== undefined && eventAt(aggregate, storable.head.seq)?.hash === storable.head.hash)
        return { ok: true };
      const conflict = conflictOf(aggregate, content?.claims ?? new Map(), ref.experiment, storable);
      if (conflict !== null) return conflict;
      refusePersonalClash(aggregate, storable.personal);
      write(ref, storable);
      return { ok: true };
    },

    async history(ref, query) {
      const { after, limit, types, version } = storableHistoryQuery(ref, query);
      const aggregate = aggregateOf(ref);
      if (aggregate === undefined) return { events: [], next: null, people: new Map() };
      const found = aggregate.events
        .slice(Math.max(0, after + 1 - (aggregate.events[0]?.seq ?? 1)))
        .filter((event) => (types?.includes(event.type) ?? true) && (version === null || event.version === version));
      const rows = found.slice(0, limit);
      return {
        events: rows.map(({ text }) => readEvent(text)),
        next: found.length > limit ? (rows.at(-1)?.seq ?? null) : null,
        people: peopleAmong(
          aggregate,
          rows.flatMap(({ people }) => people),
        ),
      };
    },

    async list(scope, query) {
      const { after, limit, states, surface } = storableListQuery(scope, query);
      const { tenant, environment } = scope;
      const content = contentOf(scope);
      if (content === undefined) return { items: [], next: null };
      const holder = surface === null ? undefined : content.claims.get(surfaceClaim(surface));
      const found = [...content.experiments]
        .filter(
          ([name, { snapshot }]) =>
            byCodePoint(name, after) > 0 &&
            (surface === null || name === holder) &&
            (states?.includes(snapshot.lifecycle) ?? true),
        )
        .toSorted(([left], [right]) => byCodePoint(left, right));
      const rows = found.slice(0, limit);
      return {
        items: rows.map(([experiment, { snapshot }]) => ({
          ref: { tenant, environment, experiment },
          snapshot: readSnapshot(snapshot),
        })),
        next: found.length > limit ? (rows.at(-1)?.[0] ?? null) : null,
      };
    },

    async rules(ref, query) {
      const { rows, next } = pageOf(aggregateOf(ref)?.rules, storablePageQuery(ref, query));
      return { rules: rows.map(([digest, text]) => ({ digest, text })), next };
    },

    async personal(ref, query) {
      const { refs, ...page } = storablePersonalQuery(ref, query);
      const kept = aggregateOf(ref)?.personal;
      const wanted = refs === null ? kept : new Map([...(kept ?? [])].filter(([key]) => refs.includes(key)));
      const { rows, next } = pageOf(wanted, page);
      return { values: rows.map(([, value]) => ({ ...value })), next };
    },

    async erase(ref, refs) {
      const erased = storableRefs(ref, refs);
      const aggregate = aggregateOf(ref);
      if (aggregate === undefined) return;
      for (const personal of erased) {
        const row = aggregate.personal.get(personal);
        aggregate.personal.delete(personal);
        if (row?.kind === "actor") aggregate.actors.delete(row.value);
      }
      aggregate.receipts.clear();
    },

    async archive(ref, checkpoint) {
      checkCheckpoint(ref, checkpoint);
      const aggregate = aggregateOf(ref);
      const { seq, hash, text, signature } = checkpoint;
      if (aggregate === undefined || eventAt(aggregate, seq)?.hash !== hash) return false;
      if (aggregate.checkpoint?.seq !== seq) aggregate.checkpoint = { seq, hash, text, signature: { ...signature } };
      aggregate.events = aggregate.events.filter((event) => event.seq >= seq);
      return true;
    },

    async checkpoint(ref) {
      checkRef(ref);
      const found = aggregateOf(ref)?.checkpoint ?? null;
      return found === null ? null : { ...found, signature: { ...found.signature } };
    },

    async receipts(ref, query) {
      const { now, ...page } = storableReceiptsQuery(ref, query);
      const kept = [...(aggregateOf(ref)?.receipts ?? [])].filter(([, { expiresAt }]) => expiresAt > now);
      const { rows, next } = pageOf(new Map(kept), page);
      return { receipts: rows.map(([, receipt]) => readReceipt(receipt)), next };
    },

    async keepReceipts(ref, receipts) {
      const kept = storableReceipts(ref, receipts);
      const known = aggregateOf(ref)?.receipts;
      for (const receipt of kept)
        if (receipt.expiresAt > (known?.get(receipt.key)?.expiresAt ?? -Infinity)) known?.set(receipt.key, receipt);
    },

    async sweep(ref, now) {
      checkRef(ref);
      const time = parseTime("/now", now);
      const receipts = aggregateOf(ref)?.receipts ?? new Map<string, StorableReceipt>();
      for (const [key, { expiresAt }] of receipts) if (expiresAt <= time) receipts.delete(key);
    },

    async positions(ref) {
      checkRef(ref);
      return new Map(delivered.get(refKey(ref)));
    },

    async advance(ref, subscriber, seq) {
      checkPosition(ref, subscriber, seq);
      const positions = delivered.get(refKey(ref)) ?? new Map<string, number>();
      positions.set(subscriber, Math.max(seq, positions.get(subscriber) ?? 0));
      delivered.set(refKey(ref), positions);
    },

    async check() {
      // There is nothing that could be away.
    },
  };
};
