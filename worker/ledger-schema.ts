/** The tables of a ledger object. They are made by the first batch, so that asking about a name that has none stores nothing. */
import type { ExperimentRef } from "../src/scope.ts";

/** Raised with every change of the tables; a step from each older version then goes into {@link upgradeLedgerTables}. */
export const ledgerSchemaVersion = 5;

const ledgerTable = `
  -- One row: what is counted as it arrives, and what of the work is under way.
  CREATE TABLE ledger (
    schema_version INTEGER NOT NULL,
    tenant         TEXT    NOT NULL,
    environment    TEXT    NOT NULL,
    experiment     TEXT    NOT NULL,
    shard          INTEGER NOT NULL,  -- which one this is, …
    shards         INTEGER NOT NULL,  -- … of how many, as far as all of its subjects are its own, …
    target         INTEGER NOT NULL,  -- … and of how many it is to be: above shards while it hands over
    moved_subject  INTEGER NOT NULL DEFAULT 0,   -- handing over has come to this number of subjects, …
    moved_id       BLOB,                         -- … and this exposure id; NULL until all subjects have gone
    received       INTEGER NOT NULL DEFAULT 0,   -- everything, duplicates included
    last_received  INTEGER NOT NULL DEFAULT 0,   -- ms since 1970
    exposures      INTEGER NOT NULL DEFAULT 0,   -- distinct exposure ids
    outcomes       INTEGER NOT NULL DEFAULT 0,   -- distinct outcome ids
    dropped        INTEGER NOT NULL DEFAULT 0,   -- outcomes whose exposure never came
    crossovers     INTEGER NOT NULL DEFAULT 0,
    settled_before INTEGER NOT NULL DEFAULT 0,   -- the watermark, in minutes since 1970
    days_before    INTEGER NOT NULL DEFAULT 0,   -- slices of earlier hours have become days; a multiple of 24
    generation     INTEGER NOT NULL DEFAULT 0,   -- of the exposure ids
    specs          TEXT,                         -- how metrics are counted, as JSON; NULL: none is declared
    specs_revision INTEGER NOT NULL DEFAULT 0,
    recounted      INTEGER,                      -- totals are counted anew as far as this subject; NULL: all of them
    named          INTEGER NOT NULL DEFAULT 0    -- the names of subjects up to this number are in names
  );
`;

const otherTables = `
  CREATE TABLE arms (
    epoch    INTEGER NOT NULL,
    variant  TEXT    NOT NULL,
    subjects INTEGER NOT NULL,
    settled  INTEGER NOT NULL,        -- of these, with a first exposure older than the watermark
    PRIMARY KEY (epoch, variant)
  ) WITHOUT ROWID;

  -- The subjects of arms that are not settled yet, by the minute of their first exposure. Short: the watermark moves on.
  CREATE TABLE recent (
    minute   INTEGER NOT NULL,
    epoch    INTEGER NOT NULL,
    variant  TEXT    NOT NULL,
    subjects INTEGER NOT NULL,
    PRIMARY KEY (minute, epoch, variant)
  ) WITHOUT ROWID;

  CREATE TABLE metrics (
    n         INTEGER PRIMARY KEY,    -- what subjects and outcomes call it
    metric    TEXT NOT NULL UNIQUE,   -- kind:name
    unexposed INTEGER NOT NULL DEFAULT 0
  );

  -- Parts of the arms; src/ledger/slices.ts says which. The slice '' is everybody.
  CREATE TABLE slices (
    slice    TEXT    NOT NULL,
    epoch    INTEGER NOT NULL,
    variant  TEXT    NOT NULL,
    subjects INTEGER NOT NULL,
    PRIMARY KEY (slice, epoch, variant)
  ) WITHOUT ROWID;

  CREATE TABLE totals (
    slice          TEXT    NOT NULL,
    metric         TEXT    NOT NULL,  -- kind:name, or a product of two
    epoch          INTEGER NOT NULL,
    variant        TEXT    NOT NULL,
    observed       INTEGER NOT NULL,
    sum            TEXT    NOT NULL,  -- exact decimals
    sum_of_squares TEXT    NOT NULL,
    PRIMARY KEY (slice, metric, epoch, variant)
  ) WITHOUT ROWID;

  -- Merged counts of all shards at a watermark, in the first shard alone.
  CREATE TABLE checkpoints (
    minute INTEGER NOT NULL PRIMARY KEY,
    arms   TEXT    NOT NULL                  -- those that are not as at the last one: [[epoch, variant, subjects], …]
  );
  CREATE TABLE looked (
    epoch    INTEGER NOT NULL,
    variant  TEXT    NOT NULL,
    subjects INTEGER NOT NULL,        -- at the last checkpoint
    PRIMARY KEY (epoch, variant)
  ) WITHOUT ROWID;

  -- Raw outcomes are kept, each subject's beside each other: a first exposure may move, and a window may be declared
  -- later. An event id counts once for its subject.
  CREATE TABLE outcomes (
    subject INTEGER NOT NULL,
    id      BLOB    NOT NULL,
    metric  INTEGER NOT NULL,
    time    INTEGER NOT NULL,
    value   NOT NULL,
    PRIMARY KEY (subject, id)
  ) WITHOUT ROWID;

  -- Ids of exposures, to count each once, with the hash that says whose shard they are. Two tables take turns, 14 days
  -- each, and the older one is emptied whole.
  CREATE TABLE exposure_ids_0 (id BLOB NOT NULL PRIMARY KEY, hash INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE exposure_ids_1 (id BLOB NOT NULL PRIMARY KEY, hash INTEGER NOT NULL) WITHOUT ROWID;

  -- Assignment events that clients sent, in the first shard alone. Those of crossovers follow from the subjects.
  CREATE TABLE assignments (id BLOB NOT NULL PRIMARY KEY, envelope TEXT NOT NULL) WITHOUT ROWID;

  -- How many shards there are, in the first one alone: every event is looked for under shards first. While they become
  -- target, a wish for more waits.
  CREATE TABLE routing (shards INTEGER NOT NULL, target INTEGER NOT NULL, wanted INTEGER NOT NULL);

  -- What has left this shard and has not been acknowledged by the one it goes to, …
  CREATE TABLE outbox (peer INTEGER NOT NULL, seq INTEGER NOT NULL, content TEXT NOT NULL, PRIMARY KEY (peer, seq));
  -- … and the number of the last parcel that went to, or came from, another shard.
  CREATE TABLE parcels (
    peer      INTEGER NOT NULL,
    direction TEXT    NOT NULL,       -- sent, received
    seq       INTEGER NOT NULL,
    PRIMARY KEY (peer, direction)
  ) WITHOUT ROWID;
`;

/** A subject that has come to be known only by outcomes waits here with the time when the first of those that wait arrived. */
const subjectTable = `
  CREATE TABLE subjects (
    n          INTEGER PRIMARY KEY,
    subject    TEXT NOT NULL,
    variant    TEXT,                  -- first exposure; NULL while only outcomes have arrived
    epoch      INTEGER,
    time       INTEGER,               -- of the first exposure; while there is none, since when outcomes wait
    event      TEXT,
    dimensions TEXT,                  -- ["name=value", …] at the first exposure
    variants   TEXT,                  -- of a crossover only: [[variant, time, event], …], earliest first
    totals     TEXT,                  -- {metric number: total, …}
    trusted    TEXT                   -- [variant, epoch, time, event] by a server's key, or []; NULL: as above
  );
  CREATE INDEX crossovers ON subjects (n) WHERE variants IS NOT NULL;
  CREATE INDEX waiting ON subjects (time) WHERE variant IS NULL;
`;

/**
 * Which number a name has. Names come in no order, so each batch of them writes to nearly every page of a large index;
 * into a small table they go first, and from there many at a time, in order, into the large one.
 */
const nameColumns = "(subject TEXT NOT NULL PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID";
export const newNamesTable = `CREATE TABLE new_names ${nameColumns};`;
const namesTables = `
  CREATE TABLE names ${nameColumns};
  ${newNamesTable}
`;

/** That there were events with a placeholder for the subject, of which nothing else is counted. */
const unnamedTable = `
  CREATE TABLE unnamed (
    kind  TEXT    NOT NULL,           -- exposure, outcome
    epoch INTEGER NOT NULL,           -- of exposures; otherwise 0
    PRIMARY KEY (kind, epoch)
  ) WITHOUT ROWID;
`;

/** What guardrails look at, kept up to date by every batch. A row a watch, of which an experiment has one at a time. */
const watchesTable = `
  CREATE TABLE watches (
    key    TEXT    NOT NULL PRIMARY KEY,
    watch  TEXT    NOT NULL,
    counts TEXT    NOT NULL,
    asked  INTEGER NOT NULL           -- when it was last asked for, to the hour, in ms since 1970
  ) WITHOUT ROWID;
`;

const lastSubject = "(SELECT coalesce(max(n), 0) FROM subjects_old)";

/** From version 2, which took everybody for trusted. */
const fromVersion2 = `
  ALTER TABLE subjects ADD COLUMN trusted TEXT;
  ${watchesTable}
`;

/**
 * From version 3, which had no shards, windows or slices: subjects and outcomes are kept, and everything that is counted
 * of them is counted anew, part by part, while the ledger goes on.
 */
const fromVersion3 = `
  ALTER TABLE ledger RENAME TO ledger_old;
  ALTER TABLE subjects RENAME TO subjects_old;
  ALTER TABLE arms RENAME TO arms_old;
  ALTER TABLE metrics RENAME TO metrics_old;
  ALTER TABLE recent RENAME TO recent_old;
  ALTER TABLE outcomes RENAME TO outcomes_old;
  ALTER TABLE checkpoints RENAME TO checkpoints_old;
  ALTER TABLE assignments RENAME TO assignments_old;
  ALTER TABLE exposure_ids_0 RENAME TO exposure_ids_0_old;
  ALTER TABLE exposure_ids_1 RENAME TO exposure_ids_1_old;
  DROP TABLE totals;
  DROP INDEX crossovers;
  DELETE FROM watches;
  ${ledgerTable}
  ${subjectTable}
  ${otherTables}
  ${namesTables}
  ${unnamedTable}
  INSERT INTO ledger (schema_version, tenant, environment, experiment, shard, shards, target, received, last_received,
    exposures, outcomes, crossovers, settled_before, generation, recounted, named)
    SELECT ${ledgerSchemaVersion}, tenant, environment, experiment, 0, 1, 1, received, last_received,
      exposures, outcomes, crossovers, settled_before, generation, 0, ${lastSubject} FROM ledger_old;
  INSERT INTO subjects (n, subject, variant, epoch, time, event, variants, trusted)
    SELECT n, subject, variant, epoch, coalesce(time, (SELECT last_received FROM ledger)), event, variants, trusted
    FROM subjects_old;
  INSERT INTO names SELECT subject, n FROM subjects ORDER BY subject;
  INSERT INTO arms SELECT epoch, variant, subjects, settled FROM arms_old;
  INSERT INTO looked SELECT epoch, variant, looked FROM arms_old WHERE looked <> 0;
  INSERT INTO recent SELECT * FROM recent_old;
  INSERT INTO metrics (metric, unexposed) SELECT metric, unexposed FROM metrics_old;
  INSERT INTO outcomes SELECT o.subject, o.id, m.n, o.time, o.value FROM outcomes_old AS o JOIN metrics AS m ON m.metric = o.metric;
  INSERT INTO checkpoints SELECT minute, arms FROM checkpoints_old;
  INSERT INTO assignments SELECT * FROM assignments_old;
  -- The hash is not known: the subject's whose exposure it was is not. Those of first exposures are, and the rest stays.
  INSERT INTO exposure_ids_0 SELECT id, 0 FROM exposure_ids_0_old;
  INSERT INTO exposure_ids_1 SELECT id, 0 FROM exposure_ids_1_old;
  DROP TABLE ledger_old; DROP TABLE subjects_old; DROP TABLE arms_old; DROP TABLE metrics_old; DROP TABLE recent_old;
  DROP TABLE outcomes_old; DROP TABLE checkpoints_old; DROP TABLE assignments_old;
  DROP TABLE exposure_ids_0_old; DROP TABLE exposure_ids_1_old;
`;

/** From version 4, which had one index of names, in the table of subjects, and where no wish for more shards waited. */
const fromVersion4 = `
  ALTER TABLE subjects RENAME TO subjects_old;
  DROP INDEX crossovers;
  DROP INDEX waiting;
  ALTER TABLE ledger ADD COLUMN named INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE routing ADD COLUMN wanted INTEGER NOT NULL DEFAULT 0;
  ${subjectTable}
  ${namesTables}
  ${unnamedTable}
  INSERT INTO subjects (n, subject, variant, epoch, time, event, dimensions, variants, totals, trusted)
    SELECT n, subject, variant, epoch, time, event, dimensions, variants, totals, trusted FROM subjects_old;
  INSERT INTO names SELECT subject, n FROM subjects ORDER BY subject;
  UPDATE ledger SET schema_version = ${ledgerSchemaVersion}, named = ${lastSubject};
  UPDATE routing SET wanted = target;
  DROP TABLE subjects_old;
`;

/** True once a batch has been recorded. */
export const hasLedgerTables = (sql: SqlStorage): boolean =>
  sql.exec("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'ledger'").toArray().length > 0;

/** Brings the tables of an older version to the present one, if there are any; call it inside a transaction. */
export const upgradeLedgerTables = (sql: SqlStorage): void => {
  if (!hasLedgerTables(sql)) return;
  const { schema_version: version } = sql.exec<{ schema_version: number }>("SELECT schema_version FROM ledger").one();
  if (version === ledgerSchemaVersion) return;
  if (version === 4) {
    sql.exec(fromVersion4);
    return;
  }
  if (version !== 2 && version !== 3)
    throw new Error(`ledger: the tables have version ${version}, this code knows ${ledgerSchemaVersion}`);
  if (version === 2) sql.exec(fromVersion2);
  sql.exec(fromVersion3);
};

/** Which of how many shards a ledger is. */
export interface ShardPlace {
  readonly shard: number;
  readonly shards: number;
}

/** Creates what is missing; call it inside the transaction that needs it. */
export const createLedgerTables = (
  sql: SqlStorage,
  { tenant, environment, experiment }: ExperimentRef,
  { shard, shards }: ShardPlace,
): void => {
  if (hasLedgerTables(sql)) return;
  sql.exec(`${ledgerTable} ${subjectTable} ${namesTables} ${unnamedTable} ${otherTables} ${watchesTable}`);
  sql.exec(
    "INSERT INTO ledger (schema_version, tenant, environment, experiment, shard, shards, target) VALUES (?, ?, ?, ?, ?, ?, ?)",
    ledgerSchemaVersion,
    tenant,
    environment,
    experiment,
    shard,
    shards,
    shards,
  );
};
