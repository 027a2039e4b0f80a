/**
 * A store on PostgreSQL, over a client of the `postgres` package or one that looks like it; through Hyperdrive, too. Every
 * operation is one statement, so one transaction and one round trip (a client that has not prepared the statement yet asks
 * for its types first, which is one more). The schema in `migrations/postgres/` refuses what must not be.
 */
import * as v from "valibot";
import { ProvisoError } from "../../src/errors.ts";
import { storableCommit, storableReceipts } from "../../src/governance/storable-commit.ts";
import {
  checkCheckpoint,
  checkPosition,
  storableHistoryQuery,
  storableListQuery,
  storableLoad,
  storablePageQuery,
  storablePersonalQuery,
  storableReceiptsQuery,
  storableRefs,
} from "../../src/governance/storable-query.ts";
import { checkRef, parseTime } from "../../src/governance/store-door.ts";
import type { CommitResult, GovernanceStore } from "../../src/governance/store.ts";
import {
  ArchivedRow,
  CheckpointRow,
  EventRow,
  LoadedRow,
  OutcomeRow,
  PersonalRow,
  PositionRow,
  postgresQueries,
  type Query,
  ReceiptRow,
  RuleRow,
  schemaVersion,
  SnapshotRow,
  VersionRow,
} from "./postgres-queries.ts";

/** The part of a client of the `postgres` package that the store uses. */
export interface PostgresClientLike {
  unsafe(
    sql: string,
    parameters?: (string | number | null)[],
    options?: { readonly prepare?: boolean },
  ): PromiseLike<readonly unknown[]>;
  end?(options?: { readonly timeout?: number }): Promise<unknown>;
}

interface Common {
  /** The schema that holds the tables. Default: `proviso`. */
  readonly schema?: string;
  /** For health reports. Default: `postgres`. */
  readonly name?: string;
  /**
   * Whether statements are prepared once on each connection, which saves a round trip on all but the first. Default: true.
   * Off for a pool that hands each transaction to another connection and does not know of them (Hyperdrive does).
   */
  readonly prepare?: boolean;
}

export type PostgresStoreOptions = Common &
  (
    | {
        /** Used for everything, and closed by whoever made it. */
        readonly client: PostgresClientLike;
      }
    | {
        /**
         * Makes a client for one operation, which ends it: where a connection must not outlive the request that opened it, as
         * in a Worker outside Durable Objects.
         */
        readonly connect: () => PostgresClientLike | Promise<PostgresClientLike>;
      }
  );

/** Losing a race costs one, by whatever name: a unique violation, a serialisation failure, a deadlock. */
const attemptsMax = 5;

const codeOf = (error: unknown): string =>
  typeof error === "object" && error !== null && "code" in error && typeof error.code === "string" ? error.code : "";

/** The schema, a table or a function of it is not there. */
const isUnmigrated = (cause: unknown): boolean => ["3F000", "42P01", "42883"].includes(codeOf(cause));

/** The database looked at the commit and refused it: a key that another row has (23…), or our own triggers (PV…). */
const isRefusal = (error: unknown): boolean => /^(23|PV)\w{3}$/.test(codeOf(error));

/** Messages are public: what the database said itself stays in `cause`. */
const unavailable = (what: string, cause: unknown): ProvisoError => {
  const hint = isUnmigrated(cause) ? ": its migrations have not been applied" : "";
  return new ProvisoError("store-unavailable", `the store could not ${what}${hint}`, {}, { cause });
};

const isIdentifier = (text: string): boolean => /^[a-z_][a-z0-9_]{0,62}$/.test(text);

const firstOf = <Schema extends v.GenericSchema>(schema: Schema, rows: readonly unknown[]) =>
  v.parse(v.optional(schema), rows[0]);
const pageOf = <Schema extends v.GenericSchema>(schema: Schema, rows: readonly unknown[], limit: number) => {
  const found: v.InferOutput<Schema>[] = v.parse(v.array(schema), rows);
  return { page: found.slice(0, limit), isLast: found.length <= limit };
};

/**
 * A {@link GovernanceStore} on PostgreSQL 14 or newer.
 *
 * @example const store = postgresStore({ client: postgres(process.env.DATABASE_URL) });
 */
export const postgresStore = (options: PostgresStoreOptions): GovernanceStore => {
  const { schema = "proviso", name = "postgres", prepare = true } = options;
  if (!isIdentifier(schema)) throw new TypeError("postgresStore: a schema in small letters, such as proviso");
  const queries = postgresQueries(schema);

  const withClient = async <Answer>(use: (client: PostgresClientLike) => PromiseLike<Answer>): Promise<Answer> => {
    if ("client" in options) return use(options.client);
    const client = await options.connect();
    try {
      return await use(client);
    } finally {
      // Nothing waits for the farewell, and a connection that cannot say it is gone already.
      void client.end?.({ timeout: 1 }).catch(() => undefined);
    }
  };

  const send = ([sql, ...values]: Query): Promise<readonly unknown[]> =>
    withClient((client) => client.unsafe(sql, values, { prepare }));

  /** Reads, and writes that are the same however often they happen. */
  const run = async (what: string, query: Query): Promise<readonly unknown[]> => {
    try {
      return await send(query);
    } catch (cause) {
      throw unavailable(what, cause);
    }
  };

  return {
    name,

    async load(ref, query) {
      const rows = await run("load the experiment", queries.load(ref, storableLoad(ref, query)));
      return firstOf(LoadedRow, rows) ?? null;
    },

    /**
     * The database answers for a commit that it has already, so a lost answer is resolved by asking again: an earlier
     * attempt that is still under way holds its place in the history, and the later one waits for it.
     */
    async commit(ref, wanted): Promise<CommitResult> {
      const commit = storableCommit(ref, wanted);
      const query = queries.commit(ref, commit);
      const causes: unknown[] = [];
      while (causes.length < attemptsMax) {
        try {
          const row = v.parse(OutcomeRow, (await send(query))[0]);
          switch (row.outcome) {
            case "ok":
              return { ok: true };
            case "claimed":
              return { ok: false, conflict: "claimed", claim: row.claim, holder: row.holder };
            case "stale":
              return { ok: false, conflict: commit.isNew ? "exists" : "stale" };
            case "receipt":
              return { ok: false, conflict: "receipt" };
            default:
              return row satisfies never;
          }
        } catch (error) {
          causes.push(error);
          if (isUnmigrated(error)) break;
        }
      }
      const cause = causes.length > 1 ? new AggregateError(causes, String(causes[0])) : causes[0];
      if (causes.every(isRefusal)) throw new ProvisoError("internal", "the store refused the commit", {}, { cause });
      throw unavailable("say what became of the commit", causes.findLast(isUnmigrated) ?? cause);
    },

    async history(ref, query) {
      const storable = storableHistoryQuery(ref, query);
      const rows = await run("read the history", queries.history(ref, storable));
      const { page, isLast } = pageOf(EventRow, rows, storable.limit);
      return {
        events: page.map(({ event }) => event),
        next: isLast ? null : (page.at(-1)?.event.seq ?? null),
        people: new Map(page.flatMap(({ people }) => [...people])),
      };
    },

    async list(scope, query) {
      const { tenant, environment } = scope;
      const storable = storableListQuery(scope, query);
      const rows = await run("list experiments", queries.list(scope, storable));
      const { page, isLast } = pageOf(SnapshotRow, rows, storable.limit);
      return {
        items: page.map(({ experiment, snapshot }) => ({ ref: { tenant, environment, experiment }, snapshot })),
        next: isLast ? null : (page.at(-1)?.experiment ?? null),
      };
    },

    async rules(ref, query) {
      const storable = storablePageQuery(ref, query);
      const { page, isLast } = pageOf(
        RuleRow,
        await run("read the rules", queries.rules(ref, storable)),
        storable.limit,
      );
      return { rules: page, next: isLast ? null : (page.at(-1)?.digest ?? null) };
    },

    async personal(ref, query) {
      const storable = storablePersonalQuery(ref, query);
      const rows = await run("read personal values", queries.personal(ref, storable));
      const { page, isLast } = pageOf(PersonalRow, rows, storable.limit);
      return { values: page, next: isLast ? null : (page.at(-1)?.ref ?? null) };
    },

    async erase(ref, refs) {
      await run("erase personal values", queries.erase(ref, storableRefs(ref, refs)));
    },

    async archive(ref, checkpoint) {
      checkCheckpoint(ref, checkpoint);
      return firstOf(ArchivedRow, await run("archive events", queries.archive(ref, checkpoint)))?.archived ?? false;
    },

    async checkpoint(ref) {
      checkRef(ref);
      return firstOf(CheckpointRow, await run("read the checkpoint", queries.checkpoint(ref))) ?? null;
    },

    async receipts(ref, query) {
      const storable = storableReceiptsQuery(ref, query);
      const rows = await run("read receipts", queries.receipts(ref, storable));
      const { page, isLast } = pageOf(ReceiptRow, rows, storable.limit);
      return { receipts: page, next: isLast ? null : (page.at(-1)?.key ?? null) };
    },

    async keepReceipts(ref, receipts) {
      const kept = storableReceipts(ref, receipts);
      if (kept.length > 0) await run("keep receipts", queries.keepReceipts(ref, kept));
    },

    async sweep(ref, now) {
      checkRef(ref);
      await run("remove expired receipts", queries.sweep(ref, parseTime("/now", now)));
    },

    async positions(ref) {
      checkRef(ref);
      const rows = await run("read positions", queries.positions(ref));
      return new Map(v.parse(v.array(PositionRow), rows).map(({ subscriber, seq }) => [subscriber, seq]));
    },

    async advance(ref, subscriber, seq) {
      checkPosition(ref, subscriber, seq);
      await run("note a position", queries.advance(ref, subscriber, seq));
    },

    async check() {
      const { version = 0 } = firstOf(VersionRow, await run("be read", queries.version())) ?? {};
      if (version === schemaVersion) return;
      const hint = version < schemaVersion ? "older: its migrations have not all been applied" : "newer";
      throw new ProvisoError(
        "store-unavailable",
        `the schema of the store is of version ${version}, and this version of Proviso works with ${schemaVersion}: it is ${hint}`,
      );
    },
  };
};
