/** One shard of a ledger over the SQLite of a Durable Object: what it keeps is read and written here, what it becomes is `accumulate`. */
import { accumulate, type Counting, minuteOf, removal, totalsFrom } from "../src/ledger/accumulate.ts";
import { admit, type RefusedEvent } from "../src/ledger/admission.ts";
import type { ExposureRow, LedgerBatch, OutcomeRow } from "../src/ledger/batch.ts";
import type { CheckpointFold } from "../src/ledger/checkpoint-looks.ts";
import type { CountRows, Parcels, SubjectRow, TotalRow } from "../src/ledger/count-rows.ts";
import type { ArmCount } from "../src/ledger/counts.ts";
import { type CrossoverPage, crossoverEvent } from "../src/ledger/crossover.ts";
import { defaultWindowMs, type MetricSpecs, parseSpecs, sameSpecs, specLookUp } from "../src/ledger/metric-spec.ts";
import { shardHash, shardOf } from "../src/ledger/shard.ts";
import { everybody, hourOf, hoursOfDay } from "../src/ledger/slices.ts";
import { crossingsOf, type FirstExposure, metricKey, newSubject, type SubjectState } from "../src/ledger/subject.ts";
import { noWatchCounts, type Watch, type WatchCounts } from "../src/ledger/watch.ts";
import { limits } from "../src/limits.ts";
import { type ExperimentRef, refKey } from "../src/scope.ts";
import { type HandedSubject, nextParcel, type Parcel, type Share } from "./hand-over.ts";
import {
  addCounts,
  countedOutcomes,
  deleteOutcomesOutside,
  deleteSubjects,
  type ExposureId,
  type MetricNumbers,
  openArms,
  readMetricNumbers,
  readOutcomes,
  readSubjects,
  readSubjectsAfter,
  readUnnamed,
  rememberExposures,
  type StoredSubject,
  waitSinceOutcomes,
  writeAssignments,
  writeOutcomes,
  writeSubjects,
  writeTotals,
  writeUnnamed,
} from "./ledger-rows.ts";
import { foldCheckpoints, lastCheckpoint, takeCheckpoint } from "./ledger-checkpoints.ts";
import { createLedgerTables, hasLedgerTables, type ShardPlace, upgradeLedgerTables } from "./ledger-schema.ts";
import { openWatches } from "./ledger-watches.ts";
import { recountFurther, rollUpHours } from "./ledger-upkeep.ts";

const minuteMs = 60_000;
const dayMs = 24 * 60 * minuteMs;

/** First exposures count in checkpoints once they are this old: an arm that flushes late would look like a mismatch. */
export const watermarkMs = 5 * minuteMs;

/** How long an exposure's id is remembered at least: the longest a queue can hold a message back. */
export const horizonMs = 14 * dayMs;

export type RecordBatch = LedgerBatch;

/** Events of subjects that are counted in other shards, and how many of those there are to be. */
export interface Elsewhere {
  readonly target: number;
  readonly exposures: readonly ExposureRow[];
  readonly outcomes: readonly OutcomeRow[];
}

export interface RecordReport {
  /** How many subjects this batch made crossovers. */
  readonly crossovers: number;
  /** Events that were not counted, and will not be. */
  readonly refused: readonly RefusedEvent[];
  /** Events that another shard has to count. */
  readonly elsewhere?: Elsewhere;
}

export interface LedgerStorage {
  readonly sql: SqlStorage;
  transactionSync<Result>(closure: () => Result): Result;
}

export interface RowsAsked {
  /** With all slices, not only everybody's. */
  readonly parts?: boolean;
}

/** `[event time, event id, subject, variant]` of a first exposure. */
export type FirstRow = readonly [time: number, id: string, subject: string, variant: string];

export interface PageAsked {
  readonly after: number;
  readonly limit: number;
}

export interface Ledger {
  /**
   * Counts a batch, all of it or nothing. A batch that comes again changes nothing but `received`.
   *
   * @param place which shard the sender takes this ledger for; an empty one becomes it
   */
  record(batch: RecordBatch, place?: ShardPlace): RecordReport;
  /** Counts that add up with those of other shards. null: nothing was ever recorded here. */
  rows(asked?: RowsAsked): CountRows | null;
  /** Subjects whose first exposure is before this minute; moves the watermark there. */
  settled(minute: number): { readonly arms: readonly ArmCount[]; readonly parcels: Parcels } | null;
  /** What guardrails look at. Asked for the first time it is counted from all subjects, and from then on with them. */
  watched(watch: Watch): WatchCounts;
  parcels(): Parcels;
  /** The crossovers so far as Assignment events, at most {@link limits.heavyPageRows} subjects at a time. */
  crossovers(page: PageAsked): CrossoverPage;
  /** First exposures in order of time and event id, those after the given one. */
  firstExposures(after: FirstRow | null, limit: number): readonly FirstRow[];
  /** Keeps the arms that have changed since the last checkpoint; the first shard alone has checkpoints. */
  takeCheckpoint(minute: number, arms: readonly ArmCount[]): void;
  lastCheckpoint(): number;
  /** Row by row, because all of them may be more than memory holds, or an answer may carry. */
  foldCheckpoints(folds: readonly CheckpointFold[], each?: (minute: number) => void): void;
  /** How many shards there are, and are to be; `want` raises it. Of the first shard alone. */
  routing(ref: ExperimentRef, want: number): Routing;
  routed(shards: number): void;
  currentRouting(): Routing | null;
  /** Makes this shard one of so many; what is no longer its own leaves by {@link nextParcel}. */
  split(ref: ExperimentRef, place: ShardPlace, target: number): void;
  /** The next parcel to send: one that was not acknowledged, or new subjects that are taken out of the counts for it. null: all have gone. */
  nextParcel(): Parcel | null;
  sent(parcel: Pick<Parcel, "peer" | "seq">): void;
  /** Counts what another shard hands over; a parcel that comes again changes nothing. */
  receive(ref: ExperimentRef, place: ShardPlace, parcel: Share): void;
  /** When windows close, ms after a first exposure: of the metrics that are declared, and of others. */
  windows(): readonly number[];
  /** Whose ledger this is, and which shard of it; null while nothing was recorded. */
  identity(): { readonly ref: ExperimentRef; readonly place: ShardPlace } | null;
  /** Does what the clock asks for: moves the watermark, forgets old ids, counts anew. When to come again. */
  tick(): number | null;
}

export interface Routing {
  /** Every event is first looked for under this number of shards, … */
  readonly shards: number;
  /** … and what has left its shard for another is under this one. */
  readonly target: number;
}

type LedgerRow = {
  tenant: string;
  environment: string;
  experiment: string;
  shard: number;
  shards: number;
  target: number;
  received: number;
  last_received: number;
  exposures: number;
  outcomes: number;
  dropped: number;
  crossovers: number;
  settled_before: number;
  days_before: number;
  generation: number;
  specs: string | null;
  specs_revision: number;
  recounted: number | null;
};

const exposureOf = (subject: string, first: FirstExposure, fromBrowser: boolean): ExposureRow => [
  first.id,
  subject,
  first.variant,
  first.epoch,
  first.time,
  fromBrowser,
  first.dimensions,
];

/** Exposures that make of nothing what is known of this subject, and of anything else what both together come to. */
const exposuresOf = ({ subject, first, trusted, variants }: HandedSubject): readonly ExposureRow[] => [
  ...(first === null ? [] : [exposureOf(subject, first, trusted !== undefined)]),
  ...(trusted === undefined || trusted === null ? [] : [exposureOf(subject, trusted, false)]),
  ...variants.map(([variant, time, id]) =>
    exposureOf(subject, { variant, time, id, epoch: first?.epoch ?? 0, dimensions: first?.dimensions ?? [] }, true),
  ),
];

/** Hours of first exposures that stay apart, so that a window of up to 14 days closes to the hour and not to the day. */
const hoursKept = 15 * hoursOfDay;
const daysBefore = (at: number): number => Math.floor((hourOf(at) - hoursKept) / hoursOfDay) * hoursOfDay;

const recountSubjects = 2_000;
/** A reading finishes what is small by itself; what is large is left to the alarm. */
const recountsOnReading = 5;
const droppedAtOnce = 1_000;
/** What an outcome may wait for its exposure beyond its window. */
const graceMs = dayMs;

/**
 * Opens the ledger in this storage.
 *
 * @param now ms since 1970
 */
export const openLedger = (storage: LedgerStorage, now: () => number): Ledger => {
  const { sql } = storage;
  const inTransaction = <Result>(work: () => Result): Result => storage.transactionSync(work);
  inTransaction(() => upgradeLedgerTables(sql));
  const watches = openWatches(sql);
  const readLedger = (): LedgerRow => sql.exec<LedgerRow>("SELECT * FROM ledger").one();

  const countingOf = (): Counting => {
    const ledger = readLedger();
    const specs = parseSpecs(ledger.specs);
    return {
      settledBefore: ledger.settled_before,
      specOf: specLookUp(specs),
      products: specs.products,
      slicing: { daysBefore: ledger.days_before },
    };
  };

  /** First exposures before the watermark become settled: they count in the next checkpoint. */
  const settleTo = (watermark: number): void => {
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
  const settle = (at: number): void => settleTo(minuteOf(at - watermarkMs));

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

  /** Takes over newer definitions of the metrics. Where they count otherwise, everything is counted anew. */
  const define = (metrics: MetricSpecs | undefined): void => {
    const { specs, specs_revision: revision } = readLedger();
    if (metrics === undefined || metrics.revision <= revision) return;
    const same = sameSpecs(parseSpecs(specs), metrics);
    sql.exec("UPDATE ledger SET specs = ?, specs_revision = ?", JSON.stringify(metrics), metrics.revision);
    if (same) return;
    sql.exec("DELETE FROM slices");
    sql.exec("DELETE FROM totals");
    const { n } = sql.exec<{ n: number }>("SELECT count(*) AS n FROM subjects LIMIT 1").one();
    sql.exec("UPDATE ledger SET recounted = ?", n === 0 ? null : 0);
  };

  /** Counts rows that are this shard's own. */
  const count = (
    exposures: readonly ExposureRow[],
    outcomes: readonly OutcomeRow[],
    metrics: MetricNumbers,
    stored: ReadonlyMap<string, StoredSubject>,
    at: number,
  ): { readonly crossovers: number; readonly outcomes: number } => {
    const { recounted } = readLedger();
    const folded = accumulate(
      {
        ...countingOf(),
        ...(recounted === null
          ? {}
          : { isTotalled: (subject: string) => (stored.get(subject)?.n ?? Infinity) <= recounted }),
        subjects: new Map(Array.from(stored, ([subject, { state }]) => [subject, state])),
        isCounted: countedOutcomes(sql, outcomes, stored),
        outcomesOf: (subjects) =>
          readOutcomes(
            sql,
            metrics,
            subjects.map((subject) => ({ subject, n: stored.get(subject)?.n ?? 0 })),
          ),
      },
      { exposures, outcomes },
    );
    const added = writeSubjects(sql, metrics, stored, folded.subjects, at);
    writeOutcomes(sql, metrics, folded.outcomes, (subject) => {
      const n = stored.get(subject)?.n ?? added.get(subject);
      if (n === undefined) throw new TypeError("ledger: an outcome of a subject that was not written");
      return n;
    });
    addCounts(sql, folded, metrics);
    watches.follow((subject) => stored.get(subject)?.state, folded.subjects);
    return { crossovers: folded.crossovers, outcomes: folded.outcomes.length };
  };

  const record = (
    { ref, exposures, outcomes, assignments, unnamed, metrics: specs }: RecordBatch,
    place: ShardPlace = { shard: 0, shards: 1 },
  ): RecordReport => {
    const at = now();
    createLedgerTables(sql, ref, place);
    const generation = forget(at);
    settle(at);
    rollUpHours(sql, daysBefore(at));
    define(specs);
    const ledger = readLedger();
    if (refKey(ledger) !== refKey(ref)) throw new TypeError(`ledger of ${refKey(ledger)}: a batch for ${refKey(ref)}`);

    const metrics = readMetricNumbers(sql);
    const stored = readSubjects(sql, metrics, subjectsIn(exposures, outcomes));

    const { shard, target } = ledger;
    // One that is to leave and is still here is counted here: wherever it is, it is in one place.
    const isOwn = (subject: string): boolean => shardOf(shardHash(subject), target) === shard || stored.has(subject);
    const own = target === 1 ? { exposures, outcomes } : ownRows(exposures, outcomes, isOwn);

    const admitted = admit(own, {
      arms: openArms(sql, new Set(own.exposures.map(([, , , epoch]) => epoch))),
      metrics: metrics.keys(),
      declared: declaredKeys(specs),
    });
    const newExposures = rememberExposures(
      sql,
      generation,
      admitted.exposures.map(([id, subject]): ExposureId => [id, shardHash(subject)]),
    );
    const counted = count(admitted.exposures, admitted.outcomes, metrics, stored, at);
    writeAssignments(sql, assignments);
    if (unnamed !== undefined) writeUnnamed(sql, unnamed);
    const taken = own.exposures.length + own.outcomes.length + assignments.length;
    sql.exec(
      `UPDATE ledger SET received = received + ?, last_received = ?, exposures = exposures + ?,
         outcomes = outcomes + ?, crossovers = crossovers + ?`,
      taken + (unnamed?.events ?? 0),
      at,
      newExposures,
      counted.outcomes,
      counted.crossovers,
    );
    const report = { crossovers: counted.crossovers, refused: admitted.refused };
    return taken === exposures.length + outcomes.length + assignments.length
      ? report
      : {
          ...report,
          elsewhere: { target, ...ownRows(exposures, outcomes, (subject) => !isOwn(subject)) },
        };
  };

  const parcelNumbers = (direction: "sent" | "received"): Parcels["sent"] =>
    Array.from(
      sql.exec("SELECT peer, seq FROM parcels WHERE direction = ? ORDER BY peer", direction).raw<[number, number]>(),
    );
  const parcelsOf = (shard: number): Parcels => ({
    shard,
    sent: parcelNumbers("sent"),
    received: parcelNumbers("received"),
  });

  const readRows = ({ parts = false }: RowsAsked): CountRows => {
    const ledger = readLedger();
    const chosen = parts ? "true" : `slice = '${everybody}'`;
    const all = sql.exec<{ n: number }>("SELECT coalesce(max(n), 0) AS n FROM subjects").one().n;
    return {
      arms: Array.from(
        sql.exec("SELECT epoch, variant, subjects FROM arms WHERE subjects > 0").raw<[number, string, number]>(),
        ([epoch, variant, subjects]) => ({ variant, epoch, subjects }),
      ),
      slices: Array.from<SubjectRow>(
        sql
          .exec(`SELECT slice, epoch, variant, subjects FROM slices WHERE subjects <> 0 AND (${chosen})`)
          .raw<[string, number, string, number]>(),
      ),
      totals: Array.from<TotalRow>(
        sql
          .exec(
            `SELECT slice, metric, epoch, variant, observed, sum, sum_of_squares FROM totals
             WHERE observed <> 0 AND (${chosen})`,
          )
          .raw<[string, string, number, string, number, string, string]>(),
      ),
      metrics: Array.from(sql.exec("SELECT metric, unexposed FROM metrics").raw<[string, number]>()),
      exposures: ledger.exposures,
      crossovers: ledger.crossovers,
      outcomes: ledger.outcomes,
      dropped: ledger.dropped,
      received: ledger.received,
      recounted: [ledger.recounted === null ? all : Math.min(ledger.recounted, all), all],
      parcels: parcelsOf(ledger.shard),
      unnamed: readUnnamed(sql),
    };
  };

  /** Outcomes whose exposure has not come by the end of their window and a day more are given up. True while there are more. */
  const dropWaiting = (at: number): boolean => {
    const specs = parseSpecs(readLedger().specs);
    // One with a window that never closes waits as long as exposures may be late.
    const longest = Math.max(7 * dayMs, ...specs.specs.map(([, { from, to }]) => Math.max(-from, to ?? horizonMs)));
    const from = at - longest - graceMs;
    const due = Array.from(
      sql
        .exec("SELECT n, subject FROM subjects WHERE variant IS NULL AND time < ? LIMIT ?", from, droppedAtOnce)
        .raw<[number, string]>(),
      ([n, subject]) => ({ n, subject }),
    );
    if (due.length === 0) return false;
    const metrics = readMetricNumbers(sql);
    const counting = countingOf();
    const numbers = due.map(({ n }) => n);
    const outcomes = deleteOutcomesOutside(sql, numbers, { from, to: at + graceMs });
    // Whoever goes on sending them without ever being exposed keeps the recent ones alone: these have not waited so long.
    const left = readOutcomes(sql, metrics, due);
    const stored = readSubjects(
      sql,
      metrics,
      due.map(({ subject }) => subject),
    );
    const gone = new Map<string, SubjectState>();
    const kept: StoredSubject[] = [];
    for (const [subject, { n, state }] of stored) {
      const totals = totalsFrom(null, left.get(subject) ?? [], counting.specOf);
      gone.set(subject, { ...state, totals: new Map([...state.totals].filter(([key]) => !totals.has(key))) });
      if (totals.size > 0) kept.push({ n, state: { ...state, totals } });
    }
    addCounts(sql, removal(counting, gone), metrics);
    writeTotals(sql, metrics, kept);
    const keptNumbers = new Set(kept.map(({ n }) => n));
    waitSinceOutcomes(sql, [...keptNumbers], at);
    deleteSubjects(
      sql,
      numbers.filter((n) => !keptNumbers.has(n)),
    );
    sql.exec("UPDATE ledger SET outcomes = outcomes - ?, dropped = dropped + ?", outcomes, outcomes);
    return due.length === droppedAtOnce;
  };

  const tick = (at: number): number | null => {
    settle(at);
    const generation = forget(at);
    rollUpHours(sql, daysBefore(at));
    const dropsMore = dropWaiting(at);
    if (recountFurther(sql, recountSubjects, countingOf, watches.follow) || dropsMore) return at + 10;
    const { last_received: lastReceived } = readLedger();
    const waiting = sql.exec("SELECT 1 FROM recent LIMIT 1").toArray().length > 0;
    // A first exposure dated far ahead never settles: it keeps nobody awake once the stream has ended.
    if (waiting && at - lastReceived <= watermarkMs + minuteMs) return (minuteOf(at) + 1) * minuteMs;
    const outcomesWait = sql.exec("SELECT 1 FROM subjects WHERE variant IS NULL LIMIT 1").toArray().length > 0;
    if (outcomesWait) return at + dayMs;
    const remembers = [0, 1].some(
      (turn) => sql.exec(`SELECT 1 FROM exposure_ids_${turn} LIMIT 1`).toArray().length > 0,
    );
    return remembers ? (generation + 1) * horizonMs : null;
  };

  const routingRow = (): Routing | null =>
    sql.exec<{ shards: number; target: number }>("SELECT shards, target FROM routing").toArray()[0] ?? null;

  const giveParcel = (): Parcel | null =>
    nextParcel(sql, (subjects, metrics) => {
      const { recounted } = readLedger();
      const counting = {
        ...countingOf(),
        ...(recounted === null
          ? {}
          : { isTotalled: (subject: string) => (subjects.get(subject)?.n ?? Infinity) <= recounted }),
      };
      const change = removal(counting, new Map(Array.from(subjects, ([name, { state }]) => [name, state])));
      addCounts(sql, change, metrics);
      watches.follow(
        (subject) => subjects.get(subject)?.state,
        new Map(Array.from(subjects.keys(), (name) => [name, newSubject])),
      );
      sql.exec("UPDATE ledger SET crossovers = crossovers + ?", change.crossovers);
    });

  const receive = (ref: ExperimentRef, place: ShardPlace, { from, seq, content }: Share): void => {
    createLedgerTables(sql, ref, place);
    const [last] = sql
      .exec<{ seq: number }>("SELECT seq FROM parcels WHERE peer = ? AND direction = 'received'", from)
      .toArray();
    if (seq <= (last?.seq ?? 0)) return;
    if (seq !== (last?.seq ?? 0) + 1)
      throw new TypeError(`ledger: parcel ${seq} of shard ${from} before those between`);
    const at = now();
    const generation = forget(at);
    settle(at);
    rollUpHours(sql, daysBefore(at));
    define(parseSpecs(content.metrics));
    const metrics = readMetricNumbers(sql);
    const exposures = content.subjects.flatMap(exposuresOf);
    const stored = readSubjects(sql, metrics, subjectsIn(exposures, content.outcomes));
    const counted = count(exposures, content.outcomes, metrics, stored, at);
    let ids = 0;
    for (const [age, rows] of content.ids) {
      // An id that its shard was about to forget is forgotten here at the same time.
      if (age === generation || age === generation - 1) ids += rememberExposures(sql, age, rows);
    }
    sql.exec(
      "UPDATE ledger SET exposures = exposures + ?, outcomes = outcomes + ?, crossovers = crossovers + ?, last_received = ?",
      ids,
      counted.outcomes,
      counted.crossovers,
      at,
    );
    sql.exec("INSERT INTO parcels VALUES (?, 'received', ?) ON CONFLICT DO UPDATE SET seq = excluded.seq", from, seq);
  };

  return {
    record: (batch, place) => inTransaction(() => record(batch, place)),
    rows: (asked = {}) =>
      hasLedgerTables(sql)
        ? inTransaction(() => {
            settle(now());
            for (let time = 0; time < recountsOnReading; time += 1)
              if (!recountFurther(sql, recountSubjects, countingOf, watches.follow)) break;
            return readRows(asked);
          })
        : null,
    settled: (minute) =>
      hasLedgerTables(sql)
        ? inTransaction(() => {
            settleTo(minute);
            const arms = sql.exec("SELECT epoch, variant, settled FROM arms").raw<[number, string, number]>();
            return {
              arms: Array.from(arms, ([epoch, variant, subjects]) => ({ variant, epoch, subjects })),
              parcels: parcelsOf(readLedger().shard),
            };
          })
        : null,
    watched(watch) {
      const at = now();
      return hasLedgerTables(sql) ? inTransaction(() => watches.counts(watch, at)) : noWatchCounts;
    },
    parcels: () => (hasLedgerTables(sql) ? parcelsOf(readLedger().shard) : { shard: 0, sent: [], received: [] }),
    crossovers({ after, limit }) {
      if (!hasLedgerTables(sql)) return { events: [], next: null };
      return inTransaction(() => {
        const ref = readLedger();
        // A subject may have a crossing for each of its variants, and an answer may be 32 MiB.
        const rows = Math.min(limit, limits.heavyPageRows);
        const page = readSubjectsAfter(sql, readMetricNumbers(sql), { after, limit: rows, which: "crossovers" });
        const events = page.flatMap(({ subject, state }) =>
          crossingsOf(state).map((to) =>
            crossoverEvent(ref, { subject, previousVariant: state.first?.variant ?? "", to }),
          ),
        );
        return { events, next: page.length < rows ? null : (page.at(-1)?.n ?? null) };
      });
    },
    firstExposures(after, limit) {
      if (!hasLedgerTables(sql)) return [];
      const [time, id, subject] = after ?? [-Infinity, "", ""];
      // Without an index on the order: it would cost every insert what this rare question costs now and then.
      return Array.from(
        sql
          .exec(
            `SELECT time, event, subject, variant FROM subjects
             WHERE variant IS NOT NULL AND (time, event, subject) > (?, ?, ?) ORDER BY time, event, subject LIMIT ?`,
            Math.max(time, -8.64e15),
            id,
            subject,
            limit,
          )
          .raw<[number, string, string, string]>(),
      );
    },
    takeCheckpoint: (minute, arms) =>
      inTransaction(() => {
        if (hasLedgerTables(sql)) takeCheckpoint(sql, minute, arms);
      }),
    lastCheckpoint: () => (hasLedgerTables(sql) ? (lastCheckpoint(sql) ?? 0) : 0),
    foldCheckpoints(folds, each) {
      if (folds.length > 0 && hasLedgerTables(sql)) foldCheckpoints(sql, folds, each);
    },
    routing: (ref, want) =>
      inTransaction(() => {
        const isNew = !hasLedgerTables(sql);
        createLedgerTables(sql, ref, { shard: 0, shards: isNew ? want : 1 });
        const { shards, target } = readLedger();
        const known = routingRow();
        if (known === null)
          sql.exec("INSERT INTO routing VALUES (?, ?, ?)", shards, Math.max(target, want), Math.max(target, want));
        else if (want > known.target) {
          sql.exec("UPDATE routing SET wanted = max(wanted, ?)", want);
          sql.exec("UPDATE routing SET target = wanted WHERE shards = target");
        }
        return routingRow() ?? { shards, target };
      }),
    routed: (shards) => {
      sql.exec("UPDATE routing SET shards = ?1, target = max(wanted, ?1)", shards);
    },
    currentRouting: () => (hasLedgerTables(sql) ? inTransaction(routingRow) : null),
    split: (ref, place, target) =>
      inTransaction(() => {
        createLedgerTables(sql, ref, place);
        sql.exec(
          "UPDATE ledger SET target = ?, moved_subject = 0, moved_id = NULL WHERE target < ? AND shards = target",
          target,
          target,
        );
      }),
    nextParcel: () => (hasLedgerTables(sql) ? inTransaction(giveParcel) : null),
    sent: ({ peer, seq }) => {
      sql.exec("DELETE FROM outbox WHERE peer = ? AND seq <= ?", peer, seq);
    },
    receive: (ref, place, parcel) => inTransaction(() => receive(ref, place, parcel)),
    windows: () =>
      hasLedgerTables(sql)
        ? inTransaction(() => [
            ...new Set([
              defaultWindowMs,
              ...parseSpecs(readLedger().specs).specs.flatMap(([, { to }]) => (to === null ? [] : [to])),
            ]),
          ])
        : [],
    identity: () => {
      if (!hasLedgerTables(sql)) return null;
      return inTransaction(() => {
        const { tenant, environment, experiment, shard, shards } = readLedger();
        return { ref: { tenant, environment, experiment }, place: { shard, shards } };
      });
    },
    tick: () => (hasLedgerTables(sql) ? inTransaction(() => tick(now())) : null),
  };
};

const subjectsIn = (exposures: readonly ExposureRow[], outcomes: readonly OutcomeRow[]): ReadonlySet<string> => {
  const names = new Set<string>();
  for (const rows of [exposures, outcomes]) {
    // Outcomes of one subject mostly come together, and comparing two names costs less than looking one up.
    let last: string | undefined;
    for (const [, subject] of rows) {
      if (subject !== last) names.add(subject);
      last = subject;
    }
  }
  return names;
};

const ownRows = (
  exposures: readonly ExposureRow[],
  outcomes: readonly OutcomeRow[],
  isOwn: (subject: string) => boolean,
): { readonly exposures: readonly ExposureRow[]; readonly outcomes: readonly OutcomeRow[] } => ({
  exposures: exposures.filter(([, subject]) => isOwn(subject)),
  outcomes: outcomes.filter(([, subject]) => isOwn(subject)),
});

const declaredKeys = (specs: MetricSpecs | undefined): ReadonlySet<string> =>
  new Set([metricKey("error", "binary"), ...(specs?.specs ?? []).map(([key]) => key)]);
