-- The history as relations, for questions in plain SQL: docs/audit-queries.md has the columns and ten of the questions.
-- They are views, so that there is nothing that could say otherwise than the history, and nothing to write to. Their indexes
-- (events_by_time, personal_by_name) came with the tables.

CREATE VIEW people AS
SELECT tenant, environment, experiment, ref, value AS name FROM personal WHERE kind = 'actor';

CREATE VIEW experiments AS
SELECT
  tenant, environment, experiment, lifecycle, revision,
  (state::jsonb #>> '{latest,version}')::bigint AS latest_version,
  state::jsonb #>> '{latest,digest}' AS latest_digest,
  (state::jsonb #>> '{live,version}')::bigint AS live_version,
  state::jsonb #>> '{live,digest}' AS live_digest,
  (state::jsonb #>> '{epoch}')::bigint AS epoch,
  created_at, updated_at
FROM snapshots;

CREATE VIEW configuration_versions AS
SELECT
  tenant, environment, experiment, seq, at, version,
  record::jsonb #>> '{data,digest}' AS digest,
  record::jsonb #> '{data,configuration}' AS configuration,
  record::jsonb #>> '{actor,ref}' AS author,
  record::jsonb #>> '{actor,kind}' AS author_kind,
  (
    SELECT value FROM personal
    WHERE personal.tenant = events.tenant AND personal.environment = events.environment
      AND personal.experiment = events.experiment AND personal.ref = events.record::jsonb #>> '{actor,ref}'
  ) AS author_name,
  (
    SELECT value FROM personal
    WHERE personal.tenant = events.tenant AND personal.environment = events.environment
      AND personal.experiment = events.experiment AND personal.ref = events.record::jsonb #>> '{data,changeDescription}'
  ) AS description,
  record::jsonb #>> '{data,provenance,kind}' AS provenance,
  (record::jsonb #>> '{data,provenance,rolledBackFrom}')::bigint AS rolled_back_from,
  (record::jsonb #>> '{data,provenance,rolledBackTo}')::bigint AS rolled_back_to,
  record::jsonb #>> '{data,provenance,environment}' AS promoted_from,
  (record::jsonb #>> '{data,provenance,version}')::bigint AS promoted_version
FROM events WHERE family = 'version';

CREATE VIEW approvals AS
SELECT
  tenant, environment, experiment, seq, at,
  CASE type WHEN 'ApprovalGiven' THEN 'approve' WHEN 'ApprovalDeclined' THEN 'decline' ELSE 'withdraw' END AS decision,
  record::jsonb #>> '{data,proposal}' AS proposal,
  record::jsonb #>> '{data,changeDigest}' AS change_digest,
  record::jsonb #>> '{actor,ref}' AS actor,
  record::jsonb #>> '{actor,kind}' AS actor_kind,
  record::jsonb #> '{actor,roles}' AS actor_roles,
  (
    SELECT value FROM personal
    WHERE personal.tenant = events.tenant AND personal.environment = events.environment
      AND personal.experiment = events.experiment AND personal.ref = events.record::jsonb #>> '{actor,ref}'
  ) AS actor_name,
  (
    SELECT value FROM personal
    WHERE personal.tenant = events.tenant AND personal.environment = events.environment
      AND personal.experiment = events.experiment AND personal.ref = events.record::jsonb #>> '{data,reason}'
  ) AS reason
FROM events WHERE family = 'word';

-- Every change that was decided and made.
CREATE VIEW changes AS
SELECT
  tenant, environment, experiment, seq, at,
  record::jsonb #>> '{data,kind}' AS kind,
  record::jsonb #>> '{data,from}' AS from_state,
  record::jsonb #>> '{data,to}' AS to_state,
  (record::jsonb #>> '{data,version}')::bigint AS version,
  record::jsonb #>> '{data,digest}' AS digest,
  (record::jsonb #>> '{data,liveVersion}')::bigint AS live_version,
  record::jsonb #>> '{data,changeDigest}' AS change_digest,
  record::jsonb #>> '{data,policySetDigest}' AS policy_set_digest,
  CASE WHEN record::jsonb #> '{data,breakGlass}' = 'true' THEN 1 END AS break_glass,
  record::jsonb #>> '{actor,ref}' AS actor,
  record::jsonb #>> '{actor,kind}' AS actor_kind,
  record::jsonb #> '{actor,roles}' AS actor_roles,
  record::jsonb #>> '{data,onBehalfOf,ref}' AS on_behalf_of,
  (
    SELECT value FROM personal
    WHERE personal.tenant = events.tenant AND personal.environment = events.environment
      AND personal.experiment = events.experiment AND personal.ref = events.record::jsonb #>> '{actor,ref}'
  ) AS actor_name,
  (
    SELECT value FROM personal
    WHERE personal.tenant = events.tenant AND personal.environment = events.environment
      AND personal.experiment = events.experiment AND personal.ref = events.record::jsonb #>> '{data,reason}'
  ) AS reason
FROM events WHERE family = 'change';

-- Every attempt that was judged and refused.
CREATE VIEW refused_changes AS
SELECT
  tenant, environment, experiment, seq, at,
  record::jsonb #>> '{data,attempt}' AS attempt,
  record::jsonb #>> '{data,code}' AS code,
  record::jsonb #>> '{data,kind}' AS kind,
  record::jsonb #>> '{data,from}' AS from_state,
  record::jsonb #>> '{data,to}' AS to_state,
  (record::jsonb #>> '{data,version}')::bigint AS version,
  record::jsonb #>> '{data,digest}' AS digest,
  record::jsonb #>> '{data,changeDigest}' AS change_digest,
  record::jsonb #>> '{data,policySetDigest}' AS policy_set_digest,
  record::jsonb #>> '{actor,ref}' AS actor,
  record::jsonb #>> '{actor,kind}' AS actor_kind,
  record::jsonb #> '{actor,roles}' AS actor_roles,
  (
    SELECT value FROM personal
    WHERE personal.tenant = events.tenant AND personal.environment = events.environment
      AND personal.experiment = events.experiment AND personal.ref = events.record::jsonb #>> '{actor,ref}'
  ) AS actor_name,
  (
    SELECT value FROM personal
    WHERE personal.tenant = events.tenant AND personal.environment = events.environment
      AND personal.experiment = events.experiment AND personal.ref = events.record::jsonb #>> '{data,reason}'
  ) AS reason
FROM events WHERE family = 'refusal';

CREATE VIEW lifecycle_transitions AS
SELECT
  tenant, environment, experiment, seq, at,
  record::jsonb #>> '{data,from}' AS from_state,
  record::jsonb #>> '{data,to}' AS to_state,
  (record::jsonb #>> '{data,version}')::bigint AS version,
  record::jsonb #>> '{data,digest}' AS digest,
  (record::jsonb #>> '{data,liveVersion}')::bigint AS live_version,
  record::jsonb #>> '{data,changeDigest}' AS change_digest,
  record::jsonb #>> '{data,policySetDigest}' AS policy_set_digest,
  CASE WHEN record::jsonb #> '{data,breakGlass}' = 'true' THEN 1 END AS break_glass,
  record::jsonb #>> '{data,guardrail,metric}' AS guardrail,
  record::jsonb #>> '{data,conclusion,outcome}' AS outcome,
  record::jsonb #>> '{data,conclusion,variant}' AS shipped_variant,
  record::jsonb #>> '{data,conclusion,resultsDigest}' AS results_digest,
  record::jsonb #>> '{actor,ref}' AS actor,
  record::jsonb #>> '{actor,kind}' AS actor_kind,
  record::jsonb #> '{actor,roles}' AS actor_roles,
  (
    SELECT value FROM personal
    WHERE personal.tenant = events.tenant AND personal.environment = events.environment
      AND personal.experiment = events.experiment AND personal.ref = events.record::jsonb #>> '{actor,ref}'
  ) AS actor_name,
  (
    SELECT value FROM personal
    WHERE personal.tenant = events.tenant AND personal.environment = events.environment
      AND personal.experiment = events.experiment AND personal.ref = events.record::jsonb #>> '{data,reason}'
  ) AS reason
FROM events WHERE family = 'change' AND type = 'Transitioned';

-- One row for each policy that a change, made or refused, was asked of.
CREATE VIEW policy_evaluations AS
SELECT
  events.tenant, events.environment, events.experiment, events.seq, events.at,
  CASE events.type WHEN 'ChangeDenied' THEN 0 ELSE 1 END AS made,
  judged.value #>> '{policy}' AS policy,
  CASE judged.value #>> '{compliant}' WHEN 'true' THEN 1 WHEN 'false' THEN 0 END AS compliant,
  judged.value #>> '{severity}' AS severity,
  judged.value #>> '{reason}' AS reason,
  judged.value #> '{evidence}' AS evidence,
  events.record::jsonb #>> '{data,kind}' AS kind,
  events.record::jsonb #>> '{data,from}' AS from_state,
  events.record::jsonb #>> '{data,to}' AS to_state,
  events.record::jsonb #>> '{data,changeDigest}' AS change_digest,
  events.record::jsonb #>> '{data,policySetDigest}' AS policy_set_digest
FROM events CROSS JOIN LATERAL jsonb_array_elements(coalesce(events.record::jsonb #> '{data,policies}', '[]')) AS judged (value)
WHERE events.family IN ('change', 'refusal');

-- One row for each person whose approval a gate counted when the change was made.
CREATE VIEW change_approvers AS
SELECT
  events.tenant, events.environment, events.experiment, events.seq, events.at,
  gate.value #>> '{gate}' AS gate,
  counted.value AS approver,
  (
    SELECT value FROM personal
    WHERE personal.tenant = events.tenant AND personal.environment = events.environment
      AND personal.experiment = events.experiment AND personal.ref = counted.value
  ) AS approver_name,
  events.record::jsonb #>> '{data,kind}' AS kind,
  events.record::jsonb #>> '{data,from}' AS from_state,
  events.record::jsonb #>> '{data,to}' AS to_state,
  (events.record::jsonb #>> '{data,version}')::bigint AS version,
  events.record::jsonb #>> '{data,digest}' AS digest,
  events.record::jsonb #>> '{data,changeDigest}' AS change_digest
FROM events
CROSS JOIN LATERAL jsonb_array_elements(coalesce(events.record::jsonb #> '{data,gates}', '[]')) AS gate (value)
CROSS JOIN LATERAL jsonb_array_elements_text(coalesce(gate.value -> 'approvedBy', '[]')) AS counted (value)
WHERE events.family = 'change';

-- Content that came back as a new version, and experiments that were moved to RolledBack.
CREATE VIEW rollbacks AS
SELECT
  tenant, environment, experiment, seq, at,
  'content' AS kind,
  version,
  (record::jsonb #>> '{data,provenance,rolledBackFrom}')::bigint AS rolled_back_from,
  (record::jsonb #>> '{data,provenance,rolledBackTo}')::bigint AS rolled_back_to,
  record::jsonb #>> '{data,digest}' AS digest,
  NULL::text AS guardrail,
  record::jsonb #>> '{actor,ref}' AS actor,
  record::jsonb #>> '{actor,kind}' AS actor_kind,
  (
    SELECT value FROM personal
    WHERE personal.tenant = events.tenant AND personal.environment = events.environment
      AND personal.experiment = events.experiment AND personal.ref = events.record::jsonb #>> '{actor,ref}'
  ) AS actor_name,
  (
    SELECT value FROM personal
    WHERE personal.tenant = events.tenant AND personal.environment = events.environment
      AND personal.experiment = events.experiment AND personal.ref = events.record::jsonb #>> '{data,changeDescription}'
  ) AS reason
FROM events WHERE family = 'version' AND record::jsonb #>> '{data,provenance,kind}' = 'rollback'
UNION ALL
SELECT
  tenant, environment, experiment, seq, at,
  'lifecycle' AS kind,
  (record::jsonb #>> '{data,liveVersion}')::bigint AS version,
  NULL::bigint AS rolled_back_from,
  NULL::bigint AS rolled_back_to,
  record::jsonb #>> '{data,digest}' AS digest,
  record::jsonb #>> '{data,guardrail,metric}' AS guardrail,
  record::jsonb #>> '{actor,ref}' AS actor,
  record::jsonb #>> '{actor,kind}' AS actor_kind,
  (
    SELECT value FROM personal
    WHERE personal.tenant = events.tenant AND personal.environment = events.environment
      AND personal.experiment = events.experiment AND personal.ref = events.record::jsonb #>> '{actor,ref}'
  ) AS actor_name,
  (
    SELECT value FROM personal
    WHERE personal.tenant = events.tenant AND personal.environment = events.environment
      AND personal.experiment = events.experiment AND personal.ref = events.record::jsonb #>> '{data,reason}'
  ) AS reason
FROM events WHERE family = 'change' AND type = 'Transitioned' AND record::jsonb #>> '{data,to}' = 'RolledBack';

-- A view of one table could be written through.
CREATE TRIGGER people_are_read INSTEAD OF INSERT OR UPDATE OR DELETE ON people
  FOR EACH ROW EXECUTE FUNCTION refuse('append-only: relations are read');
CREATE TRIGGER experiments_are_read INSTEAD OF INSERT OR UPDATE OR DELETE ON experiments
  FOR EACH ROW EXECUTE FUNCTION refuse('append-only: relations are read');
CREATE TRIGGER configuration_versions_are_read INSTEAD OF INSERT OR UPDATE OR DELETE ON configuration_versions
  FOR EACH ROW EXECUTE FUNCTION refuse('append-only: relations are read');
CREATE TRIGGER approvals_are_read INSTEAD OF INSERT OR UPDATE OR DELETE ON approvals
  FOR EACH ROW EXECUTE FUNCTION refuse('append-only: relations are read');
CREATE TRIGGER changes_are_read INSTEAD OF INSERT OR UPDATE OR DELETE ON changes
  FOR EACH ROW EXECUTE FUNCTION refuse('append-only: relations are read');
CREATE TRIGGER refused_changes_are_read INSTEAD OF INSERT OR UPDATE OR DELETE ON refused_changes
  FOR EACH ROW EXECUTE FUNCTION refuse('append-only: relations are read');
CREATE TRIGGER lifecycle_transitions_are_read INSTEAD OF INSERT OR UPDATE OR DELETE ON lifecycle_transitions
  FOR EACH ROW EXECUTE FUNCTION refuse('append-only: relations are read');
CREATE TRIGGER policy_evaluations_are_read INSTEAD OF INSERT OR UPDATE OR DELETE ON policy_evaluations
  FOR EACH ROW EXECUTE FUNCTION refuse('append-only: relations are read');
CREATE TRIGGER change_approvers_are_read INSTEAD OF INSERT OR UPDATE OR DELETE ON change_approvers
  FOR EACH ROW EXECUTE FUNCTION refuse('append-only: relations are read');
CREATE TRIGGER rollbacks_are_read INSTEAD OF INSERT OR UPDATE OR DELETE ON rollbacks
  FOR EACH ROW EXECUTE FUNCTION refuse('append-only: relations are read');

UPDATE proviso_schema SET version = 2;
