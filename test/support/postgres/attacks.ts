/** SQL past the port of the PostgreSQL store: what somebody with the adapter's rights, or a mistake in it, could try. */
import { expect } from "vitest";
import { canonicalJson } from "../../../src/canonical.ts";
import type { EventRecord } from "../../../src/governance/events.ts";
import type { ExperimentRef } from "../../../src/scope.ts";
import type { Attack } from "../../conformance/store.suite.ts";
import { denial, denied } from "../governance.ts";

/** Runs one statement with values for $1, $2 … in the schema; rejects when the database refuses it. */
export type RunSql = (sql: string, ...values: readonly (string | number | null)[]) => Promise<unknown>;

const eventColumns = "(tenant, environment, experiment, seq, type, at, version, prev_hash, hash, people, record)";
const eventPlaces = "($1, $2, $3, $4, $5, $6, NULL, $7, $8, '[]', $9)";
const insertEvent = `INSERT INTO events ${eventColumns} VALUES ${eventPlaces}`;
const here = "tenant = $1 AND environment = $2 AND experiment = $3";

const place = (ref: ExperimentRef) => [ref.tenant, ref.environment, ref.experiment] as const;

const valuesOf = (ref: ExperimentRef, event: EventRecord): readonly (string | number)[] => [
  ...place(ref),
  event.seq,
  event.type,
  event.at,
  event.prevHash,
  event.hash,
  canonicalJson(event),
];

/** A well-formed denial behind any head. */
const forged = (seq: number, hash: string): EventRecord => {
  const event = denial({ head: { seq, hash } }, { drafts: [denied()] }).events[0];
  if (event === undefined) throw new TypeError("a denial has an event");
  return event;
};

const eventAt = (history: readonly EventRecord[], back: number): EventRecord => {
  const event = history.at(-1 - back);
  if (event === undefined) throw new TypeError("the history is too short to attack");
  return event;
};

/** @param run a connection with every right that the adapter has, and as the owner of the tables more than it needs */
export const postgresAttacks = (
  run: RunSql,
): Readonly<Record<Attack, (ref: ExperimentRef, history: readonly EventRecord[]) => Promise<void>>> => {
  const refused = async (tag: string, sql: string, ...values: readonly (string | number)[]): Promise<void> => {
    await expect(run(sql, ...values)).rejects.toThrow(`proviso:${tag}`);
  };

  /** Every event of the history is attacked, and the place behind the head of the one before the last. */
  const insertOverAll =
    (tail = "", tag = "head") =>
    async (ref: ExperimentRef, history: readonly EventRecord[]): Promise<void> => {
      const before = eventAt(history, 1);
      for (const event of [...history, forged(before.seq, before.hash), forged(0, "0".repeat(64))])
        await refused(tag, `${insertEvent} ${tail}`, ...valuesOf(ref, event));
    };

  return {
    async gap(ref, history) {
      const head = eventAt(history, 0);
      for (const ahead of [1, 2, 1_000])
        await refused("head", insertEvent, ...valuesOf(ref, forged(head.seq + ahead, head.hash)));
      const elsewhere = { ...ref, experiment: `${ref.experiment}-2` };
      await refused("head", insertEvent, ...valuesOf(elsewhere, forged(head.seq, head.hash)));
      await refused("head", insertEvent, ...valuesOf(ref, forged(-1, head.hash)));
    },
    async unlinked(ref, history) {
      const head = eventAt(history, 0);
      for (const hash of ["f".repeat(64), "0".repeat(64), "", eventAt(history, 1).hash, head.hash.toUpperCase()])
        await refused("head", insertEvent, ...valuesOf(ref, forged(head.seq, hash)));
      // A history begins with 64 zeros, and with nothing else.
      const elsewhere = { ...ref, experiment: `${ref.experiment}-2` };
      for (const hash of [head.hash, "", "0"])
        await refused("head", insertEvent, ...valuesOf(elsewhere, forged(0, hash)));
    },
    /** PostgreSQL has none of these; what comes closest are a MERGE and a function that the adapter calls. */
    async insertOrReplace(ref, history) {
      await insertOverAll()(ref, history);
      for (const event of history) {
        const wanted = { ...ref, now: 0, head: { seq: event.seq, hash: "f".repeat(64) }, take: [], release: [] };
        const commit = {
          ...wanted,
          expect: { seq: event.seq - 1, hash: event.prevHash },
          events: [{ ...event, people: "[]", record: canonicalJson(event) }],
          personal: [],
          rules: [],
          snapshot: null,
          receipt: null,
        };
        expect(await run("SELECT outcome FROM commit_experiment($1::text)", JSON.stringify(commit))).toEqual([
          { outcome: "stale" },
        ]);
      }
    },
    async insertOrIgnore(ref, history) {
      await insertOverAll("ON CONFLICT DO NOTHING")(ref, history);
    },
    async upsert(ref, history) {
      // Refused for what it may do before its first row is looked at.
      const set = "ON CONFLICT (tenant, environment, experiment, seq) DO UPDATE SET hash = ''";
      await insertOverAll(set, "append-only")(ref, history);
    },
    async update(ref) {
      for (const set of ["people = '[]'", "seq = seq + 1", "tenant = 'other'", "record = '{}'", "hash = hash"])
        await refused("append-only", `UPDATE events SET ${set} WHERE ${here}`, ...place(ref));
      await refused("append-only", "UPDATE ONLY events SET hash = '' WHERE false");
    },
    async delete(ref, history) {
      await refused("append-only", `DELETE FROM events WHERE ${here}`, ...place(ref));
      await refused(
        "append-only",
        `DELETE FROM events WHERE ${here} AND seq = $4::bigint`,
        ...place(ref),
        history.length,
      );
      await refused("append-only", "DELETE FROM events");
      await refused("append-only", "TRUNCATE events");
      await refused("append-only", "TRUNCATE events, snapshots, checkpoints CASCADE");
    },
    async checkpoint(ref, history) {
      for (const from of history.map(({ seq }) => seq))
        await refused("append-only", `DELETE FROM events WHERE ${here} AND seq >= $4::bigint`, ...place(ref), from);
      const columns = "(tenant, environment, experiment, seq, hash, key_id, signature, text)";
      const insert = `INSERT INTO checkpoints ${columns} VALUES ($1, $2, $3, $4::bigint, $5, 'thief', $6, $7)`;
      const head = eventAt(history, 0);
      const places = [
        { seq: head.seq, hash: "f".repeat(64) },
        { seq: head.seq + 1, hash: head.hash },
        { seq: 1, hash: head.hash },
      ];
      for (const tail of ["", "ON CONFLICT DO NOTHING"])
        for (const { seq, hash } of places)
          await refused(
            "checkpoint",
            `${insert} ${tail}`,
            ...place(ref),
            seq,
            hash,
            "A".repeat(86),
            JSON.stringify({ seq, hash }),
          );
      for (const set of ["seq = 99", "text = '{}'", "key_id = 'thief'"])
        await refused("append-only", `UPDATE checkpoints SET ${set} WHERE ${here}`, ...place(ref));
      await refused("append-only", `DELETE FROM checkpoints WHERE ${here}`, ...place(ref));
      await refused("append-only", "TRUNCATE checkpoints");
      // What was before a checkpoint does not come back, in whatever shape.
      await refused("head", insertEvent, ...valuesOf(ref, forged(0, "0".repeat(64))));
    },
    async rules(ref) {
      // Rules are what their digest says, so there is nothing else that could be written under it.
      const other = `INSERT INTO rules SELECT tenant, environment, experiment, digest, '{}' FROM rules WHERE ${here}`;
      await expect(run(other, ...place(ref))).rejects.toThrow(/rules/);
      const upsert = `${other.replace("'{}'", "text")}
        ON CONFLICT (tenant, environment, experiment, digest) DO UPDATE SET text = '{}'`;
      await refused("append-only", upsert, ...place(ref));
      for (const set of ["text = '{}'", "digest = 'other'", "experiment = 'other'"])
        await refused("append-only", `UPDATE rules SET ${set} WHERE ${here}`, ...place(ref));
      await refused("append-only", `DELETE FROM rules WHERE ${here}`, ...place(ref));
      await refused("append-only", "DELETE FROM rules");
      await refused("append-only", "TRUNCATE rules");
    },
  };
};
