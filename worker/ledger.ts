/** A ledger over the SQLite of a Durable Object: what it keeps is read and written here, what it becomes is `accumulate`. */
import * as v from "valibot";
import type { MetricKind } from "../src/experiment.ts";
import type { CountsOptions, PageOptions } from "../src/http/dependencies.ts";
import { accumulate, minuteOf } from "../src/ledger/accumulate.ts";
import { admit, type RefusedEvent } from "../src/ledger/admission.ts";
import type { LedgerBatch } from "../src/ledger/batch.ts";
import { looksAtCheckpoints } from "../src/ledger/checkpoint-looks.ts";
import {
  type ArmCount,
  type CheckpointLooks,
  emptyCounts,
  type LedgerCounts,
  type MetricTotals,
  type SubjectLooks,
} from "../src/ledger/counts.ts";
import { type CrossoverPage, crossoverEvent } from "../src/ledger/crossover.ts";
import type { EpochPlan } from "../src/ledger/ground.ts";
import { crossingsOf } from "../src/ledger/subject.ts";
import { noWatchCounts, type Watch, type WatchCounts } from "../src/ledger/watch.ts";
import { limits } from "../src/limits.ts";
import { looksAtEverySubject } from "../src/science/sequential-srm.ts";
import { refKey } from "../src/scope.ts";
import {
  addCounts,
  countedOutcomes,
  openNames,
  readCrossovers,
  readSubjects,
  rememberExposures,
  writeAssignments,
  writeOutcomes,
  writeSubjects,
} from "./ledger-rows.ts";
import { createLedgerTables, hasLedgerTables, upgradeLedgerTables } from "./ledger-schema.ts";
import { openWatches } from "./ledger-watches.ts";

const minuteMs = 60_000;

/** First exposures count in checkpoints once they are this old: an arm that flushes late would look like a mismatch. */
export const watermarkMs = 5 * minuteMs;

/** How long an exposure's id is remembered at least: the longest a queue can hold a message back. */
export const horizonMs = 14 * 24 * 60 * minuteMs;

export type RecordBatch = LedgerBatch;

export interface RecordReport {
  /** How many subjects this batch made crossovers. */
  readonly crossovers: number;
  /** Events that were not counted, and will not be. */
  readonly refused: readonly RefusedEvent[];
}

export interface LedgerStorage {
  readonly sql: SqlStorage;
  transactionSync<Result>(closure: () => Result): Result;
}

export interface Ledger {
  /** Counts a batch, all of it or nothing. A batch that comes again changes nothing but `received`. */
  record(batch: RecordBatch): RecordReport;
  counts(options?: CountsOptions): LedgerCounts;
  /** What guardrails look at. Asked for the first time it is counted from all subjects, and from then on with them. */
  watched(watch: Watch): WatchCounts;
  /** The crossovers so far as Assignment events, at most {@link limits.heavyPageRows} subjects at a time. */
  crossovers(page: PageOptions): CrossoverPage;
  /** Does what the clock asks for: moves the watermark, takes a checkpoint, forgets old ids. When to come again. */
  tick(): number | null;
}

type LedgerRow = {
  tenant: string;
  environment: string;
  experiment: string;
  received: number;
  last_received: number;
  exposures: number;
  outcomes: number;
  crossovers: number;
  settled_before: number;
  generation: number;
};

const isMetricKind = (text: string): text is MetricKind =>
  text === "binary" || text === "count" || text === "continuous";

const metricOf = (key: string): { readonly metric: string; readonly kind: MetricKind } => {
  const separator = key.indexOf(":");
  const kind = key.slice(0, separator);
  if (!isMetricKind(kind)) throw new TypeError(`ledger: ${JSON.stringify(key)} is no metric key`);
  return { metric: key.slice(separator + 1), kind };
};

const readArms = (sql: SqlStorage): readonly ArmCount[] =>
  Array.from(
    sql
      .exec("SELECT epoch, variant, subjects FROM arms WHERE subjects > 0 ORDER BY epoch, variant")
      .raw<[number, string, number]>(),
    ([epoch, variant, subjects]) => ({ variant, epoch, subjects }),
  );

const readMetrics = (sql: SqlStorage): readonly MetricTotals[] => {
  const totals = sql
    .exec(
      `SELECT metric, epoch, variant, observed, sum, sum_of_squares FROM totals WHERE observed > 0
       ORDER BY metric, epoch, variant`,
    )
    .raw<[string, number, string, number, string, string]>();
  const arms = Map.groupBy(totals, ([metric]) => metric);
  return Array.from(sql.exec("SELECT metric, unexposed FROM metrics").raw<[string, number]>(), ([key, unexposed]) => ({
    ...metricOf(key),
    arms: (arms.get(key) ?? []).map(([, epoch, variant, observed, sum, sumOfSquares]) => ({
      variant,
      epoch,
      observed,
      sum,
      sumOfSquares,
    })),
    unexposed,
  })).toSorted((a, b) => (a.metric < b.metric ? -1 : a.metric > b.metric ? 1 : a.kind < b.kind ? -1 : 1));
};

const CheckpointArmsSchema = v.array(v.tuple([v.number(), v.string(), v.number()]));

const parseArms = (text: string): readonly ArmCount[] =>
  v.parse(CheckpointArmsSchema, JSON.parse(text)).map(([epoch, variant, subjects]) => ({ variant, epoch, subjects }));

/** Row by row, because all of them may be more than memory holds, or an answer may carry. */
const lookAtCheckpoints = (sql: SqlStorage, plans: readonly EpochPlan[]): readonly CheckpointLooks[] => {
  if (plans.length === 0) return [];
  const folds = plans.map(looksAtCheckpoints);
  for (const [text] of sql.exec("SELECT arms FROM checkpoints ORDER BY minute").raw<[string]>()) {
    const changed = parseArms(text);
    for (const fold of folds) fold.observe(changed);
  }
  return folds.map((fold) => fold.result());
};

/** Without an index on the order: it would cost every insert what this rare question costs once. */
const lookAtEverySubject = (sql: SqlStorage, { arms }: EpochPlan): SubjectLooks => {
  const fold = looksAtEverySubject(arms);
  const rows = sql.exec("SELECT variant FROM subjects WHERE variant IS NOT NULL ORDER BY time, event, subject");
  for (const [variant] of rows.raw<[string]>()) fold.observe(variant);
  return fold.result();
};

/**
 * Opens the ledger in this storage.
 *
 * @param now ms since 1970
 */
export const openLedger = (storage: LedgerStorage, now: () => number): Ledger => {
  const { sql } = storage;
  storage.transactionSync(() => upgradeLedgerTables(sql));
  const watches = openWatches(sql);
  const readLedger = (): LedgerRow => sql.exec<LedgerRow>("SELECT * FROM ledger").one();

  /** First exposures before the watermark become settled: they count in the next checkpoint. */
  const settle = (at: number): void => {
    const watermark = minuteOf(at - watermarkMs);
    if (watermark <= readLedger().settled_before) return;
    sql.exec(
      `UPDATE arms SET settled = settled + r.subjects
       FROM (SELECT epoch, variant, sum(subjects) AS subjects FROM recent WHERE minute < ? GROUP BY epoch, variant) AS r
       WHERE arms.epoch = r.epoch AND arms.variant = r.variant`,
      watermark,
    );
    sql.exec("DELETE FROM recent WHERE minute < ?", watermark);
    sql.exec("UPDATE ledger SET settled_before = ?", watermark);
  };

  /** At most one a minute, and only when something has changed since the last. */
  const takeCheckpoint = (): void => {
    const { settled_before: minute } = readLedger();
    const [last] = sql.exec<{ minute: number | null }>("SELECT max(minute) AS minute FROM checkpoints").toArray();
    if (typeof last?.minute === "number" && last.minute >= minute) return;
    const changed = Array.from(
      sql.exec("SELECT epoch, variant, settled FROM arms WHERE settled <> looked ORDER BY epoch, variant").raw(),
    );
    if (changed.length === 0) return;
    sql.exec("INSERT INTO checkpoints (minute, arms) VALUES (?, ?)", minute, JSON.stringify(changed));
    sql.exec("UPDATE arms SET looked = settled WHERE settled <> looked");
  };

  /** Two tables of exposure ids take turns; the one whose turn comes is emptied first. */
  const forget = (at: number): number => {
    const generation = Math.floor(at / horizonMs);
    const { generation: last } = readLedger();
    if (generation <= last) return last;
    sql.exec(`DELETE FROM exposure_ids_${generation % 2}`);
    if (generation > last + 1) sql.exec(`DELETE FROM exposure_ids_${(generation + 1) % 2}`);
    sql.exec("UPDATE ledger SET generation = ?", generation);
    return generation;
  };

  const record = ({ ref, exposures, outcomes, assignments }: RecordBatch): RecordReport => {
    const at = now();
    createLedgerTables(sql, ref);
    const generation = forget(at);
    settle(at);
    const { settled_before: settledBefore, ...own } = readLedger();
    if (refKey(own) !== refKey(ref)) throw new TypeError(`ledger of ${refKey(own)}: a batch for ${refKey(ref)}`);

    const admitted = admit({ exposures, outcomes }, openNames(sql, new Set(exposures.map(([, , , epoch]) => epoch))));
    const newExposures = rememberExposures(
      sql,
      generation,
      admitted.exposures.map(([id]) => id),
    );
    const names = new Set<string>();
    for (const row of admitted.exposures) names.add(row[1]);
    for (const row of admitted.outcomes) names.add(row[1]);
    const stored = readSubjects(sql, names);
    const folded = accumulate(
      {
        subjects: new Map(Array.from(stored, ([subject, { state }]) => [subject, state])),
        outcomeIds: countedOutcomes(
          sql,
          admitted.outcomes.map(([id]) => id),
        ),
        settledBefore,
      },
      admitted,
    );
    const added = writeSubjects(sql, stored, folded.subjects);
    writeOutcomes(sql, folded.outcomes, (subject) => {
      const n = stored.get(subject)?.n ?? added.get(subject);
      if (n === undefined) throw new TypeError("ledger: an outcome of a subject that was not written");
      return n;
    });
    writeAssignments(sql, assignments);
    addCounts(sql, folded);
    watches.follow((subject) => stored.get(subject)?.state, folded.subjects);
    sql.exec(
      `UPDATE ledger SET received = received + ?, last_received = ?, exposures = exposures + ?,
         outcomes = outcomes + ?, crossovers = crossovers + ?`,
      exposures.length + outcomes.length + assignments.length,
      at,
      newExposures,
      folded.outcomes.length,
      folded.crossovers,
    );
    return { crossovers: folded.crossovers, refused: admitted.refused };
  };

  const tick = (at: number): number | null => {
    settle(at);
    takeCheckpoint();
    const generation = forget(at);
    const { last_received: lastReceived } = readLedger();
    const waiting = sql.exec("SELECT 1 FROM recent LIMIT 1").toArray().length > 0;
    // A first exposure dated far ahead never settles: it keeps nobody awake once the stream has ended.
    if (waiting && at - lastReceived <= watermarkMs + minuteMs) return (minuteOf(at) + 1) * minuteMs;
    const remembers = [0, 1].some(
      (turn) => sql.exec(`SELECT 1 FROM exposure_ids_${turn} LIMIT 1`).toArray().length > 0,
    );
    return remembers ? (generation + 1) * horizonMs : null;
  };

  return {
    record: (batch) => storage.transactionSync(() => record(batch)),
    tick: () => (hasLedgerTables(sql) ? storage.transactionSync(() => tick(now())) : null),
    counts({ looks, plans = [] } = {}) {
      if (!hasLedgerTables(sql)) return emptyCounts;
      // The checkpoint that is due is taken here too: alarms may be late, and a replay is asked about at once.
      storage.transactionSync(() => {
        settle(now());
        takeCheckpoint();
      });
      const { exposures, crossovers, outcomes, received } = readLedger();
      const arms = readArms(sql);
      const subjects = arms.reduce((sum, arm) => sum + arm.subjects, 0);
      const epochs = new Set(arms.map((arm) => arm.epoch));
      const lone =
        looks === "subject" && epochs.size === 1 && subjects <= limits.subjectLooks
          ? plans.find(({ epoch }) => epochs.has(epoch))
          : undefined;
      return {
        arms,
        exposures,
        repeats: Math.max(0, exposures - subjects),
        crossovers,
        outcomes,
        received,
        metrics: readMetrics(sql),
        checkpointLooks: lookAtCheckpoints(sql, plans),
        ...(lone === undefined ? {} : { subjectLooks: lookAtEverySubject(sql, lone) }),
      };
    },
    watched(watch) {
      const at = now();
      return hasLedgerTables(sql) ? storage.transactionSync(() => watches.counts(watch, at)) : noWatchCounts;
    },
    crossovers({ after, limit }) {
      if (!hasLedgerTables(sql)) return { events: [], next: null };
      const ref = readLedger();
      // A subject may have a crossing for each of its variants, and an answer may be 32 MiB.
      const rows = Math.min(limit, limits.heavyPageRows);
      const page = readCrossovers(sql, { after, limit: rows });
      const events = page.flatMap(({ subject, state }) =>
        crossingsOf(state).map((to) =>
          crossoverEvent(ref, { subject, previousVariant: state.first?.variant ?? "", to }),
        ),
      );
      return { events, next: page.length < rows ? null : (page.at(-1)?.n ?? null) };
    },
  };
};
