/** What is asked of a store, checked and with its defaults: every adapter reads the same question. */
import type { LifecycleState } from "../lifecycle.ts";
import { limits } from "../limits.ts";
import type { ExperimentRef, Scope } from "../scope.ts";
import type { EventType } from "./events.ts";
import { checkRef, checkScope, parseTime, refusal, refuseUnstorable } from "./store-door.ts";
import type { HistoryQuery, ListQuery, LoadOptions } from "./store.ts";

const pageRowsDefault = 100;

const pageLimit = (limit = pageRowsDefault): number => {
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > limits.pageRows)
    throw refusal("/limit", `a whole number from 1 to ${limits.pageRows}`);
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
