-- Reads and commits whose work is that of their page, also while a table has not been analysed: then any index that begins with
-- the columns of the primary key looks as good as the key. So what is not the key begins with another column, and functions
-- that ask for the end of an index do not sort.

DROP INDEX events_by_type;
CREATE INDEX events_by_type ON events (type, tenant, environment, experiment, seq);
DROP INDEX snapshots_by_lifecycle;
CREATE INDEX snapshots_by_lifecycle ON snapshots (lifecycle, tenant, environment, experiment);
DROP INDEX receipts_by_expiry;
CREATE INDEX receipts_by_expiry ON receipts (expires_at, tenant, environment, experiment);

ALTER FUNCTION follow_head() SET enable_sort = off;
ALTER FUNCTION follow_head() SET enable_bitmapscan = off;
ALTER FUNCTION commit_experiment(text) SET enable_sort = off;
ALTER FUNCTION commit_experiment(text) SET enable_bitmapscan = off;

-- One consistent reading of an experiment: a stable function sees the database as its statement does.
CREATE FUNCTION load_experiment(t text, e text, x text, wanted_receipt text, now_ms bigint, wanted_actor text)
RETURNS TABLE (
  state text, revision double precision, revision_hash text, seq double precision, hash text, at text, people text,
  actor text, key text, fingerprint text, answer text, expires_at double precision
)
LANGUAGE plpgsql STABLE SET search_path FROM CURRENT SET enable_sort = off SET enable_bitmapscan = off AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT now.state, now.revision::double precision, now.revision_hash, head.seq::double precision, head.hash, head.at,
    (
      SELECT jsonb_object_agg(named.ref, known.value)::text
      FROM jsonb_array_elements_text(now.people::jsonb) AS named (ref)
      CROSS JOIN LATERAL (
        SELECT value FROM personal
        WHERE personal.tenant = t AND personal.environment = e AND personal.experiment = x AND personal.ref = named.ref
        LIMIT 1
      ) AS known
    ),
    (
      SELECT known.ref FROM personal AS known
      WHERE known.tenant = t AND known.environment = e AND known.experiment = x AND known.kind = 'actor'
        AND digest_of(known.value) = digest_of(wanted_actor)
    ),
    kept.key, kept.fingerprint, kept.answer, kept.expires_at::double precision
  FROM snapshots AS now
  CROSS JOIN LATERAL (
    SELECT last.seq, last.hash, last.at FROM events AS last
    WHERE last.tenant = t AND last.environment = e AND last.experiment = x ORDER BY last.seq DESC LIMIT 1
  ) AS head
  LEFT JOIN receipts AS kept
    ON kept.tenant = t AND kept.environment = e AND kept.experiment = x AND kept.key = wanted_receipt
    AND kept.expires_at > now_ms
  WHERE now.tenant = t AND now.environment = e AND now.experiment = x;
END $$;

UPDATE proviso_schema SET version = 3;
