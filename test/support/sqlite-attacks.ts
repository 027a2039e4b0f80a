/** SQL past the port: what somebody with a connection to the database, or a mistake in an adapter, could try. */
import { expect } from "vitest";
import { canonicalJson } from "../../src/canonical.ts";
import type { EventRecord } from "../../src/governance/events.ts";
import type { ExperimentRef } from "../../src/scope.ts";
import type { Attack } from "../conformance/store.suite.ts";
import { denial, denied } from "./governance.ts";

/** Runs one statement with values for ?1, ?2 …; rejects when the database refuses it. */
export type RunSql = (sql: string, ...values: readonly (string | number | null)[]) => Promise<unknown>;

const eventColumns = "(tenant, environment, experiment, seq, type, at, version, prev_hash, hash, people, record)";
const eventPlaces = "(?1, ?2, ?3, ?4, ?5, ?6, NULL, ?7, ?8, '[]', ?9)";

const valuesOf = (ref: ExperimentRef, event: EventRecord): readonly (string | number)[] => [
  ref.tenant,
  ref.environment,
  ref.experiment,
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

const place = (ref: ExperimentRef) => [ref.tenant, ref.environment, ref.experiment] as const;

/** @param run a connection with every right that the adapter has */
export const sqliteAttacks = (
  run: RunSql,
): Readonly<Record<Attack, (ref: ExperimentRef, history: readonly EventRecord[]) => Promise<void>>> => {
  const refused = async (tag: string, sql: string, ...values: readonly (string | number)[]): Promise<void> => {
    await expect(run(sql, ...values)).rejects.toThrow(`proviso:${tag}`);
  };
  const here = "tenant = ?1 AND environment = ?2 AND experiment = ?3";

  /** Every event of the history is attacked, and the place behind the head of the one before the last. */
  const insertOverAll =
    (verb: string, tail = "") =>
    async (ref: ExperimentRef, history: readonly EventRecord[]): Promise<void> => {
      const before = eventAt(history, 1);
      for (const event of [...history, forged(before.seq, before.hash), forged(0, "0".repeat(64))]) {
        await refused(
          "head",
          `${verb} INTO events ${eventColumns} VALUES ${eventPlaces} ${tail}`,
          ...valuesOf(ref, event),
        );
      }
    };

  return {
    async gap(ref, history) {
      const head = eventAt(history, 0);
      const insert = `INSERT INTO events ${eventColumns} VALUES ${eventPlaces}`;
      for (const ahead of [1, 2, 1_000])
        await refused("head", insert, ...valuesOf(ref, forged(head.seq + ahead, head.hash)));
      const elsewhere = { ...ref, experiment: `${ref.experiment}-2` };
      await refused("head", insert, ...valuesOf(elsewhere, forged(head.seq, head.hash)));
      await refused("head", insert, ...valuesOf(ref, forged(-1, head.hash)));
    },
    async unlinked(ref, history) {
      const head = eventAt(history, 0);
      for (const hash of ["f".repeat(64), "0".repeat(64), "", eventAt(history, 1).hash, head.hash.toUpperCase()]) {
        const event = forged(head.seq, hash);
        await refused("head", `INSERT INTO events ${eventColumns} VALUES ${eventPlaces}`, ...valuesOf(ref, event));
        await refused(
          "head",
          `INSERT OR REPLACE INTO events ${eventColumns} VALUES ${eventPlaces}`,
          ...valuesOf(ref, event),
        );
      }
      // A history begins with 64 zeros, and with nothing else.
      const elsewhere = { ...ref, experiment: `${ref.experiment}-2` };
      for (const hash of [head.hash, "", "0"])
        await refused(
          "head",
          `INSERT INTO events ${eventColumns} VALUES ${eventPlaces}`,
          ...valuesOf(elsewhere, forged(0, hash)),
        );
    },
    async insertOrReplace(ref, history) {
      await insertOverAll("INSERT OR REPLACE")(ref, history);
      await insertOverAll("REPLACE")(ref, history);
    },
    async insertOrIgnore(ref, history) {
      for (const verb of ["INSERT OR IGNORE", "INSERT OR FAIL", "INSERT OR ROLLBACK", "INSERT OR ABORT"])
        await insertOverAll(verb)(ref, history);
    },
    async upsert(ref, history) {
      await insertOverAll("INSERT", "ON CONFLICT DO NOTHING")(ref, history);
      await insertOverAll("INSERT", "ON CONFLICT (tenant, environment, experiment, seq) DO UPDATE SET hash = ''")(
        ref,
        history,
      );
    },
    async update(ref) {
      for (const verb of ["UPDATE", "UPDATE OR REPLACE", "UPDATE OR IGNORE"]) {
        for (const set of ["people = '[]'", "seq = seq + 1", "tenant = 'other'", "record = '{}'", "hash = hash"])
          await refused("append-only", `${verb} events SET ${set} WHERE ${here}`, ...place(ref));
      }
    },
    async delete(ref, history) {
      await refused("append-only", `DELETE FROM events WHERE ${here}`, ...place(ref));
      await refused("append-only", `DELETE FROM events WHERE ${here} AND seq = ?4`, ...place(ref), history.length);
      await refused("append-only", "DELETE FROM events");
    },
    async checkpoint(ref, history) {
      for (const from of history.map(({ seq }) => seq))
        await refused("append-only", `DELETE FROM events WHERE ${here} AND seq >= ?4`, ...place(ref), from);
      const columns = "(tenant, environment, experiment, seq, hash, key_id, signature, text)";
      const signature = "A".repeat(86);
      const insert = `INTO checkpoints ${columns} VALUES (?1, ?2, ?3, ?4, ?5, 'thief', ?6, ?7)`;
      const head = eventAt(history, 0);
      const places = [
        { seq: head.seq, hash: "f".repeat(64) },
        { seq: head.seq + 1, hash: head.hash },
        { seq: 1, hash: head.hash },
      ];
      for (const verb of ["INSERT", "INSERT OR REPLACE", "INSERT OR IGNORE"])
        for (const { seq, hash } of places)
          await refused(
            "checkpoint",
            `${verb} ${insert}`,
            ...place(ref),
            seq,
            hash,
            signature,
            JSON.stringify({ seq, hash }),
          );
      for (const set of ["seq = 99", "text = '{}'", "key_id = 'thief'"])
        await refused("append-only", `UPDATE checkpoints SET ${set} WHERE ${here}`, ...place(ref));
      await refused("append-only", `DELETE FROM checkpoints WHERE ${here}`, ...place(ref));
      // What was before a checkpoint does not come back, in whatever shape.
      const first = forged(0, "0".repeat(64));
      await refused(
        "head",
        `INSERT OR REPLACE INTO events ${eventColumns} VALUES ${eventPlaces}`,
        ...valuesOf(ref, first),
      );
    },
    async rules(ref) {
      const inserted = `INTO rules SELECT tenant, environment, experiment, digest, '{}' FROM rules WHERE ${here}`;
      for (const verb of ["INSERT", "INSERT OR REPLACE", "REPLACE", "INSERT OR IGNORE"])
        await refused("append-only", `${verb} ${inserted}`, ...place(ref));
      const upsert = `INSERT ${inserted} ON CONFLICT (tenant, environment, experiment, digest) DO UPDATE SET text = '{}'`;
      await refused("append-only", upsert, ...place(ref));
      for (const set of ["text = '{}'", "digest = 'other'", "experiment = 'other'"])
        await refused("append-only", `UPDATE rules SET ${set} WHERE ${here}`, ...place(ref));
      await refused("append-only", `DELETE FROM rules WHERE ${here}`, ...place(ref));
      await refused("append-only", "DELETE FROM rules");
    },
  };
};
