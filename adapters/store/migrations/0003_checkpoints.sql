-- Retention: events may go once a signed checkpoint stands behind them.

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
