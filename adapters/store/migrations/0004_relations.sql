-- The history as relations, for questions in plain SQL: docs/audit-queries.md has the columns and ten of the questions.
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
