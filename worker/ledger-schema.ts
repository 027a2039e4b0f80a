/** The tables of a ledger object. They are made by the first batch, so that asking about a name that has none stores nothing. */
import type { ExperimentRef } from "../src/scope.ts";

/** Raised with every change of the tables; a step from each older version then goes into {@link upgradeLedgerTables}. */
export const ledgerSchemaVersion = 3;

/** What guardrails look at, kept up to date by every batch. A row a watch, of which an experiment has one at a time. */
const watches = `
  CREATE TABLE watches (
    key    TEXT    NOT NULL PRIMARY KEY,
    watch  TEXT    NOT NULL,
    counts TEXT    NOT NULL,
    asked  INTEGER NOT NULL           -- when it was last asked for, to the hour, in ms since 1970
  ) WITHOUT ROWID;
`;

const tables = `
  -- One row: what is counted as it arrives.
  CREATE TABLE ledger (
    schema_version INTEGER NOT NULL,
    tenant         TEXT    NOT NULL,
    environment    TEXT    NOT NULL,
    experiment     TEXT    NOT NULL,
    received       INTEGER NOT NULL,  -- everything, duplicates included
    last_received  INTEGER NOT NULL,  -- ms since 1970
    exposures      INTEGER NOT NULL,  -- distinct exposure ids
    outcomes       INTEGER NOT NULL,  -- distinct outcome ids
    crossovers     INTEGER NOT NULL,
    settled_before INTEGER NOT NULL,  -- the watermark, in minutes since 1970
    generation     INTEGER NOT NULL   -- of the exposure ids
  );

  CREATE TABLE subjects (
    n        INTEGER PRIMARY KEY,
    subject  TEXT NOT NULL UNIQUE,
    variant  TEXT,                    -- first exposure; NULL while only outcomes have arrived
    epoch    INTEGER,
    time     INTEGER,
    event    TEXT,
    variants TEXT,                    -- of a crossover only: [[variant, time, event], …], earliest first
    totals   TEXT,                    -- {"kind:metric": total, …}
    trusted  TEXT                     -- [variant, epoch, time, event] by a server's key, or []; NULL: as above
  );
  CREATE INDEX crossovers ON subjects (n) WHERE variants IS NOT NULL;

  CREATE TABLE arms (
    epoch    INTEGER NOT NULL,
    variant  TEXT    NOT NULL,
    subjects INTEGER NOT NULL,
    settled  INTEGER NOT NULL,        -- of these, with a first exposure older than the watermark
    looked   INTEGER NOT NULL DEFAULT 0,  -- settled as of the last checkpoint
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
    metric    TEXT    NOT NULL PRIMARY KEY,  -- kind:name
    unexposed INTEGER NOT NULL
  ) WITHOUT ROWID;

  CREATE TABLE totals (
    metric         TEXT    NOT NULL,
    epoch          INTEGER NOT NULL,
    variant        TEXT    NOT NULL,
    observed       INTEGER NOT NULL,
    sum            TEXT    NOT NULL,  -- exact decimals
    sum_of_squares TEXT    NOT NULL,
    PRIMARY KEY (metric, epoch, variant)
  ) WITHOUT ROWID;

  CREATE TABLE checkpoints (
    minute INTEGER NOT NULL PRIMARY KEY,     -- the watermark
    arms   TEXT    NOT NULL                  -- those that are not as at the last one: [[epoch, variant, subjects], …]
  );

  -- Raw outcomes are kept: a metric's window may be declared later. A row id and a narrow index keep inserts near
  -- the end of the table also when a sender makes random event ids.
  CREATE TABLE outcomes (
    id      BLOB    NOT NULL UNIQUE,
    subject INTEGER NOT NULL,
    metric  TEXT    NOT NULL,                -- kind:name
    time    INTEGER NOT NULL,
    value   NOT NULL
  );

  -- Ids of exposures, to count each once. Two tables take turns, 14 days each, and the older one is emptied whole.
  CREATE TABLE exposure_ids_0 (id BLOB NOT NULL PRIMARY KEY) WITHOUT ROWID;
  CREATE TABLE exposure_ids_1 (id BLOB NOT NULL PRIMARY KEY) WITHOUT ROWID;

  -- Assignment events that clients sent. Those of crossovers follow from the subjects.
  CREATE TABLE assignments (id BLOB NOT NULL PRIMARY KEY, envelope TEXT NOT NULL) WITHOUT ROWID;
`;

/** True once a batch has been recorded. */
export const hasLedgerTables = (sql: SqlStorage): boolean =>
  sql.exec("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'ledger'").toArray().length > 0;

/** Brings the tables of an older version to the present one, if there are any; call it inside a transaction. */
export const upgradeLedgerTables = (sql: SqlStorage): void => {
  if (!hasLedgerTables(sql)) return;
  const { schema_version: version } = sql.exec<{ schema_version: number }>("SELECT schema_version FROM ledger").one();
  if (version === ledgerSchemaVersion) return;
  if (version !== 2)
    throw new Error(`ledger: the tables have version ${version}, this code knows ${ledgerSchemaVersion}`);
  sql.exec("ALTER TABLE subjects ADD COLUMN trusted TEXT");
  sql.exec(watches);
  sql.exec("UPDATE ledger SET schema_version = ?", ledgerSchemaVersion);
};

/** Creates what is missing; call it inside the transaction that needs it. */
export const createLedgerTables = (sql: SqlStorage, { tenant, environment, experiment }: ExperimentRef): void => {
  if (hasLedgerTables(sql)) return;
  sql.exec(tables);
  sql.exec(watches);
  sql.exec(
    "INSERT INTO ledger VALUES (?, ?, ?, ?, 0, 0, 0, 0, 0, 0, 0)",
    ledgerSchemaVersion,
    tenant,
    environment,
    experiment,
  );
};
