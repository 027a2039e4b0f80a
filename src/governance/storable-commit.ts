/** A commit, checked and in the form in which it is kept: canonical text, and the few members a store searches by. */
import { canonicalJson, sha256Hex } from "../canonical.ts";
import type { LifecycleState } from "../lifecycle.ts";
import { limits } from "../limits.ts";
import type { ExperimentRef } from "../scope.ts";
import { genesisHead } from "./chain.ts";
import { referencesIn } from "./event-references.ts";
import type { EventRecord, EventType, PersonalRef } from "./events.ts";
import { peopleOf } from "./state.ts";
import { checkRef, parseTime, refusal, refuseLongText, refuseUnstorable } from "./store-door.ts";
import type { Commit, Head, PersonalValue, Receipt, RuleSet, Snapshot } from "./store.ts";

export interface StorableEvent {
  readonly seq: number;
  readonly type: EventType;
  readonly at: string;
  readonly prevHash: string;
  readonly hash: string;
  /** The version that this event wrote, where it wrote one. */
  readonly version: number | null;
  /** References to personal values in this event, each once. */
  readonly people: readonly PersonalRef[];
  readonly text: string;
}

export interface StorableSnapshot {
  readonly lifecycle: LifecycleState;
  readonly revision: number;
  readonly revisionHash: string;
  readonly people: readonly PersonalRef[];
  readonly createdAt: string;
  readonly updatedAt: string;
  readonly text: string;
}

/** A {@link Receipt} with its end in ms since the epoch: two texts of one time can differ, and compare wrongly. */
export type StorableReceipt = Omit<Receipt, "expiresAt"> & { readonly expiresAt: number };

export interface StorableCommit {
  /** True for an experiment that must not exist yet; `expect` then has seq 0. */
  readonly isNew: boolean;
  readonly expect: Head;
  readonly events: readonly StorableEvent[];
  /** Where the history ends afterwards. A history that has it in its place has the whole commit. */
  readonly head: Head;
  /** When the commit happens, in ms since the epoch: receipts that end no later are gone. */
  readonly now: number;
  readonly snapshot: StorableSnapshot | null;
  /** Each row once. */
  readonly personal: readonly PersonalValue[];
  /** Released first, then taken; each name once. */
  readonly release: readonly string[];
  readonly take: readonly string[];
  readonly receipt: StorableReceipt | null;
  /** Each digest once. */
  readonly rules: readonly RuleSet[];
}

/** A commit that no input could lead to: its maker is wrong, not what the maker was given. */
const malformed = (message: string): TypeError => new TypeError(`commit: ${message}`);

const storableEvents = (events: readonly EventRecord[], expect: Head): readonly StorableEvent[] => {
  if (events.length > limits.commitEvents)
    throw refusal("/events", `${events.length} events, at most ${limits.commitEvents}`);
  let last: Head = expect;
  return events.map((event, index) => {
    if (event.seq !== last.seq + 1 || event.prevHash !== last.hash)
      throw malformed(`event ${event.seq} does not follow on from event ${last.seq}`);
    last = event;
    const text = canonicalJson(event);
    refuseLongText(`/events/${index}`, text, limits.storedTextBytes);
    return {
      seq: event.seq,
      type: event.type,
      at: event.at,
      prevHash: event.prevHash,
      hash: event.hash,
      version: event.type === "VersionWritten" ? event.data.version : null,
      people: referencesIn(event),
      text,
    };
  });
};

const storableSnapshot = (snapshot: Snapshot, people: readonly PersonalRef[]): StorableSnapshot => {
  const text = canonicalJson(snapshot.state);
  refuseLongText("/snapshot/state", text, limits.storedTextBytes);
  return {
    lifecycle: snapshot.state.lifecycle,
    revision: snapshot.revision,
    revisionHash: snapshot.revisionHash,
    people: [...new Set(people)],
    createdAt: snapshot.state.createdAt,
    updatedAt: snapshot.state.updatedAt,
    text,
  };
};

const storableReceipt = (receipt: Receipt): StorableReceipt => {
  refuseLongText("/receipt/key", receipt.key, limits.claimBytes);
  refuseLongText("/receipt/fingerprint", receipt.fingerprint, limits.claimBytes);
  refuseLongText("/receipt/answer", receipt.answer, limits.storedTextBytes);
  const { key, fingerprint, answer, expiresAt } = receipt;
  return { key, fingerprint, answer, expiresAt: parseTime("/receipt/expiresAt", expiresAt) };
};

/**
 * What `keepReceipts` is given; of two under one key the one that ends later.
 *
 * @throws ProvisoError `invalid-request`
 */
export const storableReceipts = (ref: ExperimentRef, receipts: readonly Receipt[]): readonly StorableReceipt[] => {
  checkRef(ref);
  refuseUnstorable(receipts);
  if (receipts.length > limits.heavyPageRows)
    throw refusal("/receipts", `${receipts.length} receipts, at most ${limits.heavyPageRows}`);
  const byKey = new Map<string, StorableReceipt>();
  for (const one of receipts.map(storableReceipt))
    if (one.expiresAt > (byKey.get(one.key)?.expiresAt ?? -Infinity)) byKey.set(one.key, one);
  return [...byKey.values()];
};

/** The way back, for adapters. */
export const readReceipt = ({ key, fingerprint, answer, expiresAt }: StorableReceipt): Receipt => ({
  key,
  fingerprint,
  answer,
  expiresAt: new Date(expiresAt).toISOString(),
});

const storablePersonal = (personal: readonly PersonalValue[]): readonly PersonalValue[] => {
  for (const [index, { value }] of personal.entries())
    refuseLongText(`/personal/${index}/value`, value, limits.metadataBytes);
  refuseLongText("/personal", canonicalJson(personal), limits.storedTextBytes);
  return [...new Map(personal.map((row) => [canonicalJson(row), row])).values()];
};

const storableRules = (rules: readonly RuleSet[]): readonly RuleSet[] => {
  if (rules.length > limits.commitRules)
    throw refusal("/rules", `${rules.length} rules, at most ${limits.commitRules}`);
  for (const [index, { digest, text }] of rules.entries()) {
    refuseLongText(`/rules/${index}/text`, text, limits.storedTextBytes);
    if (sha256Hex(text) !== digest) throw malformed(`rules whose text is not what ${digest} is the digest of`);
  }
  return [...new Map(rules.map(({ digest, text }) => [digest, { digest, text }])).values()];
};

const storableClaims = (path: string, names: readonly string[]): readonly string[] => {
  if (names.length > limits.commitClaims) throw refusal(path, `${names.length} names, at most ${limits.commitClaims}`);
  for (const [index, name] of names.entries()) refuseLongText(`${path}/${index}`, name, limits.claimBytes);
  refuseLongText(path, canonicalJson(names), limits.storedTextBytes);
  return [...new Set(names)];
};

/**
 * Checks a commit and brings it into the form in which it is kept.
 *
 * @throws ProvisoError `invalid-request` for what no store can hold, with its JSON Pointer under `errors`
 * @throws TypeError for a commit that contradicts itself
 */
export const storableCommit = (ref: ExperimentRef, commit: Commit): StorableCommit => {
  checkRef(ref);
  refuseUnstorable(commit);
  const { snapshot, receipt } = commit;
  const isNew = commit.expect === "new";
  if (isNew && snapshot === undefined) throw malformed("a new experiment without a snapshot");
  if (snapshot !== undefined && snapshot.state.name !== ref.experiment)
    throw malformed(`the state of ${snapshot.state.name} under the name ${ref.experiment}`);
  const expect = commit.expect === "new" ? genesisHead : commit.expect;
  if (expect.seq === 0 && !isNew) throw malformed("no event has seq 0");
  const events = storableEvents(commit.events, expect);
  const last = events.at(-1);
  if (last === undefined) throw malformed("without an event");
  return {
    isNew,
    expect,
    events,
    head: { seq: last.seq, hash: last.hash, at: last.at },
    now: parseTime(`/events/${events.length - 1}/at`, last.at),
    snapshot: snapshot === undefined ? null : storableSnapshot(snapshot, commit.people ?? peopleOf(snapshot.state)),
    personal: storablePersonal(commit.personal),
    release: storableClaims("/claims/release", commit.claims.release),
    take: storableClaims("/claims/take", commit.claims.take),
    receipt: receipt === null ? null : storableReceipt(receipt),
    rules: storableRules(commit.rules ?? []),
  };
};
