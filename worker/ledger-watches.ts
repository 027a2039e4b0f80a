/**
 * The counts that guardrails are judged on, in a row each: small, and brought up to date in the transaction of every batch,
 * so that asking once a minute reads no subject.
 */
import * as v from "valibot";
import { newSubject, type SubjectState } from "../src/ledger/subject.ts";
import {
  foldWatch,
  type Watch,
  type WatchCounts,
  WatchCountsSchema,
  watchKey,
  WatchSchema,
} from "../src/ledger/watch.ts";
import { subjectsOfEpoch } from "./ledger-rows.ts";

/** A new start, epoch or version makes a new watch; the one before is of no more use. A few, for requests that overlap. */
const watchesMax = 4;

/** Nobody has asked for it for so long: the experiment has ended, and batches need not carry it on. */
const forgottenAfterMs = 24 * 3_600_000;
const hourMs = 3_600_000;

type Row = { key: string; watch: string; counts: string; asked: number };

export interface Watches {
  /** A batch has changed these subjects. */
  readonly follow: (
    before: (subject: string) => SubjectState | undefined,
    after: ReadonlyMap<string, SubjectState>,
  ) => void;
  /** @param at ms since 1970 */
  counts(watch: Watch, at: number): WatchCounts;
}

const readCounts = (text: string): WatchCounts => v.parse(WatchCountsSchema, JSON.parse(text));

/** Call its functions inside a transaction. */
export const openWatches = (sql: SqlStorage): Watches => ({
  follow(before, after) {
    if (after.size === 0) return;
    for (const { key, watch, counts } of sql.exec<Row>("SELECT * FROM watches").toArray()) {
      const fold = foldWatch(v.parse(WatchSchema, JSON.parse(watch)), readCounts(counts));
      for (const [subject, state] of after) fold.observe(before(subject) ?? newSubject, state);
      sql.exec("UPDATE watches SET counts = ? WHERE key = ?", JSON.stringify(fold.counts()), key);
    }
  },
  counts(watch, at) {
    const key = watchKey(watch);
    const [known] = sql.exec<Row>("SELECT * FROM watches WHERE key = ?", key).toArray();
    if (known !== undefined) {
      if (at - known.asked >= hourMs) sql.exec("UPDATE watches SET asked = ? WHERE key = ?", at, key);
      return readCounts(known.counts);
    }
    const fold = foldWatch(watch);
    for (const state of subjectsOfEpoch(sql, watch.epoch)) fold.observe(newSubject, state);
    const counts = fold.counts();
    sql.exec("DELETE FROM watches WHERE asked < ?", at - forgottenAfterMs);
    sql.exec(
      "DELETE FROM watches WHERE key NOT IN (SELECT key FROM watches ORDER BY asked DESC, key LIMIT ?)",
      watchesMax - 1,
    );
    sql.exec("INSERT INTO watches VALUES (?, ?, ?, ?)", key, JSON.stringify(watch), JSON.stringify(counts), at);
    return counts;
  },
});
