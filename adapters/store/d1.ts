/**
 * A store on Cloudflare D1. Every operation is one round trip; a commit is one batch, which D1 runs as a transaction.
 * The schema in `migrations/` refuses what must not be, by its primary keys and triggers; this file asks why.
 */
import { ProvisoError } from "../../src/errors.ts";
import { storableCommit, type StorableCommit } from "../../src/governance/storable-commit.ts";
import type { CommitResult, GovernanceStore } from "../../src/governance/store.ts";
import type { ExperimentRef } from "../../src/scope.ts";
import * as sqlite from "./sqlite.ts";
import { readBackResult, sqliteReads } from "./sqlite-reads.ts";

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
  /** Looked at with the first batch that succeeds, and not again while this store lives. */
  let isSchemaKnown = false;

  const batch = async (queries: readonly sqlite.Query[]): Promise<readonly sqlite.Rows[]> => {
    if (isSchemaKnown) return database.batch(queries.map(prepared));
    try {
      const [, ...answers] = await database.batch([sqlite.schemaGuard, ...queries].map(prepared));
      isSchemaKnown = true;
      return answers;
    } catch (error) {
      if (sqlite.isSchemaRefusal(error)) await refuseOtherSchema();
      throw error;
    }
  };

  const refuseOtherSchema = async (): Promise<void> => {
    const [rows] = await database.batch([prepared(sqlite.schemaVersionQuery)]);
    const found = sqlite.firstOf(sqlite.VersionRow, rows)?.version ?? 0;
    if (found > sqlite.schemaVersion) throw sqlite.schemaTooNew(found, sqlite.schemaVersion);
    if (found < sqlite.schemaVersion)
      throw new ProvisoError(
        "store-unavailable",
        `the database has schema version ${found}, and this version of Proviso needs ${sqlite.schemaVersion}: migrations have not been applied`,
      );
  };

  /** Reads, and writes that are the same however often they happen. */
  const run = async (what: string, queries: readonly sqlite.Query[]): Promise<readonly sqlite.Rows[]> => {
    try {
      return await batch(queries);
    } catch (cause) {
      throw cause instanceof ProvisoError ? cause : unavailable(what, cause);
    }
  };

  /** Why a commit failed, as the database stands now; null when nothing stands in its way and it did not happen. */
  const readBack = async (ref: ExperimentRef, commit: StorableCommit): Promise<CommitResult | null> =>
    readBackResult(commit, await batch(sqlite.readBackQueries(ref, commit)));

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

    ...sqliteReads(run),

    async commit(ref, wanted) {
      const commit = storableCommit(ref, wanted);
      let refusal: unknown;
      for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
        try {
          await batch(sqlite.commitQueries(ref, commit));
          return { ok: true };
        } catch (error) {
          if (error instanceof ProvisoError) throw error;
          const result = await explain(ref, commit, error);
          if (result !== null) return result;
          if (!isRefusal(error)) throw unavailable("say what became of the commit", error);
          // What stood in the way is gone again (a claim was released meanwhile): nothing was written, so try again.
          refusal = error;
        }
      }
      throw new ProvisoError("internal", "the store refused the commit", {}, { cause: refusal });
    },

    async check() {
      await run("be read", [["SELECT 1 FROM snapshots LIMIT 1"]]);
    },
  };
};
