/** What is asked of a store, checked and with its defaults: every adapter reads the same question. */
import type { LifecycleState } from "../lifecycle.ts";
import { limits } from "../limits.ts";
import type { ExperimentRef, Scope } from "../scope.ts";
import type { EventType, PersonalRef } from "./events.ts";
import {
  checkRef,
  checkScope,
  checkText,
  parseTime,
  refusal,
  refuseLongText,
  refuseUnstorable,
  signaturePattern,
} from "./store-door.ts";
import type {
  Checkpoint,
  HistoryQuery,
  ListQuery,
  LoadOptions,
  PersonalQuery,
  ReceiptsQuery,
  RulesQuery,
} from "./store.ts";

const pageRowsDefault = 100;

const pageLimit = (limit = pageRowsDefault, rowsMax: number = limits.pageRows): number => {
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > rowsMax)
    throw refusal("/limit", `a whole number from 1 to ${rowsMax}`);
  return limit;
};

export interface StorableLoad {
  readonly receipt: string | null;
  readonly actor: string | null;
  /** Milliseconds since the epoch: receipts that end no later are gone. Without a time none is. */
  readonly now: number;
}

/** @throws ProvisoError `invalid-request` */
export const storableLoad = (ref: ExperimentRef, options: LoadOptions = {}): StorableLoad => {
  checkRef(ref);
  const { receipt = null, actor = null, now } = options;
  refuseUnstorable({ receipt, actor });
  return { receipt, actor, now: now === undefined ? 0 : parseTime("/now", now) };
};

export interface StorableHistoryQuery {
  readonly after: number;
  readonly limit: number;
  /** Each once; null for all. */
  readonly types: readonly EventType[] | null;
  readonly version: number | null;
}

/** @throws ProvisoError `invalid-request` */
export const storableHistoryQuery = (ref: ExperimentRef, query: HistoryQuery = {}): StorableHistoryQuery => {
  checkRef(ref);
  const { after = 0, version = null } = query;
  if (!Number.isSafeInteger(after) || after < 0) throw refusal("/after", "a whole number, 0 or more");
  // A version is asked for by its number, and only one kind of event writes one.
  const wanted = version === null ? query.types : (query.types ?? ["VersionWritten"]);
  return { after, limit: pageLimit(query.limit), types: wanted === undefined ? null : [...new Set(wanted)], version };
};

export interface StorableListQuery {
  /** Experiments whose name comes after this one. A name has at least one character, so `""` is before all. */
  readonly after: string;
  readonly limit: number;
  /** Each once; null for all. */
  readonly states: readonly LifecycleState[] | null;
  readonly surface: string | null;
}

/** @throws ProvisoError `invalid-request` */
export const storableListQuery = (scope: Scope, query: ListQuery = {}): StorableListQuery => {
  checkScope(scope);
  const { cursor = "", states, surface = null } = query;
  refuseUnstorable({ cursor, surface });
  return {
    after: cursor,
    limit: pageLimit(query.limit),
    states: states === undefined ? null : [...new Set(states)],
    surface,
  };
};

/** A page of rules or of personal values. */
export interface StorablePageQuery {
  /** `""` is before every key. */
  readonly after: string;
  readonly limit: number;
}

/** @throws ProvisoError `invalid-request` */
export const storablePageQuery = (ref: ExperimentRef, { after = "", limit }: RulesQuery = {}): StorablePageQuery => {
  checkRef(ref);
  refuseUnstorable({ after });
  return { after, limit: pageLimit(limit, limits.heavyPageRows) };
};

export interface StorableReceiptsQuery extends StorablePageQuery {
  /** Like {@link StorableLoad.now}. */
  readonly now: number;
}

/** @throws ProvisoError `invalid-request` */
export const storableReceiptsQuery = (ref: ExperimentRef, query: ReceiptsQuery = {}): StorableReceiptsQuery => ({
  ...storablePageQuery(ref, query),
  now: query.now === undefined ? 0 : parseTime("/now", query.now),
});

/**
 * Each reference once.
 *
 * @throws ProvisoError `invalid-request`
 */
export const storableRefs = (ref: ExperimentRef, refs: readonly PersonalRef[]): readonly PersonalRef[] => {
  checkRef(ref);
  refuseUnstorable({ refs });
  if (refs.length > limits.pageRows) throw refusal("/refs", `${refs.length} references, at most ${limits.pageRows}`);
  return [...new Set(refs)];
};

export interface StorablePersonalQuery extends StorablePageQuery {
  /** Each once; null for all. */
  readonly refs: readonly PersonalRef[] | null;
}

/** @throws ProvisoError `invalid-request` */
export const storablePersonalQuery = (ref: ExperimentRef, query: PersonalQuery = {}): StorablePersonalQuery => ({
  ...storablePageQuery(ref, query),
  refs: query.refs === undefined ? null : storableRefs(ref, query.refs),
});

/** What a checkpoint says besides the state in it. */
const checkpointFrameBytes = 16 * 1024;

/** @throws ProvisoError `invalid-request` */
export const checkCheckpoint = (ref: ExperimentRef, { seq, hash, text, signature }: Checkpoint): void => {
  checkRef(ref);
  refuseUnstorable({ hash, text, keyId: signature.keyId });
  if (!Number.isSafeInteger(seq) || seq < 1) throw refusal("/seq", "a whole number, 1 or more");
  refuseLongText("/text", text, limits.storedTextBytes + checkpointFrameBytes);
  if (signature.keyId.length === 0 || signature.keyId.length > limits.keyIdCharacters)
    throw refusal("/signature/keyId", `1 to ${limits.keyIdCharacters} characters`);
  if (!signaturePattern.test(signature.value)) throw refusal("/signature/value", "64 bytes as base64url");
};

/** @throws ProvisoError `invalid-request` */
export const checkPosition = (ref: ExperimentRef, subscriber: string, seq: number): void => {
  checkRef(ref);
  checkText("/subscriber", subscriber);
  if (!Number.isSafeInteger(seq) || seq < 1) throw refusal("/seq", "a whole number, 1 or more");
};
