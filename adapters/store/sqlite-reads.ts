/** Everything but commit, the same for every adapter that speaks the SQLite schema: questions, and what the rows say. */
import { type StorableCommit, storableReceipts } from "../../src/governance/storable-commit.ts";
import {
  checkCheckpoint,
  checkPosition,
  storableHistoryQuery,
  type StorableListQuery,
  storableListQuery,
  storableLoad,
  storablePageQuery,
  storablePersonalQuery,
  storableReceiptsQuery,
  storableRefs,
} from "../../src/governance/storable-query.ts";
import { genesisHead } from "../../src/governance/chain.ts";
import { checkRef, parseTime } from "../../src/governance/store-door.ts";
import type {
  Checkpoint,
  CommitResult,
  HistoryPage,
  HistoryQuery,
  ListPage,
  ListQuery,
  Loaded,
  LoadOptions,
  PersonalPage,
  PersonalQuery,
  Receipt,
  ReceiptsPage,
  ReceiptsQuery,
  RulesPage,
  RulesQuery,
} from "../../src/governance/store.ts";
import type { PersonalRef } from "../../src/governance/events.ts";
import type { ExperimentRef, Scope } from "../../src/scope.ts";
import * as sqlite from "./sqlite.ts";

/**
 * Runs the statements as one transaction, in one round trip.
 *
 * @param what for the message of a failure: the store could not …
 */
export type Run = (what: string, queries: readonly sqlite.Query[]) => Promise<readonly sqlite.Rows[]>;

export interface SqliteReads {
  load(ref: ExperimentRef, options?: LoadOptions): Promise<Loaded | null>;
  history(ref: ExperimentRef, query?: HistoryQuery): Promise<HistoryPage>;
  list(scope: Scope, query?: ListQuery): Promise<ListPage>;
  rules(ref: ExperimentRef, query?: RulesQuery): Promise<RulesPage>;
  personal(ref: ExperimentRef, query?: PersonalQuery): Promise<PersonalPage>;
  erase(ref: ExperimentRef, refs: readonly PersonalRef[]): Promise<void>;
  archive(ref: ExperimentRef, checkpoint: Checkpoint): Promise<boolean>;
  checkpoint(ref: ExperimentRef): Promise<Checkpoint | null>;
  receipts(ref: ExperimentRef, query?: ReceiptsQuery): Promise<ReceiptsPage>;
  keepReceipts(ref: ExperimentRef, receipts: readonly Receipt[]): Promise<void>;
  sweep(ref: ExperimentRef, now: string): Promise<void>;
  positions(ref: ExperimentRef): Promise<ReadonlyMap<string, number>>;
  advance(ref: ExperimentRef, subscriber: string, seq: number): Promise<void>;
}

/** An answer of a Durable Object may be 32 MiB, and a character takes up to two bytes in it. */
export const answerCharactersMax = 8_000_000;

const charactersOf = (row: unknown): number =>
  typeof row === "object" && row !== null
    ? Object.values(row).reduce<number>((sum, value) => sum + (typeof value === "string" ? value.length : 8), 0)
    : 0;

/** The rows of a page: at most so many, and only so much text, but always one. Statements ask for one row too many. */
const firstRows = (rows: sqlite.Rows | undefined, limit: number, charactersMax: number) => {
  const found = rows?.results ?? [];
  let characters = 0;
  let count = 0;
  for (const row of found) {
    characters += charactersOf(row);
    if (count === limit || (count > 0 && characters > charactersMax)) break;
    count += 1;
  }
  return { rows: { results: found.slice(0, count) }, more: found.length > count };
};

/** @param charactersMax how much text one page may carry; it then ends earlier, with a `next` */
export const listPage = (
  { tenant, environment }: Scope,
  { limit }: StorableListQuery,
  found: sqlite.Rows | undefined,
  charactersMax = Number.POSITIVE_INFINITY,
): ListPage => {
  const { rows, more } = firstRows(found, limit, charactersMax);
  const page = sqlite.rowsOf(sqlite.SnapshotRow, rows);
  return {
    items: page.map(({ experiment, snapshot }) => ({ ref: { tenant, environment, experiment }, snapshot })),
    next: more ? (page.at(-1)?.experiment ?? null) : null,
  };
};

/**
 * Why a commit failed, as the database stands now, from the answers to `readBackQueries`: what stands in its way, or that
 * it has happened; null when nothing stands in its way and it has not.
 */
export const readBackResult = (commit: StorableCommit, answers: readonly sqlite.Rows[]): CommitResult | null => {
  const [headRows, ownRows, receiptRows, claimRows] = answers;
  if (sqlite.firstOf(sqlite.HeadRow, ownRows) !== null) return { ok: true };
  if (commit.receipt !== null && sqlite.firstOf(sqlite.ReceiptRow, receiptRows) !== null)
    return { ok: false, conflict: "receipt" };
  const head = sqlite.firstOf(sqlite.HeadRow, headRows) ?? genesisHead;
  if (head.seq !== commit.expect.seq || head.hash !== commit.expect.hash)
    return { ok: false, conflict: commit.isNew ? "exists" : "stale" };
  const claimed = sqlite.firstOf(sqlite.ClaimRow, claimRows);
  return claimed === null ? null : { ok: false, conflict: "claimed", ...claimed };
};

/** @param charactersMax how much text a page of history may carry, where answers are bounded */
export const sqliteReads = (run: Run, charactersMax = Number.POSITIVE_INFINITY): SqliteReads => ({
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

  async history(ref, query) {
    const storable = storableHistoryQuery(ref, query);
    const [found] = await run("read the history", [sqlite.historyQuery(ref, storable)]);
    const { rows, more } = firstRows(found, storable.limit, charactersMax);
    const page = sqlite.rowsOf(sqlite.EventRow, rows);
    return {
      events: page.map(({ event }) => event),
      next: more ? (page.at(-1)?.event.seq ?? null) : null,
      people: new Map(page.flatMap(({ people }) => people)),
    };
  },

  async list(scope, query) {
    const storable = storableListQuery(scope, query);
    const [found] = await run("list experiments", [sqlite.listQuery(scope, storable)]);
    return listPage(scope, storable, found, charactersMax);
  },

  async rules(ref, query) {
    const storable = storablePageQuery(ref, query);
    const [found] = await run("read the rules", [sqlite.rulesQuery(ref, storable)]);
    const { rows, more } = firstRows(found, storable.limit, charactersMax);
    const page = sqlite.rowsOf(sqlite.RuleRow, rows);
    return { rules: page, next: more ? (page.at(-1)?.digest ?? null) : null };
  },

  async personal(ref, query) {
    const storable = storablePersonalQuery(ref, query);
    const [found] = await run("read personal values", [sqlite.personalQuery(ref, storable)]);
    const { rows, more } = firstRows(found, storable.limit, charactersMax);
    const page = sqlite.rowsOf(sqlite.PersonalRow, rows);
    return { values: page, next: more ? (page.at(-1)?.ref ?? null) : null };
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

  async receipts(ref, query) {
    const storable = storableReceiptsQuery(ref, query);
    const [found] = await run("read receipts", [sqlite.receiptsQuery(ref, storable)]);
    const { rows, more } = firstRows(found, storable.limit, charactersMax);
    const page = sqlite.rowsOf(sqlite.ReceiptRow, rows);
    return { receipts: page, next: more ? (page.at(-1)?.key ?? null) : null };
  },

  async keepReceipts(ref, receipts) {
    const kept = storableReceipts(ref, receipts);
    if (kept.length > 0)
      await run(
        "keep receipts",
        kept.map((receipt) => sqlite.keepReceiptQuery(ref, receipt)),
      );
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
});
