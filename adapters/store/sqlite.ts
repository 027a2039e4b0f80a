/**
 * The questions and answers of the SQLite schema in `migrations/`, for every adapter that speaks it: statements with
 * their values, and schemas of the rows that come back.
 */
import * as v from "valibot";
import { ProvisoError } from "../../src/errors.ts";
import type { PersonalRef } from "../../src/governance/events.ts";
import {
  readReceipt,
  type StorableCommit,
  type StorableEvent,
  type StorableReceipt,
} from "../../src/governance/storable-commit.ts";
import type {
  StorableHistoryQuery,
  StorableListQuery,
  StorablePageQuery,
  StorablePersonalQuery,
  StorableReceiptsQuery,
} from "../../src/governance/storable-query.ts";
import { type Checkpoint, surfaceClaim, type PersonalValue, type RuleSet } from "../../src/governance/store.ts";
import { readEvent, readState } from "../../src/governance/stored.ts";
import type { ExperimentRef, Scope } from "../../src/scope.ts";

/** What a statement gave. */
export interface Rows {
  readonly results: readonly unknown[];
}

export const SnapshotRow = v.pipe(
  v.object({ experiment: v.string(), state: v.string(), revision: v.number(), revision_hash: v.string() }),
  v.transform(({ experiment, state, revision, revision_hash: revisionHash }) => ({
    experiment,
    snapshot: { state: readState(state), revision, revisionHash },
  })),
);
export const EventRow = v.pipe(
  v.object({ record: v.string(), people: v.string() }),
  v.transform(({ record, people }) => ({ event: readEvent(record), people: readPeople(people) })),
);
const PeopleSchema = v.record(v.string(), v.string());
const readPeople = (text: string): readonly (readonly [PersonalRef, string])[] =>
  Object.entries(v.parse(PeopleSchema, JSON.parse(text)));
export const HeadRow = v.object({ seq: v.number(), hash: v.string(), at: v.string() });
export const ReceiptRow = v.pipe(
  v.object({ key: v.string(), fingerprint: v.string(), answer: v.string(), expires_at: v.number() }),
  v.transform(({ expires_at: expiresAt, ...receipt }) => readReceipt({ ...receipt, expiresAt })),
);
export const RefRow = v.object({ ref: v.string() });
export const PersonRow = v.object({ ref: v.string(), value: v.string() });
export const PersonalRow = v.object({
  ref: v.string(),
  kind: v.picklist(["actor", "text"]),
  salt: v.string(),
  value: v.string(),
});
export const RuleRow = v.object({ digest: v.string(), text: v.string() });
export const CheckpointRow = v.pipe(
  v.object({ seq: v.number(), hash: v.string(), key_id: v.string(), signature: v.string(), text: v.string() }),
  v.transform(({ key_id: keyId, signature: value, ...place }) => ({ ...place, signature: { keyId, value } })),
);
export const PositionRow = v.object({ subscriber: v.string(), seq: v.number() });
export const ClaimRow = v.object({ claim: v.string(), holder: v.string() });

export const rowsOf = <Schema extends v.GenericSchema>(
  schema: Schema,
  rows: Rows | undefined,
): v.InferOutput<Schema>[] => v.parse(v.array(schema), rows?.results ?? []);

export const firstOf = <Schema extends v.GenericSchema>(
  schema: Schema,
  rows: Rows | undefined,
): v.InferOutput<Schema> | null => rowsOf(schema, rows)[0] ?? null;

/** A statement and the values of its ?1, ?2 …; D1 wants exactly as many as the statement names. */
export type Query = readonly [sql: string, ...values: (string | number | null)[]];

/** Of the schema in `migrations/` that this code is written for: the number of the last file. */
export const schemaVersion = 4;

/**
 * Fails for another schema than ours, and the statements behind it in a batch with it: a SELECT can only fail by what it
 * is given to do, so it is given something that is no JSON.
 */
export const schemaGuard: Query = [
  `SELECT CASE version WHEN ?1 THEN version ELSE json('schema') END AS version FROM proviso_schema WHERE one = 1`,
  schemaVersion,
];

/** What a batch says that {@link schemaGuard} has stopped. */
export const isSchemaRefusal = (error: unknown): boolean =>
  error instanceof Error && error.message.includes("malformed JSON");

export const schemaVersionQuery: Query = ["SELECT version FROM proviso_schema WHERE one = 1"];
export const VersionRow = v.object({ version: v.number() });

export const schemaTooNew = (found: number, known: number): ProvisoError =>
  new ProvisoError(
    "store-unavailable",
    `the database has schema version ${found}, and this version of Proviso knows ${known}: a newer one has been here`,
  );

const experimentOf = ({ tenant, environment, experiment }: ExperimentRef) => [tenant, environment, experiment] as const;

// Everywhere below ?1, ?2 and ?3 are tenant, environment and experiment.
const inScope = "tenant = ?1 AND environment = ?2";
const here = `${inScope} AND experiment = ?3`;

export const headQuery = (ref: ExperimentRef): Query => [
  `SELECT seq, hash, at FROM events WHERE ${here} ORDER BY seq DESC LIMIT 1`,
  ...experimentOf(ref),
];

export const snapshotQuery = (ref: ExperimentRef): Query => [
  `SELECT experiment, state, revision, revision_hash FROM snapshots WHERE ${here}`,
  ...experimentOf(ref),
];

export const snapshotPeopleQuery = (ref: ExperimentRef): Query => [
  `SELECT ref, value FROM personal
  WHERE ${here} AND ref IN (SELECT value FROM json_each((SELECT people FROM snapshots WHERE ${here})))`,
  ...experimentOf(ref),
];

export const receiptQuery = (ref: ExperimentRef, key: string, now: number): Query => [
  `SELECT key, fingerprint, answer, expires_at FROM receipts WHERE ${here} AND key = ?4 AND expires_at > ?5`,
  ...experimentOf(ref),
  key,
  now,
];

export const actorQuery = (ref: ExperimentRef, id: string): Query => [
  `SELECT ref FROM personal WHERE ${here} AND kind = 'actor' AND value = ?4`,
  ...experimentOf(ref),
  id,
];

const eventColumns = `record, (
    SELECT json_group_object(personal.ref, personal.value)
    FROM json_each(events.people) AS named CROSS JOIN personal
    WHERE personal.tenant = ?1 AND personal.environment = ?2 AND personal.experiment = ?3 AND personal.ref = named.value
  ) AS people`;

/**
 * One page of history and one row more, which tells whether there is a next page. By type, the next rows of each type
 * come from the index and are merged: the work depends on the page, not on how long the history is.
 */
export const historyQuery = (ref: ExperimentRef, { after, limit, types, version }: StorableHistoryQuery): Query => {
  const common = [...experimentOf(ref), after, limit + 1] as const;
  if (types === null)
    return [`SELECT ${eventColumns} FROM events WHERE ${here} AND seq > ?4 ORDER BY seq LIMIT ?5`, ...common];
  if (version !== null) {
    // Left to itself SQLite walks the primary key here, through the whole history.
    const select = `SELECT ${eventColumns} FROM events INDEXED BY events_by_version
      WHERE ${here} AND version = ?6 AND type IN (SELECT value FROM json_each(?7)) AND seq > ?4 ORDER BY seq LIMIT ?5`;
    return [select, ...common, version, JSON.stringify(types)];
  }
  const select = `SELECT ${eventColumns} FROM json_each(?6) AS wanted CROSS JOIN events
    WHERE ${here} AND seq IN (
      SELECT seq FROM events WHERE ${here} AND type = wanted.value AND seq > ?4 ORDER BY seq LIMIT ?5
    ) ORDER BY seq LIMIT ?5`;
  return [select, ...common, JSON.stringify(types)];
};

const snapshotColumns = "snapshots.experiment, state, revision, revision_hash";

/** One page of a scope and one row more; by lifecycle state like {@link historyQuery} by type. ?3 is the cursor. */
export const listQuery = (scope: Scope, { after, limit, states, surface }: StorableListQuery): Query => {
  const common = [scope.tenant, scope.environment, after, limit + 1] as const;
  if (surface !== null) {
    const select = `SELECT ${snapshotColumns} FROM claims JOIN snapshots USING (tenant, environment, experiment)
      WHERE ${inScope} AND claim = ?5 AND experiment > ?3
        AND (?6 IS NULL OR lifecycle IN (SELECT value FROM json_each(?6))) LIMIT ?4`;
    return [select, ...common, surfaceClaim(surface), states === null ? null : JSON.stringify(states)];
  }
  if (states === null) {
    const select = `SELECT ${snapshotColumns} FROM snapshots
      WHERE ${inScope} AND experiment > ?3 ORDER BY experiment LIMIT ?4`;
    return [select, ...common];
  }
  const select = `SELECT ${snapshotColumns} FROM json_each(?5) AS wanted CROSS JOIN snapshots
    WHERE ${inScope} AND experiment IN (
      SELECT experiment FROM snapshots
      WHERE ${inScope} AND lifecycle = wanted.value AND experiment > ?3 ORDER BY experiment LIMIT ?4
    ) ORDER BY experiment LIMIT ?4`;
  return [select, ...common, JSON.stringify(states)];
};

/** One page of rules and one row more. */
export const rulesQuery = (ref: ExperimentRef, { after, limit }: StorablePageQuery): Query => [
  `SELECT digest, text FROM rules WHERE ${here} AND digest > ?4 ORDER BY digest LIMIT ?5`,
  ...experimentOf(ref),
  after,
  limit + 1,
];

/** Like {@link rulesQuery}, of personal values. */
export const personalQuery = (ref: ExperimentRef, { after, limit, refs }: StorablePersonalQuery): Query => {
  const common = [...experimentOf(ref), after, limit + 1] as const;
  if (refs === null)
    return [`SELECT ref, kind, salt, value FROM personal WHERE ${here} AND ref > ?4 ORDER BY ref LIMIT ?5`, ...common];
  const select = `SELECT ref, kind, salt, personal.value FROM json_each(?6) AS wanted CROSS JOIN personal
    WHERE ${here} AND ref = wanted.value AND ref > ?4 ORDER BY ref LIMIT ?5`;
  return [select, ...common, JSON.stringify(refs)];
};

export const eraseQueries = (ref: ExperimentRef, refs: readonly PersonalRef[]): readonly Query[] => [
  [
    `DELETE FROM personal WHERE ${here} AND ref IN (SELECT value FROM json_each(?4))`,
    ...experimentOf(ref),
    JSON.stringify(refs),
  ],
  [`DELETE FROM receipts WHERE ${here}`, ...experimentOf(ref)],
];

/** The last statement tells whether the checkpoint is there: then the events before it are gone. */
export const archiveQueries = (ref: ExperimentRef, { seq, hash, text, signature }: Checkpoint): readonly Query[] => [
  [
    `INSERT INTO checkpoints (tenant, environment, experiment, seq, hash, key_id, signature, text)
    SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8
    WHERE EXISTS (SELECT 1 FROM events WHERE ${here} AND seq = ?4 AND hash = ?5)
      AND NOT EXISTS (SELECT 1 FROM checkpoints WHERE ${here} AND seq >= ?4)`,
    ...experimentOf(ref),
    seq,
    hash,
    signature.keyId,
    signature.value,
    text,
  ],
  [
    `DELETE FROM events WHERE ${here} AND seq < ?4
      AND EXISTS (SELECT 1 FROM checkpoints WHERE ${here} AND seq = ?4 AND hash = ?5)`,
    ...experimentOf(ref),
    seq,
    hash,
  ],
  [
    `SELECT seq, hash, key_id, signature, text FROM checkpoints WHERE ${here} AND seq = ?4 AND hash = ?5`,
    ...experimentOf(ref),
    seq,
    hash,
  ],
];

export const checkpointQuery = (ref: ExperimentRef): Query => [
  `SELECT seq, hash, key_id, signature, text FROM checkpoints WHERE ${here} ORDER BY seq DESC LIMIT 1`,
  ...experimentOf(ref),
];

/** One page of receipts and one row more. */
export const receiptsQuery = (ref: ExperimentRef, { after, limit, now }: StorableReceiptsQuery): Query => [
  `SELECT key, fingerprint, answer, expires_at FROM receipts
  WHERE ${here} AND key > ?4 AND expires_at > ?6 ORDER BY key LIMIT ?5`,
  ...experimentOf(ref),
  after,
  limit + 1,
  now,
];

export const keepReceiptQuery = (
  ref: ExperimentRef,
  { key, fingerprint, answer, expiresAt }: StorableReceipt,
): Query => [
  `INSERT INTO receipts (tenant, environment, experiment, key, fingerprint, answer, expires_at)
  SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 WHERE EXISTS (SELECT 1 FROM snapshots WHERE ${here})
  ON CONFLICT (tenant, environment, experiment, key) DO UPDATE SET
    fingerprint = excluded.fingerprint, answer = excluded.answer, expires_at = excluded.expires_at
  WHERE excluded.expires_at > receipts.expires_at`,
  ...experimentOf(ref),
  key,
  fingerprint,
  answer,
  expiresAt,
];

export const sweepQuery = (ref: ExperimentRef, now: number): Query => [
  `DELETE FROM receipts WHERE ${here} AND expires_at <= ?4`,
  ...experimentOf(ref),
  now,
];

export const positionsQuery = (ref: ExperimentRef): Query => [
  `SELECT subscriber, seq FROM positions WHERE ${here}`,
  ...experimentOf(ref),
];

export const advanceQuery = (ref: ExperimentRef, subscriber: string, seq: number): Query => [
  `INSERT INTO positions (tenant, environment, experiment, subscriber, seq) VALUES (?1, ?2, ?3, ?4, ?5)
  ON CONFLICT (tenant, environment, experiment, subscriber) DO UPDATE SET seq = max(seq, excluded.seq)`,
  ...experimentOf(ref),
  subscriber,
  seq,
];

const insertEvents = (ref: ExperimentRef, events: readonly StorableEvent[]): readonly Query[] =>
  events.map((event) => [
    `INSERT INTO events
    (tenant, environment, experiment, seq, type, at, version, prev_hash, hash, people, record)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)`,
    ...experimentOf(ref),
    event.seq,
    event.type,
    event.at,
    event.version,
    event.prevHash,
    event.hash,
    JSON.stringify(event.people),
    event.text,
  ]);

/** The same row again is nothing new; the same reference or person with something else fails. */
const insertPersonal = (ref: ExperimentRef, personal: readonly PersonalValue[]): readonly Query[] => {
  if (personal.length === 0) return [];
  const insert = `INSERT INTO personal (tenant, environment, experiment, ref, kind, salt, value)
    SELECT ?1, ?2, ?3, item.value ->> 'ref', item.value ->> 'kind', item.value ->> 'salt', item.value ->> 'value'
    FROM json_each(?4) AS item
    WHERE NOT EXISTS (
      SELECT 1 FROM personal AS known
      WHERE ${here} AND known.ref = item.value ->> 'ref' AND known.kind = item.value ->> 'kind'
        AND known.salt = item.value ->> 'salt' AND known.value = item.value ->> 'value'
    )`;
  return [[insert, ...experimentOf(ref), JSON.stringify(personal)]];
};

/** A statement each: one definition may be as large as a row can be. */
const insertRules = (ref: ExperimentRef, rules: readonly RuleSet[]): readonly Query[] =>
  rules.map(({ digest, text }) => [
    `INSERT INTO rules (tenant, environment, experiment, digest, text)
    SELECT ?1, ?2, ?3, ?4, ?5 WHERE NOT EXISTS (SELECT 1 FROM rules WHERE ${here} AND digest = ?4)`,
    ...experimentOf(ref),
    digest,
    text,
  ]);

/** Replacing is safe here: the events of the batch came first, and they hold the place. */
const writeSnapshot = (ref: ExperimentRef, { snapshot, isNew }: StorableCommit): readonly Query[] => {
  if (snapshot === null) return [];
  const insert = `INSERT INTO snapshots
    (tenant, environment, experiment, lifecycle, revision, revision_hash, created_at, updated_at, people, state)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)`;
  const replace = `${insert} ON CONFLICT (tenant, environment, experiment) DO UPDATE SET
    lifecycle = excluded.lifecycle, revision = excluded.revision, revision_hash = excluded.revision_hash,
    created_at = excluded.created_at, updated_at = excluded.updated_at, people = excluded.people, state = excluded.state`;
  const { lifecycle, revision, revisionHash, createdAt, updatedAt, people, text } = snapshot;
  const columns = [lifecycle, revision, revisionHash, createdAt, updatedAt, JSON.stringify(people), text];
  return [[isNew ? insert : replace, ...experimentOf(ref), ...columns]];
};

const writeReceipt = (ref: ExperimentRef, { receipt, now }: StorableCommit): readonly Query[] =>
  receipt === null
    ? []
    : [
        sweepQuery(ref, now),
        [
          `INSERT INTO receipts (tenant, environment, experiment, key, fingerprint, answer, expires_at)
          VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)`,
          ...experimentOf(ref),
          receipt.key,
          receipt.fingerprint,
          receipt.answer,
          receipt.expiresAt,
        ],
      ];

const releaseClaims = (ref: ExperimentRef, names: readonly string[]): readonly Query[] =>
  names.length === 0
    ? []
    : [
        [
          `DELETE FROM claims WHERE ${here} AND claim IN (SELECT value FROM json_each(?4))`,
          ...experimentOf(ref),
          JSON.stringify(names),
        ],
      ];

/** A plain INSERT of what is not held already. Never an upsert: that would take a claim from whoever holds it. */
const takeClaims = (ref: ExperimentRef, names: readonly string[]): readonly Query[] =>
  names.length === 0
    ? []
    : [
        [
          `INSERT INTO claims (tenant, environment, experiment, claim)
          SELECT ?1, ?2, ?3, item.value FROM json_each(?4) AS item
          WHERE NOT EXISTS (SELECT 1 FROM claims WHERE ${here} AND claim = item.value)`,
          ...experimentOf(ref),
          JSON.stringify(names),
        ],
      ];

/** Events first: only the first statement that fails is named, and a lost race says more than what follows from it. */
export const commitQueries = (ref: ExperimentRef, commit: StorableCommit): readonly Query[] => [
  ...insertEvents(ref, commit.events),
  ...insertPersonal(ref, commit.personal),
  ...insertRules(ref, commit.rules),
  ...writeSnapshot(ref, commit),
  ...writeReceipt(ref, commit),
  ...releaseClaims(ref, commit.release),
  ...takeClaims(ref, commit.take),
];

/** What may stand in a commit's way, and whether it stands there itself already. */
export const readBackQueries = (ref: ExperimentRef, { head, receipt, take, now }: StorableCommit): readonly Query[] => [
  headQuery(ref),
  [
    `SELECT seq, hash, at FROM events WHERE ${here} AND seq = ?4 AND hash = ?5`,
    ...experimentOf(ref),
    head.seq,
    head.hash,
  ],
  receiptQuery(ref, receipt?.key ?? "", now),
  [
    `SELECT claim, experiment AS holder FROM json_each(?4) AS wanted CROSS JOIN claims
    WHERE ${inScope} AND claim = wanted.value AND experiment <> ?3 ORDER BY wanted.key LIMIT 1`,
    ...experimentOf(ref),
    JSON.stringify(take),
  ],
];
