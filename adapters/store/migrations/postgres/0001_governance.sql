-- Governance on PostgreSQL 14 or newer: one append-only history per experiment, and beside it what can be rebuilt from it or must be
-- erasable. Applied with the schema that holds the tables as the only one on the search path (see postgres-migrate.ts),
-- each file as one transaction.
--
-- Text is canonical JSON (RFC 8785) and stays text: jsonb would reorder members and rewrite numbers, and the hash of
-- what comes back would be another. Names sort by code point, as COLLATE "C" compares the bytes of UTF-8.

DO $$
BEGIN
  IF current_setting('server_encoding') <> 'UTF8' THEN
    RAISE EXCEPTION 'proviso: the database has the encoding %, and must have UTF8', current_setting('server_encoding');
  END IF;
END $$;

CREATE TABLE proviso_schema (
  one integer PRIMARY KEY CHECK (one = 1),
  version integer NOT NULL CHECK (version >= 1)
);
INSERT INTO proviso_schema (one, version) VALUES (1, 1);

-- Raises what the trigger says, as something that no statement may do.
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION USING ERRCODE = 'PV002', MESSAGE = 'proviso:' || TG_ARGV[0];
END $$;

-- The primary key is the optimistic lock: of two writers that claim one seq, the second waits for the first and then
-- loses its whole commit.
CREATE TABLE events (
  tenant text COLLATE "C" NOT NULL,
  environment text COLLATE "C" NOT NULL,
  experiment text COLLATE "C" NOT NULL,
  seq bigint NOT NULL CHECK (seq >= 1),
  type text COLLATE "C" NOT NULL,
  at text COLLATE "C" NOT NULL,
  -- Set in VersionWritten events only.
  version bigint,
  prev_hash text COLLATE "C" NOT NULL,
  hash text COLLATE "C" NOT NULL,
  -- JSON array of the references to personal values in this event.
  people text NOT NULL CHECK (json_typeof(people::json) = 'array'),
  record text NOT NULL,
  -- What the relations look at together.
  family text COLLATE "C" GENERATED ALWAYS AS (
    CASE
      WHEN type IN ('Transitioned', 'Published', 'RampAdvanced', 'Revived') THEN 'change'
      WHEN type = 'ChangeDenied' THEN 'refusal'
      WHEN type IN ('ApprovalGiven', 'ApprovalDeclined', 'ApprovalWithdrawn') THEN 'word'
      WHEN type = 'VersionWritten' THEN 'version'
    END
  ) STORED,
  PRIMARY KEY (tenant, environment, experiment, seq),
  -- The columns are there to be searched by. The record is what is hashed, and they cannot say otherwise.
  CHECK (
    (seq::text, type, at, prev_hash, hash) IS NOT DISTINCT FROM (
      record::json ->> 'seq', record::json ->> 'type', record::json ->> 'at', record::json ->> 'prevHash',
      record::json ->> 'hash'
    )
  ),
  CHECK (version::text IS NOT DISTINCT FROM CASE type WHEN 'VersionWritten' THEN record::json #>> '{data,version}' END)
);
CREATE INDEX events_by_type ON events (tenant, environment, experiment, type, seq);
CREATE INDEX events_by_version ON events (tenant, environment, experiment, version) WHERE version IS NOT NULL;
CREATE INDEX events_by_time ON events (tenant, environment, family, at) WHERE family IS NOT NULL;

-- Sees what is committed and the earlier rows of its own statement. Two commits at one moment may both pass it: they have
-- the same seq then, and the primary key lets one through.
CREATE FUNCTION follow_head() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
  head record;
BEGIN
  SELECT seq, hash INTO head FROM events
  WHERE tenant = NEW.tenant AND environment = NEW.environment AND experiment = NEW.experiment
  ORDER BY seq DESC LIMIT 1;
  IF NEW.seq IS DISTINCT FROM coalesce(head.seq, 0) + 1
    OR NEW.prev_hash IS DISTINCT FROM coalesce(head.hash, repeat('0', 64)) THEN
    RAISE EXCEPTION USING
      ERRCODE = 'PV001', MESSAGE = 'proviso:head: an event must follow on from the head of its history';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER events_follow_head BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION follow_head();
CREATE TRIGGER events_never_change BEFORE UPDATE ON events
  FOR EACH STATEMENT EXECUTE FUNCTION refuse('append-only: history is never changed');
CREATE TRIGGER events_never_go_at_once BEFORE TRUNCATE ON events
  FOR EACH STATEMENT EXECUTE FUNCTION refuse('append-only: history is never deleted');

-- Retention: events may go once a signed checkpoint stands behind them.
CREATE TABLE checkpoints (
  tenant text COLLATE "C" NOT NULL,
  environment text COLLATE "C" NOT NULL,
  experiment text COLLATE "C" NOT NULL,
  seq bigint NOT NULL CHECK (seq >= 1),
  hash text COLLATE "C" NOT NULL,
  key_id text NOT NULL CHECK (length(key_id) > 0),
  -- Ed25519, 64 bytes as base64url. A database cannot check it: whoever reads the checkpoint does.
  signature text NOT NULL CHECK (length(signature) = 86),
  -- What is signed; it holds the state after the event at this place.
  text text NOT NULL,
  PRIMARY KEY (tenant, environment, experiment, seq),
  CHECK ((seq::text, hash) IS NOT DISTINCT FROM (text::json ->> 'seq', text::json ->> 'hash'))
);

-- The event at a checkpoint stays: the next one follows on from it.
CREATE FUNCTION go_before_checkpoint() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  IF NOT EXISTS (
    SELECT 1 FROM checkpoints
    WHERE tenant = OLD.tenant AND environment = OLD.environment AND experiment = OLD.experiment AND seq > OLD.seq
  ) THEN
    RAISE EXCEPTION USING
      ERRCODE = 'PV002', MESSAGE = 'proviso:append-only: history is never deleted, but before a checkpoint';
  END IF;
  RETURN OLD;
END $$;
CREATE TRIGGER events_never_go BEFORE DELETE ON events FOR EACH ROW EXECUTE FUNCTION go_before_checkpoint();

-- Of an event that is there, and behind every checkpoint before it.
CREATE FUNCTION follow_checkpoint() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  IF EXISTS (
    SELECT 1 FROM checkpoints
    WHERE tenant = NEW.tenant AND environment = NEW.environment AND experiment = NEW.experiment AND seq >= NEW.seq
  ) OR NOT EXISTS (
    SELECT 1 FROM events
    WHERE tenant = NEW.tenant AND environment = NEW.environment AND experiment = NEW.experiment
      AND seq = NEW.seq AND hash = NEW.hash
  ) THEN
    RAISE EXCEPTION USING
      ERRCODE = 'PV003',
      MESSAGE = 'proviso:checkpoint: a checkpoint is of an event of its history, and behind every other';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER checkpoints_go_forward BEFORE INSERT ON checkpoints FOR EACH ROW EXECUTE FUNCTION follow_checkpoint();
CREATE TRIGGER checkpoints_never_change BEFORE UPDATE ON checkpoints
  FOR EACH STATEMENT EXECUTE FUNCTION refuse('append-only: checkpoints are never changed');
CREATE TRIGGER checkpoints_never_go BEFORE DELETE OR TRUNCATE ON checkpoints
  FOR EACH STATEMENT EXECUTE FUNCTION refuse('append-only: checkpoints are never deleted');

-- Also where a session sets session_replication_role to get past triggers.
ALTER TABLE events
  ENABLE ALWAYS TRIGGER events_follow_head,
  ENABLE ALWAYS TRIGGER events_never_change,
  ENABLE ALWAYS TRIGGER events_never_go,
  ENABLE ALWAYS TRIGGER events_never_go_at_once;
ALTER TABLE checkpoints
  ENABLE ALWAYS TRIGGER checkpoints_go_forward,
  ENABLE ALWAYS TRIGGER checkpoints_never_change,
  ENABLE ALWAYS TRIGGER checkpoints_never_go;

-- The state of each experiment, as its history leads to it.
CREATE TABLE snapshots (
  tenant text COLLATE "C" NOT NULL,
  environment text COLLATE "C" NOT NULL,
  experiment text COLLATE "C" NOT NULL,
  lifecycle text COLLATE "C" NOT NULL,
  revision bigint NOT NULL CHECK (revision >= 1),
  revision_hash text NOT NULL,
  created_at text NOT NULL,
  updated_at text NOT NULL,
  people text NOT NULL CHECK (json_typeof(people::json) = 'array'),
  state text NOT NULL,
  PRIMARY KEY (tenant, environment, experiment),
  CHECK (lifecycle IS NOT DISTINCT FROM state::json ->> 'lifecycle')
);
CREATE INDEX snapshots_by_lifecycle ON snapshots (tenant, environment, lifecycle, experiment);

-- Names that one experiment of a scope holds alone: surfaces, pairs of conflicting experiments. The primary key refuses a
-- second holder, and the trigger an UPDATE (or an upsert) that would make one out of another.
CREATE TABLE claims (
  tenant text COLLATE "C" NOT NULL,
  environment text COLLATE "C" NOT NULL,
  claim text COLLATE "C" NOT NULL,
  experiment text COLLATE "C" NOT NULL,
  PRIMARY KEY (tenant, environment, claim)
);
CREATE TRIGGER claims_are_exclusive BEFORE UPDATE ON claims
  FOR EACH STATEMENT EXECUTE FUNCTION refuse('claimed: a claim is released and taken, never handed over');

-- Answers by idempotency key. expires_at is in milliseconds since the epoch.
CREATE TABLE receipts (
  tenant text COLLATE "C" NOT NULL,
  environment text COLLATE "C" NOT NULL,
  experiment text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  fingerprint text NOT NULL,
  answer text NOT NULL,
  expires_at bigint NOT NULL,
  PRIMARY KEY (tenant, environment, experiment, key)
);
CREATE INDEX receipts_by_expiry ON receipts (tenant, environment, experiment, expires_at);

-- An index entry holds some 2,700 bytes, and the id of a person may have more. Immutable, because the encoding is UTF8.
CREATE FUNCTION digest_of(value text) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
  AS $$ SELECT pg_catalog.sha256(pg_catalog.convert_to(value, 'UTF8')) $$;

-- What is personal stands here, so that deleting a row erases it: the history and the snapshot have only the reference.
CREATE TABLE personal (
  tenant text COLLATE "C" NOT NULL,
  environment text COLLATE "C" NOT NULL,
  experiment text COLLATE "C" NOT NULL,
  ref text COLLATE "C" NOT NULL,
  kind text NOT NULL CHECK (kind IN ('actor', 'text')),
  salt text NOT NULL,
  value text COLLATE "C" NOT NULL,
  PRIMARY KEY (tenant, environment, experiment, ref)
);
-- One person has one reference in one experiment.
CREATE UNIQUE INDEX personal_actors ON personal (tenant, environment, experiment, digest_of(value)) WHERE kind = 'actor';
-- A person has another reference in each experiment: this finds all of them, however long the name is.
CREATE INDEX personal_by_name ON personal USING hash (value) WHERE kind = 'actor';

-- Gates and policies by the digest that events name: digest is the SHA-256 of text, which is canonical JSON.
CREATE TABLE rules (
  tenant text COLLATE "C" NOT NULL,
  environment text COLLATE "C" NOT NULL,
  experiment text COLLATE "C" NOT NULL,
  digest text COLLATE "C" NOT NULL,
  text text NOT NULL,
  PRIMARY KEY (tenant, environment, experiment, digest),
  CHECK (digest = encode(digest_of(text), 'hex'))
);
CREATE TRIGGER rules_never_change BEFORE UPDATE ON rules
  FOR EACH STATEMENT EXECUTE FUNCTION refuse('append-only: rules are never changed');
CREATE TRIGGER rules_never_go BEFORE DELETE OR TRUNCATE ON rules
  FOR EACH STATEMENT EXECUTE FUNCTION refuse('append-only: rules are never deleted');
ALTER TABLE rules ENABLE ALWAYS TRIGGER rules_never_change, ENABLE ALWAYS TRIGGER rules_never_go;

-- The log is the outbox: events behind a subscriber's position have not been delivered to it.
CREATE TABLE positions (
  tenant text COLLATE "C" NOT NULL,
  environment text COLLATE "C" NOT NULL,
  experiment text COLLATE "C" NOT NULL,
  subscriber text COLLATE "C" NOT NULL,
  seq bigint NOT NULL CHECK (seq >= 1),
  PRIMARY KEY (tenant, environment, experiment, subscriber)
);

-- A whole commit, as JSON (`commitParameter` in postgres-queries.ts makes it). Called again for the same commit it says that it
-- is there already, so a lost answer is resolved by asking again.
--
-- READ COMMITTED is enough, and nothing here is true by luck: what two commits at one moment could both write wrongly has a
-- key that only one of them gets. Two successors of one head have the same primary key in `events`; two holders of one name
-- have the same primary key in `claims`. The second waits for the first, gets a unique violation, and with it nothing of its
-- commit is written; asked again it reads what the first has written. Everything else (snapshot, receipts, personal
-- values, rules) belongs to one experiment and is written behind the place in `events`, so by one commit at a time.
-- Under REPEATABLE READ and SERIALIZABLE the same happens with other error codes.
CREATE FUNCTION commit_experiment(wanted text, OUT outcome text, OUT claim text, OUT holder text)
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
#variable_conflict use_column
DECLARE
  given CONSTANT jsonb := wanted::jsonb;
  t CONSTANT text := given ->> 'tenant';
  e CONSTANT text := given ->> 'environment';
  x CONSTANT text := given ->> 'experiment';
  now_ms CONSTANT bigint := (given ->> 'now')::bigint;
  head record;
  held record;
BEGIN
  -- Each statement sees what was committed before it. The head is read first and judged last, so that a commit that comes
  -- in between (an earlier attempt of this very one, perhaps) is found, and not called a stranger's.
  SELECT seq, hash INTO head FROM events
  WHERE tenant = t AND environment = e AND experiment = x ORDER BY seq DESC LIMIT 1;
  IF EXISTS (
    SELECT 1 FROM events
    WHERE tenant = t AND environment = e AND experiment = x
      AND seq = (given #>> '{head,seq}')::bigint AND hash = given #>> '{head,hash}'
  ) THEN
    outcome := 'ok';
    RETURN;
  END IF;
  IF EXISTS (
    SELECT 1 FROM receipts
    WHERE tenant = t AND environment = e AND experiment = x
      AND key = given #>> '{receipt,key}' AND expires_at > now_ms
  ) THEN
    outcome := 'receipt';
    RETURN;
  END IF;
  IF coalesce(head.seq, 0) <> (given #>> '{expect,seq}')::bigint
    OR coalesce(head.hash, repeat('0', 64)) <> given #>> '{expect,hash}' THEN
    outcome := 'stale';
    RETURN;
  END IF;
  IF jsonb_array_length(given -> 'take') > 0 THEN
    SELECT claims.claim, claims.experiment INTO held
    FROM jsonb_array_elements_text(given -> 'take') WITH ORDINALITY AS asked (claim, place)
    JOIN claims ON claims.tenant = t AND claims.environment = e AND claims.claim = asked.claim COLLATE "C"
    WHERE claims.experiment <> x ORDER BY asked.place LIMIT 1;
    IF FOUND THEN
      outcome := 'claimed';
      claim := held.claim;
      holder := held.experiment;
      RETURN;
    END IF;
  END IF;

  -- Events first: whoever has the place goes on alone with this experiment.
  INSERT INTO events (tenant, environment, experiment, seq, type, at, version, prev_hash, hash, people, record)
  SELECT t, e, x, (event ->> 'seq')::bigint, event ->> 'type', event ->> 'at', (event ->> 'version')::bigint,
    event ->> 'prevHash', event ->> 'hash', event ->> 'people', event ->> 'record'
  FROM jsonb_array_elements(given -> 'events') WITH ORDINALITY AS one (event, place) ORDER BY place;

  -- The same row again is nothing new; the same reference or person with something else fails.
  IF jsonb_array_length(given -> 'personal') > 0 THEN
    INSERT INTO personal (tenant, environment, experiment, ref, kind, salt, value)
    SELECT t, e, x, item ->> 'ref', item ->> 'kind', item ->> 'salt', item ->> 'value'
    FROM jsonb_array_elements(given -> 'personal') AS one (item)
    WHERE NOT EXISTS (
      SELECT 1 FROM personal AS known
      WHERE known.tenant = t AND known.environment = e AND known.experiment = x AND known.ref = item ->> 'ref'
        AND known.kind = item ->> 'kind' AND known.salt = item ->> 'salt' AND known.value = item ->> 'value'
    );
  END IF;

  IF jsonb_array_length(given -> 'rules') > 0 THEN
    INSERT INTO rules (tenant, environment, experiment, digest, text)
    SELECT t, e, x, item ->> 'digest', item ->> 'text'
    FROM jsonb_array_elements(given -> 'rules') AS one (item)
    WHERE NOT EXISTS (
      SELECT 1 FROM rules AS known
      WHERE known.tenant = t AND known.environment = e AND known.experiment = x AND known.digest = item ->> 'digest'
    );
  END IF;

  IF given -> 'snapshot' <> 'null' THEN
    INSERT INTO snapshots AS kept
      (tenant, environment, experiment, lifecycle, revision, revision_hash, created_at, updated_at, people, state)
    SELECT t, e, x, s ->> 'lifecycle', (s ->> 'revision')::bigint, s ->> 'revisionHash', s ->> 'createdAt',
      s ->> 'updatedAt', s ->> 'people', s ->> 'state'
    FROM (SELECT given -> 'snapshot' AS s) AS one
    ON CONFLICT (tenant, environment, experiment) DO UPDATE SET
      lifecycle = excluded.lifecycle, revision = excluded.revision, revision_hash = excluded.revision_hash,
      created_at = excluded.created_at, updated_at = excluded.updated_at, people = excluded.people,
      state = excluded.state;
  END IF;

  IF given -> 'receipt' <> 'null' THEN
    DELETE FROM receipts WHERE tenant = t AND environment = e AND experiment = x AND expires_at <= now_ms;
    INSERT INTO receipts (tenant, environment, experiment, key, fingerprint, answer, expires_at)
    SELECT t, e, x, r ->> 'key', r ->> 'fingerprint', r ->> 'answer', (r ->> 'expiresAt')::bigint
    FROM (SELECT given -> 'receipt' AS r) AS one;
  END IF;

  IF jsonb_array_length(given -> 'release') > 0 THEN
    DELETE FROM claims
    WHERE tenant = t AND environment = e AND experiment = x
      AND claim = ANY (ARRAY(SELECT jsonb_array_elements_text(given -> 'release')) COLLATE "C");
  END IF;
  -- Never an upsert: that would take a claim from whoever holds it. In order, so that two commits cannot wait for each other.
  IF jsonb_array_length(given -> 'take') > 0 THEN
    INSERT INTO claims (tenant, environment, claim, experiment)
    SELECT t, e, name, x FROM jsonb_array_elements_text(given -> 'take') AS asked (name)
    WHERE NOT EXISTS (
      SELECT 1 FROM claims AS mine
      WHERE mine.tenant = t AND mine.environment = e AND mine.claim = name COLLATE "C" AND mine.experiment = x
    ) ORDER BY name COLLATE "C";
  END IF;
  outcome := 'ok';
END $$;

-- Keeps a checkpoint and removes the events before it; true when the checkpoint is there afterwards. The row of the
-- experiment is held, so that of two checkpoints the later one does not meet an earlier one that came meanwhile.
CREATE FUNCTION archive_experiment(t text, e text, x text, place bigint, place_hash text, key text, signed text, body text)
RETURNS boolean LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  PERFORM 1 FROM snapshots WHERE tenant = t AND environment = e AND experiment = x FOR NO KEY UPDATE;
  INSERT INTO checkpoints (tenant, environment, experiment, seq, hash, key_id, signature, text)
  SELECT t, e, x, place, place_hash, key, signed, body
  WHERE EXISTS (
      SELECT 1 FROM events WHERE tenant = t AND environment = e AND experiment = x AND seq = place AND hash = place_hash
    )
    AND NOT EXISTS (
      SELECT 1 FROM checkpoints WHERE tenant = t AND environment = e AND experiment = x AND seq >= place
    );
  IF NOT EXISTS (
    SELECT 1 FROM checkpoints
    WHERE tenant = t AND environment = e AND experiment = x AND seq = place AND hash = place_hash
  ) THEN
    RETURN false;
  END IF;
  DELETE FROM events WHERE tenant = t AND environment = e AND experiment = x AND seq < place;
  RETURN true;
END $$;
