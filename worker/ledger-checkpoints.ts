/** The checkpoints of a ledger, in its first shard alone: which arms had changed, and what they then came to. */
import * as v from "valibot";
import type { CheckpointFold } from "../src/ledger/checkpoint-looks.ts";
import type { ArmCount } from "../src/ledger/counts.ts";

const CheckpointArmsSchema = v.array(v.tuple([v.number(), v.string(), v.number()]));

const parseArms = (text: string): readonly ArmCount[] =>
  v.parse(CheckpointArmsSchema, JSON.parse(text)).map(([epoch, variant, subjects]) => ({ variant, epoch, subjects }));

/** The minute of the newest one; null: there is none. */
export const lastCheckpoint = (sql: SqlStorage): number | null =>
  sql.exec<{ minute: number | null }>("SELECT max(minute) AS minute FROM checkpoints").one().minute;

/** Keeps the arms that have changed since the last one. */
export const takeCheckpoint = (sql: SqlStorage, minute: number, arms: readonly ArmCount[]): void => {
  if ((lastCheckpoint(sql) ?? -Infinity) >= minute) return;
  const looked = new Map(
    Array.from(sql.exec("SELECT epoch, variant, subjects FROM looked").raw<[number, string, number]>(), (row) => [
      `${row[0]}:${row[1]}`,
      row[2],
    ]),
  );
  const changed = arms
    .filter(({ epoch, variant, subjects }) => (looked.get(`${epoch}:${variant}`) ?? 0) !== subjects)
    .toSorted((a, b) => a.epoch - b.epoch || (a.variant < b.variant ? -1 : 1))
    .map(({ epoch, variant, subjects }) => [epoch, variant, subjects]);
  if (changed.length === 0) return;
  const text = JSON.stringify(changed);
  sql.exec("INSERT INTO checkpoints (minute, arms) VALUES (?, ?)", minute, text);
  sql.exec(
    `INSERT INTO looked SELECT value->>0, value->>1, value->>2 FROM json_each(?) WHERE true
     ON CONFLICT DO UPDATE SET subjects = excluded.subjects`,
    text,
  );
};

/** Row by row, because all of them may be more than memory holds. */
export const foldCheckpoints = (
  sql: SqlStorage,
  folds: readonly CheckpointFold[],
  each?: (minute: number) => void,
): void => {
  for (const [minute, text] of sql
    .exec("SELECT minute, arms FROM checkpoints ORDER BY minute")
    .raw<[number, string]>()) {
    const changed = parseArms(text);
    for (const fold of folds) fold.observe(changed);
    each?.(minute);
  }
};
