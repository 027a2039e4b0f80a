/** The questions and answers of the PostgreSQL schema in `migrations/postgres/`. */
import * as v from "valibot";
import { readReceipt, type StorableCommit, type StorableReceipt } from "../../src/governance/storable-commit.ts";
import type {
  StorableHistoryQuery,
  StorableListQuery,
  StorableLoad,
  StorablePageQuery,
  StorablePersonalQuery,
  StorableReceiptsQuery,
} from "../../src/governance/storable-query.ts";
import { type Checkpoint, surfaceClaim } from "../../src/governance/store.ts";
import { readEvent, readState } from "../../src/governance/stored.ts";
import type { ExperimentRef, Scope } from "../../src/scope.ts";

/** Of 0001 and what came after it: `migrations/postgres/` ends in this. */
export const schemaVersion = 3;

const PeopleText = v.pipe(
  v.nullable(v.string()),
  v.transform((text): ReadonlyMap<string, string> =>
    text === null ? new Map() : new Map(Object.entries(v.parse(v.record(v.string(), v.string()), JSON.parse(text)))),
  ),
);

const snapshotEntries = { state: v.string(), revision: v.number(), revision_hash: v.string() };
type SnapshotEntries = v.InferOutput<v.ObjectSchema<typeof snapshotEntries, undefined>>;
const snapshotOf = ({ state, revision, revision_hash: revisionHash }: SnapshotEntries) => ({
  state: readState(state),
  revision,
  revisionHash,
});

const nullableText = v.nullable(v.string());

export const LoadedRow = v.pipe(
  v.object({
    ...snapshotEntries,
    seq: v.number(),
    hash: v.string(),
    at: v.string(),
    people: PeopleText,
    actor: nullableText,
    key: nullableText,
    fingerprint: nullableText,
    answer: nullableText,
    expires_at: v.nullable(v.number()),
  }),
  v.transform(({ seq, hash, at, people, actor, key, fingerprint, answer, expires_at: expiresAt, ...row }) => ({
    snapshot: snapshotOf(row),
    head: { seq, hash, at },
    receipt:
      key === null || fingerprint === null || answer === null || expiresAt === null
        ? null
        : readReceipt({ key, fingerprint, answer, expiresAt }),
    actor,
    people,
  })),
);
export const OutcomeRow = v.variant("outcome", [
  v.object({ outcome: v.picklist(["ok", "receipt", "stale"]) }),
  v.object({ outcome: v.literal("claimed"), claim: v.string(), holder: v.string() }),
]);
export const EventRow = v.pipe(
  v.object({ record: v.string(), people: PeopleText }),
  v.transform(({ record, people }) => ({ event: readEvent(record), people })),
);
export const SnapshotRow = v.pipe(
  v.object({ experiment: v.string(), ...snapshotEntries }),
  v.transform(({ experiment, ...row }) => ({ experiment, snapshot: snapshotOf(row) })),
);
export const RuleRow = v.object({ digest: v.string(), text: v.string() });
export const PersonalRow = v.object({
  ref: v.string(),
  kind: v.picklist(["actor", "text"]),
  salt: v.string(),
  value: v.string(),
});
export const ReceiptRow = v.pipe(
  v.object({ key: v.string(), fingerprint: v.string(), answer: v.string(), expires_at: v.number() }),
  v.transform(({ expires_at: expiresAt, ...receipt }) => readReceipt({ ...receipt, expiresAt })),
);
export const CheckpointRow = v.pipe(
  v.object({ seq: v.number(), hash: v.string(), key_id: v.string(), signature: v.string(), text: v.string() }),
  v.transform(({ key_id: keyId, signature: value, ...place }) => ({ ...place, signature: { keyId, value } })),
);
export const ArchivedRow = v.object({ archived: v.boolean() });
export const PositionRow = v.object({ subscriber: v.string(), seq: v.number() });
export const VersionRow = v.object({ version: v.number() });

/** A statement and the values of its $1, $2 … */
export type Query = readonly [sql: string, ...values: (string | number | null)[]];

const experimentOf = ({ tenant, environment, experiment }: ExperimentRef) => [tenant, environment, experiment] as const;

// Everywhere below $1, $2 and $3 are tenant, environment and experiment. Whole numbers come back as `double precision`,
// which every driver gives as a number (a bigint would be a text), and hold what a number holds.
const inScope = "tenant = $1 AND environment = $2";
const here = `${inScope} AND experiment = $3`;
const listed = (place: number): string => `jsonb_array_elements_text($${place}::text::jsonb)`;
const snapshotColumns = "state, revision::double precision, revision_hash";

/** `commit_experiment` in the schema takes it apart again. Text inside is text there too, byte for byte. */
const commitParameter = (ref: ExperimentRef, commit: StorableCommit): string => {
  const { snapshot } = commit;
  const { tenant, environment, experiment } = ref;
  return JSON.stringify({
    tenant,
    environment,
    experiment,
    expect: commit.expect,
    head: commit.head,
    now: commit.now,
    events: commit.events.map(({ text, people, ...event }) => ({
      ...event,
      people: JSON.stringify(people),
      record: text,
    })),
    personal: commit.personal,
    rules: commit.rules,
    snapshot: snapshot === null ? null : { ...snapshot, people: JSON.stringify(snapshot.people), state: snapshot.text },
    receipt: commit.receipt,
    release: commit.release,
    take: commit.take,
  });
};

/**
 * The statements, with the schema's name in them: a search path could not be relied on where a pool sits between.
 *
 * @param schema an identifier that needs no quotes
 */
export const postgresQueries = (schema: string) => {
  const table = (name: string): string => `"${schema}".${name}`;
  const peopleOf = (list: string): string =>
    `(SELECT jsonb_object_agg(named.ref, known.value)::text FROM jsonb_array_elements_text(${list}::jsonb) AS named (ref)
      CROSS JOIN LATERAL (SELECT value FROM ${table("personal")} WHERE ${here} AND personal.ref = named.ref LIMIT 1) AS known)`;
  const eventColumns = `record, ${peopleOf("events.people")} AS people`;

  return {
    /** One statement is one reading of the database as it stood at one moment, at every isolation level. */
    load: (ref: ExperimentRef, { receipt, actor, now }: StorableLoad): Query => [
      `SELECT * FROM ${table("load_experiment")}($1, $2, $3, $4, $5::bigint, $6)`,
      ...experimentOf(ref),
      receipt,
      now,
      actor,
    ],

    commit: (ref: ExperimentRef, commit: StorableCommit): Query => [
      `SELECT outcome, claim, holder FROM ${table("commit_experiment")}($1::text)`,
      commitParameter(ref, commit),
    ],

    /**
     * One page of history and one row more, which tells whether there is a next page. By type, the next rows of each
     * type come from the index and are merged: the work depends on the page, not on how long the history is. The types are
     * compared in order, and not by equality, so that no other index gives that order: the primary key does not find a type,
     * and would read a history to its end for one that it does not have.
     */
    history: (ref: ExperimentRef, { after, limit, types, version }: StorableHistoryQuery): Query => {
      const common = [...experimentOf(ref), after, limit + 1] as const;
      const events = table("events");
      const page = "ORDER BY seq LIMIT $5::integer";
      if (types === null)
        return [`SELECT ${eventColumns} FROM ${events} WHERE ${here} AND seq > $4::bigint ${page}`, ...common];
      // OFFSET 0: while a table has not been analysed the key looks as good, and all of a history would be read for one event.
      if (version !== null)
        return [
          `SELECT ${eventColumns} FROM (
            SELECT seq, type, record, people FROM ${events} WHERE ${here} AND version = $6::bigint OFFSET 0
          ) AS events WHERE type IN (SELECT ${listed(7)}) AND seq > $4::bigint ${page}`,
          ...common,
          version,
          JSON.stringify(types),
        ];
      return [
        `SELECT ${eventColumns} FROM ${listed(6)} AS wanted (type) CROSS JOIN LATERAL (
          SELECT seq, record, people FROM ${events}
          WHERE (type, tenant, environment, experiment, seq) > (wanted.type, $1, $2, $3, $4::bigint)
            AND (type, tenant, environment, experiment) <= (wanted.type, $1, $2, $3)
          ORDER BY type, tenant, environment, experiment, seq LIMIT $5::integer
        ) AS events ${page}`,
        ...common,
        JSON.stringify(types),
      ];
    },

    /** One page of a scope and one row more; by lifecycle state like the history by type. $3 is the cursor. */
    list: (scope: Scope, { after, limit, states, surface }: StorableListQuery): Query => {
      const common = [scope.tenant, scope.environment, after, limit + 1] as const;
      const page = "ORDER BY experiment LIMIT $4::integer";
      const columns = `experiment, ${snapshotColumns}`;
      if (surface !== null)
        return [
          `SELECT ${columns} FROM ${table("claims")} JOIN ${table("snapshots")} USING (tenant, environment, experiment)
            WHERE ${inScope} AND claim = $5 AND experiment > $3
              AND ($6::text IS NULL OR lifecycle IN (SELECT ${listed(6)})) LIMIT $4::integer`,
          ...common,
          surfaceClaim(surface),
          states === null ? null : JSON.stringify(states),
        ];
      if (states === null)
        return [`SELECT ${columns} FROM ${table("snapshots")} WHERE ${inScope} AND experiment > $3 ${page}`, ...common];
      return [
        `SELECT ${columns} FROM ${listed(5)} AS wanted (lifecycle) CROSS JOIN LATERAL (
          SELECT experiment, state, revision, revision_hash FROM ${table("snapshots")}
          WHERE (lifecycle, tenant, environment, experiment) > (wanted.lifecycle, $1, $2, $3)
            AND (lifecycle, tenant, environment) <= (wanted.lifecycle, $1, $2)
          ORDER BY lifecycle, tenant, environment, experiment LIMIT $4::integer
        ) AS snapshots ${page}`,
        ...common,
        JSON.stringify(states),
      ];
    },

    rules: (ref: ExperimentRef, { after, limit }: StorablePageQuery): Query => [
      `SELECT digest, text FROM ${table("rules")} WHERE ${here} AND digest > $4 ORDER BY digest LIMIT $5::integer`,
      ...experimentOf(ref),
      after,
      limit + 1,
    ],

    personal: (ref: ExperimentRef, { after, limit, refs }: StorablePersonalQuery): Query => [
      `SELECT ref, kind, salt, value FROM ${table("personal")}
        WHERE ${here} AND ref > $4 ${refs === null ? "" : `AND ref = ANY (ARRAY(SELECT ${listed(6)}))`}
        ORDER BY ref LIMIT $5::integer`,
      ...experimentOf(ref),
      after,
      limit + 1,
      ...(refs === null ? [] : [JSON.stringify(refs)]),
    ],

    /** Both or neither: one statement is a transaction. */
    erase: (ref: ExperimentRef, refs: readonly string[]): Query => [
      `WITH forgotten AS (
          DELETE FROM ${table("personal")} WHERE ${here} AND ref = ANY (ARRAY(SELECT ${listed(4)}))
        )
        DELETE FROM ${table("receipts")} WHERE ${here}`,
      ...experimentOf(ref),
      JSON.stringify(refs),
    ],

    archive: (ref: ExperimentRef, { seq, hash, text, signature }: Checkpoint): Query => [
      `SELECT ${table("archive_experiment")}($1, $2, $3, $4::bigint, $5, $6, $7, $8) AS archived`,
      ...experimentOf(ref),
      seq,
      hash,
      signature.keyId,
      signature.value,
      text,
    ],

    checkpoint: (ref: ExperimentRef): Query => [
      `SELECT seq::double precision, hash, key_id, signature, text FROM ${table("checkpoints")}
        WHERE ${here} ORDER BY checkpoints.seq DESC LIMIT 1`,
      ...experimentOf(ref),
    ],

    receipts: (ref: ExperimentRef, { after, limit, now }: StorableReceiptsQuery): Query => [
      `SELECT key, fingerprint, answer, expires_at::double precision FROM ${table("receipts")}
        WHERE ${here} AND key > $4 AND receipts.expires_at > $6::bigint ORDER BY key LIMIT $5::integer`,
      ...experimentOf(ref),
      after,
      limit + 1,
      now,
    ],

    keepReceipts: (ref: ExperimentRef, receipts: readonly StorableReceipt[]): Query => [
      `INSERT INTO ${table("receipts")} AS known (tenant, environment, experiment, key, fingerprint, answer, expires_at)
        SELECT $1, $2, $3, r ->> 'key', r ->> 'fingerprint', r ->> 'answer', (r ->> 'expiresAt')::bigint
        FROM jsonb_array_elements($4::text::jsonb) AS r
        WHERE EXISTS (SELECT 1 FROM ${table("snapshots")} WHERE ${here})
        ON CONFLICT (tenant, environment, experiment, key) DO UPDATE SET
          fingerprint = excluded.fingerprint, answer = excluded.answer, expires_at = excluded.expires_at
        WHERE excluded.expires_at > known.expires_at`,
      ...experimentOf(ref),
      JSON.stringify(receipts),
    ],

    sweep: (ref: ExperimentRef, now: number): Query => [
      `DELETE FROM ${table("receipts")} WHERE ${here} AND expires_at <= $4::bigint`,
      ...experimentOf(ref),
      now,
    ],

    positions: (ref: ExperimentRef): Query => [
      `SELECT subscriber, seq::double precision FROM ${table("positions")} WHERE ${here}`,
      ...experimentOf(ref),
    ],

    advance: (ref: ExperimentRef, subscriber: string, seq: number): Query => [
      `INSERT INTO ${table("positions")} AS known (tenant, environment, experiment, subscriber, seq)
        VALUES ($1, $2, $3, $4, $5::bigint)
        ON CONFLICT (tenant, environment, experiment, subscriber)
        DO UPDATE SET seq = greatest(known.seq, excluded.seq)`,
      ...experimentOf(ref),
      subscriber,
      seq,
    ],

    version: (): Query => [`SELECT version FROM ${table("proviso_schema")}`],
  };
};
