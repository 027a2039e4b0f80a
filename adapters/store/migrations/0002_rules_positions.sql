-- What decisions were measured by, and how far the log has been delivered.

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
