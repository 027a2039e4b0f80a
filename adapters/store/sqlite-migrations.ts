/** The files of `migrations/` as text, made by `npx node cli/sqlite-migrations.ts`: edit those. */
import type { Migration } from "./migrate.ts";

export const sqliteMigrations: readonly Migration[] = [
  {
    name: "0001_governance.sql",
    sql: `-- Governance: one append-only history per experiment, and beside it what can be rebuilt from it or must be erasable.
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
-- Answers under \`receipts\` repeat some of it until they expire: erasing a person deletes those of the experiment too.
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
`,
  },
  {
    name: "0002_rules_positions.sql",
    sql: `-- What decisions were measured by, and how far the log has been delivered.

-- Gates and policies by the digest that events name: digest is the SHA-256 of text, which is canonical JSON.
CREATE TABLE rules (
  tenant TEXT NOT NULL,
  environment TEXT NOT NULL,
  experiment TEXT NOT NULL,
  digest TEXT NOT NULL,
  text TEXT NOT NULL CHECK (json_valid(text)),
  PRIMARY KEY (tenant, environment, experiment, digest)
) STRICT, WITHOUT ROWID;
--> statement-breakpoint
-- Fires before any conflict is resolved, so INSERT OR REPLACE, OR IGNORE and upserts stop here too.
CREATE TRIGGER rules_are_written_once BEFORE INSERT ON rules
WHEN EXISTS (
  SELECT 1 FROM rules
  WHERE tenant = NEW.tenant AND environment = NEW.environment AND experiment = NEW.experiment AND digest = NEW.digest
)
BEGIN
  SELECT RAISE(ABORT, 'proviso:append-only: rules are written once');
END;
--> statement-breakpoint
CREATE TRIGGER rules_never_change BEFORE UPDATE ON rules
BEGIN
  SELECT RAISE(ABORT, 'proviso:append-only: rules are never changed');
END;
--> statement-breakpoint
CREATE TRIGGER rules_never_go BEFORE DELETE ON rules
BEGIN
  SELECT RAISE(ABORT, 'proviso:append-only: rules are never deleted');
END;
--> statement-breakpoint
-- The log is the outbox: events behind a subscriber's position have not been delivered to it.
CREATE TABLE positions (
  tenant TEXT NOT NULL,
  environment TEXT NOT NULL,
  experiment TEXT NOT NULL,
  subscriber TEXT NOT NULL,
  seq INTEGER NOT NULL CHECK (seq >= 1),
  PRIMARY KEY (tenant, environment, experiment, subscriber)
) STRICT, WITHOUT ROWID;
`,
  },
  {
    name: "0003_checkpoints.sql",
    sql: `-- Retention: events may go once a signed checkpoint stands behind them.

CREATE TABLE checkpoints (
  tenant TEXT NOT NULL,
  environment TEXT NOT NULL,
  experiment TEXT NOT NULL,
  seq INTEGER NOT NULL CHECK (seq >= 1),
  hash TEXT NOT NULL,
  key_id TEXT NOT NULL CHECK (length(key_id) > 0),
  -- Ed25519, 64 bytes as base64url. A database cannot check it: whoever reads the checkpoint does.
  signature TEXT NOT NULL CHECK (length(signature) = 86),
  -- What is signed; it holds the state after the event at this place.
  text TEXT NOT NULL,
  PRIMARY KEY (tenant, environment, experiment, seq),
  CHECK (seq IS json_extract(text, '$.seq')),
  CHECK (hash IS json_extract(text, '$.hash'))
) STRICT, WITHOUT ROWID;
--> statement-breakpoint
-- Of an event that is there, and behind every checkpoint before it.
CREATE TRIGGER checkpoints_go_forward BEFORE INSERT ON checkpoints
WHEN
  EXISTS (
    SELECT 1 FROM checkpoints
    WHERE tenant = NEW.tenant AND environment = NEW.environment AND experiment = NEW.experiment AND seq >= NEW.seq
  )
  OR NOT EXISTS (
    SELECT 1 FROM events
    WHERE tenant = NEW.tenant AND environment = NEW.environment AND experiment = NEW.experiment
      AND seq = NEW.seq AND hash = NEW.hash
  )
BEGIN
  SELECT RAISE(ABORT, 'proviso:checkpoint: a checkpoint is of an event of its history, and behind every other');
END;
--> statement-breakpoint
CREATE TRIGGER checkpoints_never_change BEFORE UPDATE ON checkpoints
BEGIN
  SELECT RAISE(ABORT, 'proviso:append-only: checkpoints are never changed');
END;
--> statement-breakpoint
CREATE TRIGGER checkpoints_never_go BEFORE DELETE ON checkpoints
BEGIN
  SELECT RAISE(ABORT, 'proviso:append-only: checkpoints are never deleted');
END;
--> statement-breakpoint
DROP TRIGGER events_never_go;
--> statement-breakpoint
-- The event at a checkpoint stays: the next one follows on from it.
CREATE TRIGGER events_never_go BEFORE DELETE ON events
WHEN NOT EXISTS (
  SELECT 1 FROM checkpoints
  WHERE tenant = OLD.tenant AND environment = OLD.environment AND experiment = OLD.experiment AND seq > OLD.seq
)
BEGIN
  SELECT RAISE(ABORT, 'proviso:append-only: history is never deleted, but before a checkpoint');
END;
`,
  },
  {
    name: "0004_relations.sql",
    sql: `-- The history as relations, for questions in plain SQL: docs/audit-queries.md has the columns and ten of the questions.
-- They are views, so that there is nothing that could say otherwise than the history, and nothing to write to. What a
-- commit pays for them is one row in an index for each event.

-- What the relations look at together. One value for several types, because SQLite, which knows nothing of how many rows
-- there are, takes a search for four types to be dearer than reading everything of a scope.
ALTER TABLE events ADD COLUMN family TEXT GENERATED ALWAYS AS (
  CASE
    WHEN type IN ('Transitioned', 'Published', 'RampAdvanced', 'Revived') THEN 'change'
    WHEN type = 'ChangeDenied' THEN 'refusal'
    WHEN type IN ('ApprovalGiven', 'ApprovalDeclined', 'ApprovalWithdrawn') THEN 'word'
    WHEN type = 'VersionWritten' THEN 'version'
  END
) VIRTUAL;
--> statement-breakpoint
CREATE INDEX events_by_time ON events (tenant, environment, family, at) WHERE family IS NOT NULL;
--> statement-breakpoint
-- A person has another reference in each experiment: this finds all of them.
CREATE INDEX personal_by_name ON personal (tenant, environment, value) WHERE kind = 'actor';
--> statement-breakpoint
CREATE VIEW people AS
SELECT tenant, environment, experiment, ref, value AS name FROM personal WHERE kind = 'actor';
--> statement-breakpoint
CREATE VIEW experiments AS
SELECT
  tenant, environment, experiment, lifecycle, revision,
  state ->> '$.latest.version' AS latest_version,
  state ->> '$.latest.digest' AS latest_digest,
  state ->> '$.live.version' AS live_version,
  state ->> '$.live.digest' AS live_digest,
  state ->> '$.epoch' AS epoch,
  created_at, updated_at
FROM snapshots;
--> statement-breakpoint
CREATE VIEW configuration_versions AS
SELECT
  tenant, environment, experiment, seq, at, version,
  record ->> '$.data.digest' AS digest,
  record -> '$.data.configuration' AS configuration,
  record ->> '$.actor.ref' AS author,
  record ->> '$.actor.kind' AS author_kind,
  (
    SELECT value FROM personal
    WHERE personal.tenant = events.tenant AND personal.environment = events.environment
      AND personal.experiment = events.experiment AND personal.ref = events.record ->> '$.actor.ref'
  ) AS author_name,
  (
    SELECT value FROM personal
    WHERE personal.tenant = events.tenant AND personal.environment = events.environment
      AND personal.experiment = events.experiment AND personal.ref = events.record ->> '$.data.changeDescription'
  ) AS description,
  record ->> '$.data.provenance.kind' AS provenance,
  record ->> '$.data.provenance.rolledBackFrom' AS rolled_back_from,
  record ->> '$.data.provenance.rolledBackTo' AS rolled_back_to,
  record ->> '$.data.provenance.environment' AS promoted_from,
  record ->> '$.data.provenance.version' AS promoted_version
FROM events WHERE family = 'version';
--> statement-breakpoint
CREATE VIEW approvals AS
SELECT
  tenant, environment, experiment, seq, at,
  CASE type WHEN 'ApprovalGiven' THEN 'approve' WHEN 'ApprovalDeclined' THEN 'decline' ELSE 'withdraw' END AS decision,
  record ->> '$.data.proposal' AS proposal,
  record ->> '$.data.changeDigest' AS change_digest,
  record ->> '$.actor.ref' AS actor,
  record ->> '$.actor.kind' AS actor_kind,
  record -> '$.actor.roles' AS actor_roles,
  (
    SELECT value FROM personal
    WHERE personal.tenant = events.tenant AND personal.environment = events.environment
      AND personal.experiment = events.experiment AND personal.ref = events.record ->> '$.actor.ref'
  ) AS actor_name,
  (
    SELECT value FROM personal
    WHERE personal.tenant = events.tenant AND personal.environment = events.environment
      AND personal.experiment = events.experiment AND personal.ref = events.record ->> '$.data.reason'
  ) AS reason
FROM events WHERE family = 'word';
--> statement-breakpoint
-- Every change that was decided and made.
CREATE VIEW changes AS
SELECT
  tenant, environment, experiment, seq, at,
  record ->> '$.data.kind' AS kind,
  record ->> '$.data.from' AS from_state,
  record ->> '$.data.to' AS to_state,
  record ->> '$.data.version' AS version,
  record ->> '$.data.digest' AS digest,
  record ->> '$.data.liveVersion' AS live_version,
  record ->> '$.data.changeDigest' AS change_digest,
  record ->> '$.data.policySetDigest' AS policy_set_digest,
  record ->> '$.data.breakGlass' AS break_glass,
  record ->> '$.actor.ref' AS actor,
  record ->> '$.actor.kind' AS actor_kind,
  record -> '$.actor.roles' AS actor_roles,
  record ->> '$.data.onBehalfOf.ref' AS on_behalf_of,
  (
    SELECT value FROM personal
    WHERE personal.tenant = events.tenant AND personal.environment = events.environment
      AND personal.experiment = events.experiment AND personal.ref = events.record ->> '$.actor.ref'
  ) AS actor_name,
  (
    SELECT value FROM personal
    WHERE personal.tenant = events.tenant AND personal.environment = events.environment
      AND personal.experiment = events.experiment AND personal.ref = events.record ->> '$.data.reason'
  ) AS reason
FROM events WHERE family = 'change';
--> statement-breakpoint
-- Every attempt that was judged and refused.
CREATE VIEW refused_changes AS
SELECT
  tenant, environment, experiment, seq, at,
  record ->> '$.data.attempt' AS attempt,
  record ->> '$.data.code' AS code,
  record ->> '$.data.kind' AS kind,
  record ->> '$.data.from' AS from_state,
  record ->> '$.data.to' AS to_state,
  record ->> '$.data.version' AS version,
  record ->> '$.data.digest' AS digest,
  record ->> '$.data.changeDigest' AS change_digest,
  record ->> '$.data.policySetDigest' AS policy_set_digest,
  record ->> '$.actor.ref' AS actor,
  record ->> '$.actor.kind' AS actor_kind,
  record -> '$.actor.roles' AS actor_roles,
  (
    SELECT value FROM personal
    WHERE personal.tenant = events.tenant AND personal.environment = events.environment
      AND personal.experiment = events.experiment AND personal.ref = events.record ->> '$.actor.ref'
  ) AS actor_name,
  (
    SELECT value FROM personal
    WHERE personal.tenant = events.tenant AND personal.environment = events.environment
      AND personal.experiment = events.experiment AND personal.ref = events.record ->> '$.data.reason'
  ) AS reason
FROM events WHERE family = 'refusal';
--> statement-breakpoint
CREATE VIEW lifecycle_transitions AS
SELECT
  tenant, environment, experiment, seq, at,
  record ->> '$.data.from' AS from_state,
  record ->> '$.data.to' AS to_state,
  record ->> '$.data.version' AS version,
  record ->> '$.data.digest' AS digest,
  record ->> '$.data.liveVersion' AS live_version,
  record ->> '$.data.changeDigest' AS change_digest,
  record ->> '$.data.policySetDigest' AS policy_set_digest,
  record ->> '$.data.breakGlass' AS break_glass,
  record ->> '$.data.guardrail.metric' AS guardrail,
  record ->> '$.data.conclusion.outcome' AS outcome,
  record ->> '$.data.conclusion.variant' AS shipped_variant,
  record ->> '$.data.conclusion.resultsDigest' AS results_digest,
  record ->> '$.actor.ref' AS actor,
  record ->> '$.actor.kind' AS actor_kind,
  record -> '$.actor.roles' AS actor_roles,
  (
    SELECT value FROM personal
    WHERE personal.tenant = events.tenant AND personal.environment = events.environment
      AND personal.experiment = events.experiment AND personal.ref = events.record ->> '$.actor.ref'
  ) AS actor_name,
  (
    SELECT value FROM personal
    WHERE personal.tenant = events.tenant AND personal.environment = events.environment
      AND personal.experiment = events.experiment AND personal.ref = events.record ->> '$.data.reason'
  ) AS reason
FROM events WHERE family = 'change' AND type = 'Transitioned';
--> statement-breakpoint
-- One row for each policy that a change, made or refused, was asked of.
CREATE VIEW policy_evaluations AS
SELECT
  events.tenant, events.environment, events.experiment, events.seq, events.at,
  CASE events.type WHEN 'ChangeDenied' THEN 0 ELSE 1 END AS made,
  judged.value ->> '$.policy' AS policy,
  judged.value ->> '$.compliant' AS compliant,
  judged.value ->> '$.severity' AS severity,
  judged.value ->> '$.reason' AS reason,
  judged.value -> '$.evidence' AS evidence,
  events.record ->> '$.data.kind' AS kind,
  events.record ->> '$.data.from' AS from_state,
  events.record ->> '$.data.to' AS to_state,
  events.record ->> '$.data.changeDigest' AS change_digest,
  events.record ->> '$.data.policySetDigest' AS policy_set_digest
FROM events CROSS JOIN json_each(events.record, '$.data.policies') AS judged
WHERE events.family IN ('change', 'refusal');
--> statement-breakpoint
-- One row for each person whose approval a gate counted when the change was made.
CREATE VIEW change_approvers AS
SELECT
  events.tenant, events.environment, events.experiment, events.seq, events.at,
  gate.value ->> '$.gate' AS gate,
  counted.value AS approver,
  (
    SELECT value FROM personal
    WHERE personal.tenant = events.tenant AND personal.environment = events.environment
      AND personal.experiment = events.experiment AND personal.ref = counted.value
  ) AS approver_name,
  events.record ->> '$.data.kind' AS kind,
  events.record ->> '$.data.from' AS from_state,
  events.record ->> '$.data.to' AS to_state,
  events.record ->> '$.data.version' AS version,
  events.record ->> '$.data.digest' AS digest,
  events.record ->> '$.data.changeDigest' AS change_digest
FROM events
CROSS JOIN json_each(events.record, '$.data.gates') AS gate
CROSS JOIN json_each(gate.value, '$.approvedBy') AS counted
WHERE events.family = 'change';
--> statement-breakpoint
-- Content that came back as a new version, and experiments that were moved to RolledBack.
CREATE VIEW rollbacks AS
SELECT
  tenant, environment, experiment, seq, at,
  'content' AS kind,
  version,
  record ->> '$.data.provenance.rolledBackFrom' AS rolled_back_from,
  record ->> '$.data.provenance.rolledBackTo' AS rolled_back_to,
  record ->> '$.data.digest' AS digest,
  NULL AS guardrail,
  record ->> '$.actor.ref' AS actor,
  record ->> '$.actor.kind' AS actor_kind,
  (
    SELECT value FROM personal
    WHERE personal.tenant = events.tenant AND personal.environment = events.environment
      AND personal.experiment = events.experiment AND personal.ref = events.record ->> '$.actor.ref'
  ) AS actor_name,
  (
    SELECT value FROM personal
    WHERE personal.tenant = events.tenant AND personal.environment = events.environment
      AND personal.experiment = events.experiment AND personal.ref = events.record ->> '$.data.changeDescription'
  ) AS reason
FROM events WHERE family = 'version' AND record ->> '$.data.provenance.kind' = 'rollback'
UNION ALL
SELECT
  tenant, environment, experiment, seq, at,
  'lifecycle' AS kind,
  record ->> '$.data.liveVersion' AS version,
  NULL AS rolled_back_from,
  NULL AS rolled_back_to,
  record ->> '$.data.digest' AS digest,
  record ->> '$.data.guardrail.metric' AS guardrail,
  record ->> '$.actor.ref' AS actor,
  record ->> '$.actor.kind' AS actor_kind,
  (
    SELECT value FROM personal
    WHERE personal.tenant = events.tenant AND personal.environment = events.environment
      AND personal.experiment = events.experiment AND personal.ref = events.record ->> '$.actor.ref'
  ) AS actor_name,
  (
    SELECT value FROM personal
    WHERE personal.tenant = events.tenant AND personal.environment = events.environment
      AND personal.experiment = events.experiment AND personal.ref = events.record ->> '$.data.reason'
  ) AS reason
FROM events WHERE family = 'change' AND type = 'Transitioned' AND record ->> '$.data.to' = 'RolledBack';
--> statement-breakpoint
-- What the database can be worked with by. A later migration writes its own number here.
CREATE TABLE proviso_schema (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  version INTEGER NOT NULL CHECK (version >= 1)
) STRICT;
--> statement-breakpoint
INSERT INTO proviso_schema (one, version) VALUES (1, 4);
`,
  },
];
