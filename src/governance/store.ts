/**
 * The port for governance stores. An adapter is one file in `adapters/store/`, and passes
 * `test/conformance/store.suite.ts`: the guarantees below are the suite's cases.
 */
import type { ExperimentRef, Scope } from "../scope.ts";
import type { LifecycleState } from "../lifecycle.ts";
import type { EventRecord, EventType, PersonalRef } from "./events.ts";
import type { ExperimentState } from "./state.ts";

/** Where a history ends. */
export interface Head {
  readonly seq: number;
  readonly hash: string;
  /** ISO 8601; when that event happened. Every store gives it with what it loads, so that time never goes back. */
  readonly at?: string;
}

/** A personal value beside the chain. Erasing the row leaves the chain whole and the reference meaningless. */
export interface PersonalValue {
  readonly ref: PersonalRef;
  /** `actor` values are looked up by value, so that one person has one reference in one experiment. */
  readonly kind: "actor" | "text";
  readonly salt: string;
  readonly value: string;
}

/**
 * The gates and policies behind a `policySetDigest` or `approvedUnder` of an event, kept so that every decision can be
 * traced to the rules that were in force when it fell.
 */
export interface RuleSet {
  /** SHA-256, hex, of {@link RuleSet.text}. */
  readonly digest: string;
  /** Canonical JSON of `{ kind, gates, policies }`. */
  readonly text: string;
}

/** The state of an experiment as stored, and what else the ETag and the listing need. */
export interface Snapshot {
  readonly state: ExperimentState;
  /** Rises by one with every change of the state; a recorded denial does not change it. */
  readonly revision: number;
  /** Hash of the event that made this revision: with `revision` it is the ETag. */
  readonly revisionHash: string;
}

/** The answer to a command, kept under its idempotency key for {@link Receipt.expiresAt}. */
export interface Receipt {
  /** SHA-256 of principal and idempotency key: a key belongs to one principal and one experiment. */
  readonly key: string;
  /** SHA-256 of what was asked. The same key with another fingerprint is another request. */
  readonly fingerprint: string;
  /** The stored answer, as JSON text. */
  readonly answer: string;
  /** ISO 8601. */
  readonly expiresAt: string;
}

export interface Loaded {
  readonly snapshot: Snapshot;
  readonly head: Head;
  /** Present when the asked-for key has an unexpired receipt. */
  readonly receipt: Receipt | null;
  /** The asking actor's reference in this experiment, once they have appeared in it. */
  readonly actor: PersonalRef | null;
  /** Values of the references that the snapshot names; an erased one is missing. */
  readonly people: ReadonlyMap<PersonalRef, string>;
}

export interface LoadOptions {
  /** Also look up this receipt. */
  readonly receipt?: string;
  /** Also look up the reference of the actor with this id. */
  readonly actor?: string;
  /** For receipt expiry, ISO 8601. */
  readonly now?: string;
}

/** Everything one decision writes; all of it or nothing. */
export interface Commit {
  /** The head that was decided on, or `new` for an experiment that must not exist yet. */
  readonly expect: Head | "new";
  /** At least one; seq, prevHash and hash already follow on from `expect`. */
  readonly events: readonly EventRecord[];
  /** Absent when the state did not change (a recorded denial). */
  readonly snapshot?: Snapshot;
  /** References that the snapshot names, for {@link Loaded.people}. */
  readonly people?: readonly PersonalRef[];
  readonly personal: readonly PersonalValue[];
  /** Names in the scope that only one experiment may hold. Taking one that this experiment holds already is fine. */
  readonly claims: { readonly take: readonly string[]; readonly release: readonly string[] };
  readonly receipt: Receipt | null;
  /** Definitions that the events name by digest. What the experiment has already is nothing new, and costs little. */
  readonly rules?: readonly RuleSet[];
}

/**
 * `stale`: the head moved. `exists`: expected `new`. `claimed`: another experiment holds a claim. `receipt`: the
 * idempotency key was used meanwhile. Each leaves everything as it was.
 */
export type Conflict =
  | { readonly ok: false; readonly conflict: "stale" | "exists" | "receipt" }
  | { readonly ok: false; readonly conflict: "claimed"; readonly claim: string; readonly holder: string };
export type CommitResult = { readonly ok: true } | Conflict;

export interface HistoryQuery {
  /** Events after this seq; 0 for all. */
  readonly after?: number;
  /** At most 1,000; default 100. */
  readonly limit?: number;
  readonly types?: readonly EventType[];
  /** Only the `VersionWritten` event of this version. */
  readonly version?: number;
}

export interface HistoryPage {
  readonly events: readonly EventRecord[];
  /** Pass as `after` for the next page; null at the end. */
  readonly next: number | null;
  /** Values of the references in these events; erased ones are missing. */
  readonly people: ReadonlyMap<PersonalRef, string>;
  /** Another store than the authority has answered, which may be behind: its name. */
  readonly source?: string;
}

export interface RulesQuery {
  /** Digests after this one; left out, all. */
  readonly after?: string;
  /** At most 100; default 100. */
  readonly limit?: number;
}

export interface RulesPage {
  /** By digest, ascending. */
  readonly rules: readonly RuleSet[];
  /** Pass as `after` for the next page; null at the end. */
  readonly next: string | null;
}

export interface ReceiptsQuery {
  /** Keys after this one; left out, all. */
  readonly after?: string;
  /** ISO 8601; receipts that end no later are left out. Without a time none is. */
  readonly now?: string;
  /** At most 100; default 100. */
  readonly limit?: number;
}

export interface ReceiptsPage {
  /** By key, ascending in code point order. */
  readonly receipts: readonly Receipt[];
  /** Pass as `after` for the next page; null at the end. */
  readonly next: string | null;
}

export interface PersonalQuery {
  /** Only these, at most 1,000. */
  readonly refs?: readonly PersonalRef[];
  /** References after this one; left out, all. */
  readonly after?: PersonalRef;
  /** At most 100; default 100. */
  readonly limit?: number;
}

export interface PersonalPage {
  /** By reference, ascending in code point order. */
  readonly values: readonly PersonalValue[];
  /** Pass as `after` for the next page; null at the end. */
  readonly next: PersonalRef | null;
}

/** An Ed25519 signature, and the name of the key that made it. */
export interface Signature {
  readonly keyId: string;
  /** 64 bytes as base64url without padding. */
  readonly value: string;
}

/**
 * A signed place in a history: the events before it may be archived elsewhere and removed. The event at the place stays,
 * so that the chain goes on from it.
 */
export interface Checkpoint {
  readonly seq: number;
  /** Hash of the event at that place. */
  readonly hash: string;
  /** Canonical JSON of what is signed; it holds the state after that event, so that the past can be rebuilt from here. */
  readonly text: string;
  readonly signature: Signature;
}

export interface ListQuery {
  readonly states?: readonly LifecycleState[];
  /** Only holders of this surface. */
  readonly surface?: string;
  /** From the last page's `next`. */
  readonly cursor?: string;
  /** At most 1,000; default 100. */
  readonly limit?: number;
}

export interface ListPage {
  /** By name, ascending in code point order. */
  readonly items: readonly { readonly ref: ExperimentRef; readonly snapshot: Snapshot }[];
  readonly next: string | null;
  /** Another store than the authority has answered, which may be behind: its name. */
  readonly source?: string;
}

export interface GovernanceStore {
  /** A short name for health reports, e.g. `memory` or `d1`. */
  readonly name: string;
  /** One consistent reading of one experiment in one round trip; null when it does not exist. */
  load(ref: ExperimentRef, options?: LoadOptions): Promise<Loaded | null>;
  /**
   * Writes everything or nothing, and refuses a stale or second create by itself.
   *
   * @throws ProvisoError `store-unavailable` when the outcome could not be learned even by reading back
   * @throws ProvisoError `invalid-request` for what this store cannot hold (too large, unstorable text)
   */
  commit(ref: ExperimentRef, commit: Commit): Promise<CommitResult>;
  /** Events in order of seq. Unknown experiments have an empty history. */
  history(ref: ExperimentRef, query?: HistoryQuery): Promise<HistoryPage>;
  list(scope: Scope, query?: ListQuery): Promise<ListPage>;
  /** What {@link Commit.rules} have left. Unknown experiments have none. */
  rules(ref: ExperimentRef, query?: RulesQuery): Promise<RulesPage>;
  /** Every personal value of an experiment, for exports and for finding what is to be erased. */
  personal(ref: ExperimentRef, query?: PersonalQuery): Promise<PersonalPage>;
  /**
   * Removes these personal values, at most 1,000 in one call, and the receipts of the experiment, whose answers may
   * repeat them. Events and snapshot keep the references, which then mean nothing. Doing it again changes nothing.
   */
  erase(ref: ExperimentRef, refs: readonly PersonalRef[]): Promise<void>;
  /**
   * Keeps a checkpoint and removes the events before it. Nothing else ever removes an event, and no checkpoint is ever
   * changed or removed. The same again changes nothing. Whoever calls it has the events elsewhere, and has checked the
   * signature: a store cannot.
   *
   * @returns false when the history has no such event, or a later checkpoint already; then nothing was done
   */
  archive(ref: ExperimentRef, checkpoint: Checkpoint): Promise<boolean>;
  /** The latest checkpoint; the history of an experiment that has one begins with the event at its place. */
  checkpoint(ref: ExperimentRef): Promise<Checkpoint | null>;
  /** Every receipt of an experiment, for a store that follows this one. Unknown experiments have none. */
  receipts(ref: ExperimentRef, query?: ReceiptsQuery): Promise<ReceiptsPage>;
  /**
   * Keeps answers that another store has given for commits which this one has too, at most 100 in one call. Under a key
   * that has a receipt already, the one that ends later stays. Doing it again changes nothing, and an experiment that is
   * unknown here stays so.
   */
  keepReceipts(ref: ExperimentRef, receipts: readonly Receipt[]): Promise<void>;
  /** Removes receipts that have expired by `now` (ISO 8601). Commits do so too, but not every experiment has another. */
  sweep(ref: ExperimentRef, now: string): Promise<void>;
  /** How far each subscriber has been served: the log is the outbox, and what lies behind a position is undelivered. */
  positions(ref: ExperimentRef): Promise<ReadonlyMap<string, number>>;
  /**
   * Notes that everything up to `seq` has been delivered to a subscriber. Never goes back, whoever comes late. It is
   * not compared with the head: whoever delivered knows what was delivered.
   */
  advance(ref: ExperimentRef, subscriber: string, seq: number): Promise<void>;
  /**
   * Resolves when the store can be read; rejects with the reason when it cannot, or when it may lose what it holds.
   *
   * @returns what could not be found out, in sentences for whoever runs the deployment
   */
  check(): Promise<void | readonly string[]>;
}

const surfacePrefix = "surface:";

/** The claim name of a surface. Claims of different kinds share one table, so each kind has its prefix. */
export const surfaceClaim = (surface: string): string => `${surfacePrefix}${surface}`;

/** The surfaces among an experiment's claims. */
export const surfacesOf = (claims: readonly string[]): readonly string[] =>
  claims.filter((claim) => claim.startsWith(surfacePrefix)).map((claim) => claim.slice(surfacePrefix.length));
