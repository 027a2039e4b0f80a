-- Governance: one append-only history per experiment, and beside it what can be rebuilt from it or must be erasable.
-- Text is canonical JSON (RFC 8785). The statement-breakpoint lines part the statements for hosts that apply this file
-- without wrangler (see migrate.ts).

-- The primary key is the optimistic lock: of two writers that claim one seq, one loses its whole batch.
-- No other UNIQUE constraint may be added here: INSERT OR REPLACE deletes whatever row clashes with it, and fires no
-- DELETE trigger as it does.
CREATE TABLE events (
  tenant TEXT NOT NULL,
  environment TEXT NOT NULL,
  experiment TEXT NOT NULL,
  seq INTEGER NOT NULL CHECK (seq >= 1),
  type TEXT NOT NULL,
  at TEXT NOT NULL,
  -- Set in VersionWritten events only.
  version INTEGER,
  prev_hash TEXT NOT NULL,
  hash TEXT NOT NULL,
  -- JSON array of the references to personal values in this event.
  people TEXT NOT NULL CHECK (json_type(people) = 'array'),
  record TEXT NOT NULL,
  PRIMARY KEY (tenant, environment, experiment, seq),
  -- The columns are there to be searched by. The record is what is hashed, and they cannot say otherwise.
  CHECK (seq IS json_extract(record, '$.seq')),
  CHECK (type IS json_extract(record, '$.type')),
  CHECK (at IS json_extract(record, '$.at')),
  CHECK (version IS CASE type WHEN 'VersionWritten' THEN json_extract(record, '$.data.version') END),
  CHECK (prev_hash IS json_extract(record, '$.prevHash')),
  CHECK (hash IS json_extract(record, '$.hash'))
) STRICT, WITHOUT ROWID;
--> statement-breakpoint
CREATE INDEX events_by_type ON events (tenant, environment, experiment, type, seq);
--> statement-breakpoint
CREATE INDEX events_by_version ON events (tenant, environment, experiment, version) WHERE version IS NOT NULL;
--> statement-breakpoint
-- Fires before any conflict is resolved, so INSERT OR REPLACE, OR IGNORE and upserts stop here too.
CREATE TRIGGER events_follow_head BEFORE INSERT ON events
WHEN
  EXISTS (
    SELECT 1 FROM events
    WHERE tenant = NEW.tenant AND environment = NEW.environment AND experiment = NEW.experiment AND seq >= NEW.seq
  )
  OR NEW.prev_hash IS NOT CASE NEW.seq
    WHEN 1 THEN '0000000000000000000000000000000000000000000000000000000000000000'
    ELSE (
      SELECT hash FROM events
      WHERE tenant = NEW.tenant AND environment = NEW.environment AND experiment = NEW.experiment AND seq = NEW.seq - 1
    )
  END
BEGIN
  SELECT RAISE(ABORT, 'proviso:head: an event must follow on from the head of its history');
END;
--> statement-breakpoint
CREATE TRIGGER events_never_change BEFORE UPDATE ON events
BEGIN
  SELECT RAISE(ABORT, 'proviso:append-only: history is never changed');
END;
--> statement-breakpoint
CREATE TRIGGER events_never_go BEFORE DELETE ON events
BEGIN
  SELECT RAISE(ABORT, 'proviso:append-only: history is never deleted');
END;
--> statement-breakpoint
-- The state of each experiment, as its history leads to it.
CREATE TABLE snapshots (
  tenant TEXT NOT NULL,
  environment TEXT NOT NULL,
  experiment TEXT NOT NULL,
  lifecycle TEXT NOT NULL,
  revision INTEGER NOT NULL CHECK (revision >= 1),
  revision_hash TEXT NOT NULL,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  people TEXT NOT NULL CHECK (json_type(people) = 'array'),
  state TEXT NOT NULL,
  PRIMARY KEY (tenant, environment, experiment),
  CHECK (lifecycle IS json_extract(state, '$.lifecycle'))
) STRICT, WITHOUT ROWID;
--> statement-breakpoint
CREATE INDEX snapshots_by_lifecycle ON snapshots (tenant, environment, lifecycle, experiment);
--> statement-breakpoint
-- Names that one experiment of a scope holds alone: surfaces, pairs of conflicting experiments.
CREATE TABLE claims (
  tenant TEXT NOT NULL,
  environment TEXT NOT NULL,
  claim TEXT NOT NULL,
  experiment TEXT NOT NULL,
  PRIMARY KEY (tenant, environment, claim)
) STRICT, WITHOUT ROWID;
--> statement-breakpoint
-- The primary key refuses a second holder, and this trigger stops INSERT OR REPLACE from stealing.
CREATE TRIGGER claims_are_exclusive BEFORE INSERT ON claims
WHEN EXISTS (
  SELECT 1 FROM claims
  WHERE tenant = NEW.tenant AND environment = NEW.environment AND claim = NEW.claim AND experiment <> NEW.experiment
)
BEGIN
  SELECT RAISE(ABORT, 'proviso:claimed: another experiment holds this claim');
END;
--> statement-breakpoint
-- Answers by idempotency key. expires_at is in milliseconds since the epoch.
CREATE TABLE receipts (
  tenant TEXT NOT NULL,
  environment TEXT NOT NULL,
  experiment TEXT NOT NULL,
  key TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  answer TEXT NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (tenant, environment, experiment, key)
) STRICT, WITHOUT ROWID;
--> statement-breakpoint
CREATE INDEX receipts_by_expiry ON receipts (tenant, environment, experiment, expires_at);
--> statement-breakpoint
-- What is personal stands here, so that deleting a row erases it: the history and the snapshot have only the reference.
-- Answers under `receipts` repeat some of it until they expire: erasing a person deletes those of the experiment too.
CREATE TABLE personal (
  tenant TEXT NOT NULL,
  environment TEXT NOT NULL,
  experiment TEXT NOT NULL,
  ref TEXT NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('actor', 'text')),
  salt TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (tenant, environment, experiment, ref)
) STRICT, WITHOUT ROWID;
--> statement-breakpoint
-- One person has one reference in one experiment.
CREATE UNIQUE INDEX personal_actors ON personal (tenant, environment, experiment, value) WHERE kind = 'actor';
