/**
 * A store on Cloudflare D1. Every operation is one round trip; a commit is one batch, which D1 runs as a transaction.
 * The schema in `migrations/` refuses what must not be, by its primary keys and triggers; this file asks why.
 */
import { ProvisoError } from "../../src/errors.ts";
import { genesisHead } from "../../src/governance/chain.ts";
import { storableCommit, type StorableCommit } from "../../src/governance/storable-commit.ts";
import {
  checkCheckpoint,
  checkPosition,
  storableHistoryQuery,
  storableListQuery,
  storableLoad,
  storablePageQuery,
  storablePersonalQuery,
  storableRefs,
} from "../../src/governance/storable-query.ts";
import { checkRef, parseTime } from "../../src/governance/store-door.ts";
import type { CommitResult, GovernanceStore } from "../../src/governance/store.ts";
import type { ExperimentRef } from "../../src/scope.ts";
import * as sqlite from "./sqlite.ts";

export interface D1Statement {
  bind(...values: unknown[]): D1Statement;
}

/** The part of Cloudflare's `D1Database` that the store uses. */
export interface D1DatabaseLike {
  prepare(sql: string): D1Statement;
  batch(statements: D1Statement[]): Promise<readonly sqlite.Rows[]>;
}

export interface D1StoreOptions {
  /** The binding, with the migrations applied. */
  readonly database: D1DatabaseLike;
  /** For health reports. Default: `d1`. */
  readonly name?: string;
}

const attemptsMax = 3;

const isMissingTable = (cause: unknown): boolean => cause instanceof Error && cause.message.includes("no such table");

/** Messages are public: what the database said itself stays in `cause`. */
const unavailable = (what: string, cause: unknown): ProvisoError => {
  const hint = isMissingTable(cause) ? ": its migrations have not been applied" : "";
  return new ProvisoError("store-unavailable", `the store could not ${what}${hint}`, {}, { cause });
};

/** The database looked at the statements and refused one: nothing of the batch was written. */
const isRefusal = (error: unknown): boolean =>
  error instanceof Error && /\bproviso:|\bconstraint failed\b|\bSQLITE_CONSTRAINT\b/.test(error.message);

/**
 * A {@link GovernanceStore} on D1.
 *
 * @example const store = d1Store({ database: env.DB });
 */
export const d1Store = (options: D1StoreOptions): GovernanceStore => {
  const { database, name = "d1" } = options;

  const prepared = ([sql, ...values]: sqlite.Query): D1Statement => database.prepare(sql).bind(...values);
  const batch = (queries: readonly sqlite.Query[]): Promise<readonly sqlite.Rows[]> =>
    database.batch(queries.map(prepared));

  /** Reads, and writes that are the same however often they happen. */
  const run = async (what: string, queries: readonly sqlite.Query[]): Promise<readonly sqlite.Rows[]> => {
    try {
      return await batch(queries);
    } catch (cause) {
      throw unavailable(what, cause);
    }
  };

  /** Why a commit failed, as the database stands now; null when nothing stands in its way and it did not happen. */
  const readBack = async (ref: ExperimentRef, commit: StorableCommit): Promise<CommitResult | null> => {
    const [headRows, ownRows, receiptRows, claimRows] = await batch(sqlite.readBackQueries(ref, commit));
    if (sqlite.firstOf(sqlite.HeadRow, ownRows) !== null) return { ok: true };
    if (commit.receipt !== null && sqlite.firstOf(sqlite.ReceiptRow, receiptRows) !== null)
      return { ok: false, conflict: "receipt" };
    const head = sqlite.firstOf(sqlite.HeadRow, headRows) ?? genesisHead;
    if (head.seq !== commit.expect.seq || head.hash !== commit.expect.hash)
      return { ok: false, conflict: commit.isNew ? "exists" : "stale" };
    const claimed = sqlite.firstOf(sqlite.ClaimRow, claimRows);
    return claimed === null ? null : { ok: false, conflict: "claimed", ...claimed };
  };

  /** A batch whose answer is lost may still be under way, so one look that finds nothing does not settle it. */
  const readBackTwice = async (ref: ExperimentRef, commit: StorableCommit): Promise<CommitResult | null> => {
    try {
      const result = await readBack(ref, commit);
      if (result !== null) return result;
    } catch {
      // The second look says why, if it fails too.
    }
    return readBack(ref, commit);
  };

  const explain = async (ref: ExperimentRef, commit: StorableCommit, cause: unknown): Promise<CommitResult | null> => {
    try {
      return await readBackTwice(ref, commit);
    } catch (readBackError) {
      throw unavailable("say what became of the commit", new AggregateError([cause, readBackError], String(cause)));
    }
  };

  return {
    name,

    async load(ref, query) {
      const { receipt, actor, now } = storableLoad(ref, query);
      const [snapshotRows, headRows, peopleRows, ...asked] = await run("load the experiment", [
        sqlite.snapshotQuery(ref),
        sqlite.headQuery(ref),
        sqlite.snapshotPeopleQuery(ref),
        ...(receipt === null ? [] : [sqlite.receiptQuery(ref, receipt, now)]),
        ...(actor === null ? [] : [sqlite.actorQuery(ref, actor)]),
      ]);
      const snapshot = sqlite.firstOf(sqlite.SnapshotRow, snapshotRows)?.snapshot;
      const head = sqlite.firstOf(sqlite.HeadRow, headRows);
      if (snapshot === undefined || head === null) return null;
      return {
        snapshot,
        head,
        receipt: receipt === null ? null : sqlite.firstOf(sqlite.ReceiptRow, asked[0]),
        actor: actor === null ? null : (sqlite.firstOf(sqlite.RefRow, asked.at(-1))?.ref ?? null),
        people: new Map(sqlite.rowsOf(sqlite.PersonRow, peopleRows).map(({ ref: person, value }) => [person, value])),
      };
    },

    async commit(ref, wanted) {
      const commit = storableCommit(ref, wanted);
      let refusal: unknown;
      for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
        try {
          await batch(sqlite.commitQueries(ref, commit));
          return { ok: true };
        } catch (error) {
          const result = await explain(ref, commit, error);
          if (result !== null) return result;
          if (!isRefusal(error)) throw unavailable("say what became of the commit", error);
          // What stood in the way is gone again (a claim was released meanwhile): nothing was written, so try again.
          refusal = error;
        }
      }
      throw new ProvisoError("internal", "the store refused the commit", {}, { cause: refusal });
    },

    async history(ref, query) {
      const storable = storableHistoryQuery(ref, query);
      const [rows] = await run("read the history", [sqlite.historyQuery(ref, storable)]);
      const found = sqlite.rowsOf(sqlite.EventRow, rows);
      const page = found.slice(0, storable.limit);
      return {
        events: page.map(({ event }) => event),
        next: found.length > page.length ? (page.at(-1)?.event.seq ?? null) : null,
        people: new Map(page.flatMap(({ people }) => people)),
      };
    },

    async list(scope, query) {
      const { tenant, environment } = scope;
      const storable = storableListQuery(scope, query);
      const [rows] = await run("list experiments", [sqlite.listQuery(scope, storable)]);
      const found = sqlite.rowsOf(sqlite.SnapshotRow, rows);
      const page = found.slice(0, storable.limit);
      return {
        items: page.map(({ experiment, snapshot }) => ({ ref: { tenant, environment, experiment }, snapshot })),
        next: found.length > page.length ? (page.at(-1)?.experiment ?? null) : null,
      };
    },

    async rules(ref, query) {
      const storable = storablePageQuery(ref, query);
      const [rows] = await run("read the rules", [sqlite.rulesQuery(ref, storable)]);
      const found = sqlite.rowsOf(sqlite.RuleRow, rows);
      const page = found.slice(0, storable.limit);
      return { rules: page, next: found.length > page.length ? (page.at(-1)?.digest ?? null) : null };
    },

    async personal(ref, query) {
      const storable = storablePersonalQuery(ref, query);
      const [rows] = await run("read personal values", [sqlite.personalQuery(ref, storable)]);
      const found = sqlite.rowsOf(sqlite.PersonalRow, rows);
      const page = found.slice(0, storable.limit);
      return { values: page, next: found.length > page.length ? (page.at(-1)?.ref ?? null) : null };
    },

    async erase(ref, refs) {
      await run("erase personal values", sqlite.eraseQueries(ref, storableRefs(ref, refs)));
    },

    async archive(ref, checkpoint) {
      checkCheckpoint(ref, checkpoint);
      const [, , rows] = await run("archive events", sqlite.archiveQueries(ref, checkpoint));
      return sqlite.firstOf(sqlite.CheckpointRow, rows) !== null;
    },

    async checkpoint(ref) {
      checkRef(ref);
      const [rows] = await run("read the checkpoint", [sqlite.checkpointQuery(ref)]);
      return sqlite.firstOf(sqlite.CheckpointRow, rows);
    },

    async sweep(ref, now) {
      checkRef(ref);
      await run("remove expired receipts", [sqlite.sweepQuery(ref, parseTime("/now", now))]);
    },

    async positions(ref) {
      checkRef(ref);
      const [rows] = await run("read positions", [sqlite.positionsQuery(ref)]);
      return new Map(sqlite.rowsOf(sqlite.PositionRow, rows).map(({ subscriber, seq }) => [subscriber, seq]));
    },

    async advance(ref, subscriber, seq) {
      checkPosition(ref, subscriber, seq);
      await run("note a position", [sqlite.advanceQuery(ref, subscriber, seq)]);
    },

    async check() {
      await run("be read", [["SELECT 1 FROM snapshots LIMIT 1"]]);
    },
  };
};
