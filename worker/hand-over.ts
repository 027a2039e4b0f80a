/**
 * How a shard hands over the subjects that are no longer its own, when the number of shards is raised. They leave in
 * parcels: in one transaction a parcel's subjects are taken out of the counts and put into the outbox, and it stays there
 * until the other shard has acknowledged it. That one counts it as it counts events, and remembers its number, so a
 * parcel that comes again changes nothing. Whatever dies in between, every subject is here, on its way, or there.
 */
import * as v from "valibot";
import { metricKinds } from "../src/experiment.ts";
import type { OutcomeRow } from "../src/ledger/batch.ts";
import { noSpecs } from "../src/ledger/metric-spec.ts";
import { shardHash, shardOf } from "../src/ledger/shard.ts";
import type { FirstExposure } from "../src/ledger/subject.ts";
import {
  deleteSubjects,
  type ExposureId,
  type MetricNumbers,
  type NamedSubject,
  overRows,
  readMetricNumbers,
  readOutcomes,
  readSubjectsAfter,
  type StoredSubject,
} from "./ledger-rows.ts";

export interface HandedSubject {
  readonly subject: string;
  readonly first: FirstExposure | null;
  readonly trusted?: FirstExposure | null;
  readonly variants: readonly (readonly [variant: string, time: number, id: string])[];
}

/** What one parcel holds. It is JSON, because it lies in the outbox. Outcomes may be of a subject that went before them. */
export interface ParcelContent {
  readonly subjects: readonly HandedSubject[];
  readonly outcomes: readonly OutcomeRow[];
  /** Exposure ids by generation. */
  readonly ids: readonly (readonly [generation: number, ids: readonly ExposureId[]])[];
  /** How they are counted, as stored. */
  readonly metrics: string;
}

export interface Parcel {
  readonly peer: number;
  readonly seq: number;
  readonly content: ParcelContent;
}

/** A parcel as the other shard gets it. */
export interface Share {
  readonly from: number;
  readonly seq: number;
  readonly content: ParcelContent;
}

/** Subjects, and exposure ids, that are looked at for one parcel. */
const subjectsAtOnce = 500;
const idsAtOnce = 5_000;
/** A subject may have any number of outcomes: taking subjects out ends early. */
const outcomesAtOnce = 5_000;
/** A row holds 2 MB, and a UTF-16 unit of JSON text takes at most 3 bytes in UTF-8. The definitions of metrics come on top. */
const parcelCharacters = 500_000;

type Position = {
  shard: number;
  target: number;
  shards: number;
  moved_subject: number;
  moved_id: ArrayBuffer | null;
  generation: number;
  specs: string | null;
};

const id = v.string();
const FirstSchema = v.object({
  variant: v.string(),
  time: v.number(),
  id,
  epoch: v.number(),
  dimensions: v.array(v.string()),
});
const ContentSchema = v.object({
  subjects: v.array(
    v.object({
      subject: v.string(),
      first: v.nullable(FirstSchema),
      trusted: v.exactOptional(v.nullable(FirstSchema)),
      variants: v.array(v.tuple([v.string(), v.number(), id])),
    }),
  ),
  outcomes: v.array(v.tuple([id, v.string(), v.string(), v.picklist(metricKinds), v.number(), v.number()])),
  ids: v.array(v.tuple([v.number(), v.array(v.tuple([id, v.number()]))])),
  metrics: v.string(),
});

const parseContent = (text: string): ParcelContent => v.parse(ContentSchema, JSON.parse(text));

const put = (sql: SqlStorage, peer: number, content: Omit<ParcelContent, "metrics">): void => {
  const { specs } = sql.exec<{ specs: string | null }>("SELECT specs FROM ledger").one();
  const metrics = specs ?? JSON.stringify(noSpecs);
  const { seq } = sql
    .exec<{ seq: number }>(
      `INSERT INTO parcels VALUES (?, 'sent', 1) ON CONFLICT DO UPDATE SET seq = seq + 1 RETURNING seq`,
      peer,
    )
    .one();
  sql.exec("INSERT INTO outbox VALUES (?, ?, ?)", peer, seq, JSON.stringify({ ...content, metrics }));
};

const nothing = { subjects: [], outcomes: [], ids: [] } as const;

const newPiece = (): { readonly subjects: HandedSubject[]; readonly outcomes: OutcomeRow[] } => ({
  subjects: [],
  outcomes: [],
});

/** Subjects with their outcomes, cut where a parcel would be too large to lie in the outbox, also amid a subject's. */
const piecesOf = (
  subjects: readonly NamedSubject[],
  outcomes: ReadonlyMap<string, readonly OutcomeRow[]>,
): readonly Pick<ParcelContent, "subjects" | "outcomes">[] => {
  let piece = newPiece();
  let characters = 0;
  const pieces = [piece];
  const makeRoom = (item: unknown): void => {
    const more = JSON.stringify(item).length + 1;
    if (characters > 0 && characters + more > parcelCharacters) {
      piece = newPiece();
      pieces.push(piece);
      characters = 0;
    }
    characters += more;
  };
  for (const { subject, state } of subjects) {
    const handed: HandedSubject = {
      subject,
      first: state.first,
      ...(state.trusted === undefined ? {} : { trusted: state.trusted }),
      variants: (state.variants ?? []).map(({ variant, time, id: event }) => [variant, time, event] as const),
    };
    makeRoom(handed);
    piece.subjects.push(handed);
    for (const row of outcomes.get(subject) ?? []) {
      makeRoom(row);
      piece.outcomes.push(row);
    }
  }
  return pieces;
};

type TakeOut = (subjects: ReadonlyMap<string, StoredSubject>, metrics: MetricNumbers) => void;

/** As many of these, from the first on, as have not too many outcomes together; one at least. */
const withinReason = (sql: SqlStorage, numbers: readonly number[]): number => {
  const counts = new Map<number, number>();
  overRows(numbers, (json) => {
    const query =
      "SELECT o.subject, count(*) FROM json_each(?) AS b CROSS JOIN outcomes AS o ON o.subject = b.value GROUP BY 1";
    for (const [n, count] of sql.exec(query, json).raw<[number, number]>()) counts.set(n, count);
  });
  let sum = 0;
  const end = numbers.findIndex((n) => {
    sum += counts.get(n) ?? 0;
    return sum > outcomesAtOnce;
  });
  return end === -1 ? numbers.length : Math.max(1, end);
};

/** Puts the next subjects that leave into the outbox. False: there is none left. */
const packSubjects = (
  sql: SqlStorage,
  { shard, target, moved_subject: after }: Position,
  takeOut: TakeOut,
): boolean => {
  const metrics = readMetricNumbers(sql);
  const found = readSubjectsAfter(sql, metrics, { after, limit: subjectsAtOnce, which: "all" });
  const page = found.slice(
    0,
    withinReason(
      sql,
      found.map(({ n }) => n),
    ),
  );
  const last = page.at(-1);
  if (last === undefined) return false;
  const leaving = page.filter(({ subject }) => shardOf(shardHash(subject), target) !== shard);
  if (leaving.length > 0) {
    takeOut(new Map(leaving.map((one) => [one.subject, one])), metrics);
    const outcomes = readOutcomes(sql, metrics, leaving);
    for (const [peer, own] of Map.groupBy(leaving, ({ subject }) => shardOf(shardHash(subject), target)))
      for (const piece of piecesOf(own, outcomes)) put(sql, peer, { ...nothing, ...piece });
    const deleted = deleteSubjects(
      sql,
      leaving.map(({ n }) => n),
    );
    sql.exec("UPDATE ledger SET outcomes = outcomes - ?", deleted);
  }
  sql.exec("UPDATE ledger SET moved_subject = ?", last.n);
  return true;
};

const dashed = (hex: string): string =>
  `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;

/** Puts the next exposure ids that leave into the outbox. False: there is none left. */
const packIds = (sql: SqlStorage, { shard, target, moved_id: after, generation }: Position): boolean => {
  const ids: [generation: number, id: string, hash: number][] = [];
  for (const age of [generation, generation - 1]) {
    const query = `SELECT lower(hex(id)), hash FROM exposure_ids_${((age % 2) + 2) % 2} WHERE id > ? ORDER BY id LIMIT ?`;
    for (const [hex, hash] of sql.exec(query, after ?? new ArrayBuffer(0), idsAtOnce).raw<[string, number]>())
      ids.push([age, hex, hash]);
  }
  // Both tables go by the order of ids, as far as the one that has come less far.
  const page = ids.toSorted((a, b) => (a[1] < b[1] ? -1 : 1)).slice(0, idsAtOnce);
  const last = page.at(-1);
  if (last === undefined) return false;
  const leaving = page.filter(([, , hash]) => shardOf(hash, target) !== shard);
  for (const [peer, own] of Map.groupBy(leaving, ([, , hash]) => shardOf(hash, target))) {
    const byAge = Map.groupBy(own, ([age]) => age);
    put(sql, peer, {
      ...nothing,
      ids: Array.from(byAge, ([age, rows]) => [age, rows.map(([, hex, hash]): ExposureId => [dashed(hex), hash])]),
    });
  }
  for (const [age, rows] of Map.groupBy(leaving, ([generationOfRow]) => generationOfRow)) {
    overRows(
      rows.map(([, hex]) => hex),
      (json) => {
        sql.exec(
          `DELETE FROM exposure_ids_${((age % 2) + 2) % 2} WHERE id IN (SELECT unhex(value) FROM json_each(?))`,
          json,
        );
      },
    );
  }
  sql.exec("UPDATE ledger SET exposures = exposures - ?, moved_id = unhex(?)", leaving.length, last[1]);
  return true;
};

const waitingParcel = (sql: SqlStorage): Parcel | null => {
  const [row] = sql
    .exec<{ peer: number; seq: number; content: string }>(
      "SELECT peer, seq, content FROM outbox ORDER BY seq, peer LIMIT 1",
    )
    .toArray();
  return row === undefined ? null : { peer: row.peer, seq: row.seq, content: parseContent(row.content) };
};

/** The oldest parcel that is not acknowledged, or a new one; null when everything that had to go has gone. */
export const nextParcel = (sql: SqlStorage, takeOut: TakeOut): Parcel | null => {
  for (;;) {
    const waiting = waitingParcel(sql);
    if (waiting !== null) return waiting;
    const position = sql.exec<Position>("SELECT * FROM ledger").one();
    if (position.shards === position.target) return null;
    // All subjects first: while one is here its exposures are counted here, and bring ids of theirs.
    if (position.moved_id === null && packSubjects(sql, position, takeOut)) continue;
    if (packIds(sql, position)) continue;
    sql.exec("UPDATE ledger SET shards = target");
    return null;
  }
};
