/** Ledgers that older versions have written: nothing is lost, and what they did not count is counted anew. */
import { runInDurableObject } from "cloudflare:test";
import { expect, test } from "vitest";
import { metricSpecs } from "../../src/ledger/metric-spec.ts";
import { openLedger } from "../../worker/ledger.ts";
import { coordinated, countsOf, idOf, measured, newRef, noon, shown, stubOf } from "./ledger-support.ts";

/** The tables of version 2, word for word. */
const version2 = `
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
    totals   TEXT                     -- {"kind:metric": total, …}
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

/** The same two subjects, a crossover and one that waits, as version 2 kept them. */
const rows = `
  INSERT INTO ledger VALUES (2, 'default', 'default', 'NAME', 9, ${noon}, 3, 4, 1, 0, ${Math.floor(noon / (14 * 86_400_000))});
  INSERT INTO subjects VALUES
    (1, 'a', 'control', 1, ${noon}, '${idOf(1)}', NULL, '{"count:m":3}'),
    (2, 'b', 'treatment', 1, ${noon + 1}, '${idOf(2)}',
      '[["treatment",${noon + 1},"${idOf(2)}"],["control",${noon + 5},"${idOf(3)}"]]', '{"count:m":12,"binary:p":1}'),
    (3, 'zzz', NULL, NULL, NULL, NULL, NULL, '{"count:m":8}');
  INSERT INTO arms VALUES (1, 'control', 1, 1, 1), (1, 'treatment', 1, 0, 0);
  INSERT INTO recent VALUES (${Math.floor(noon / 60_000)}, 1, 'treatment', 1);
  INSERT INTO metrics VALUES ('count:m', 1), ('binary:p', 0);
  INSERT INTO totals VALUES ('count:m', 1, 'control', 1, '3', '9'), ('count:m', 1, 'treatment', 1, '12', '144'),
    ('binary:p', 1, 'treatment', 1, '1', '1');
  INSERT INTO checkpoints VALUES (7, '[[1,"control",1]]');
  INSERT INTO outcomes VALUES
    (unhex('${idOf(1)}', '-'), 1, 'count:m', ${noon}, 3),
    (unhex('${idOf(2)}', '-'), 2, 'count:m', ${noon + 2}, 4),
    (unhex('${idOf(3)}', '-'), 2, 'count:m', ${noon + 8 * 86_400_000}, 8),
    (unhex('${idOf(4)}', '-'), 2, 'binary:p', ${noon + 2}, 1),
    (unhex('${idOf(5)}', '-'), 3, 'count:m', ${noon}, 8);
  INSERT INTO exposure_ids_${Math.floor(noon / (14 * 86_400_000)) % 2} VALUES
    (unhex('${idOf(1)}', '-')), (unhex('${idOf(2)}', '-')), (unhex('${idOf(3)}', '-'));
`;

test.each([
  ["2", ""],
  [
    "3",
    "ALTER TABLE subjects ADD COLUMN trusted TEXT; UPDATE ledger SET schema_version = 3; CREATE TABLE watches (key TEXT NOT NULL PRIMARY KEY, watch TEXT NOT NULL, counts TEXT NOT NULL, asked INTEGER NOT NULL) WITHOUT ROWID;",
  ],
])(
  "a ledger of version %s goes on: windows apply to what it kept, its checkpoints and ids stay",
  async (_version, more) => {
    const ref = newRef();
    await runInDurableObject(stubOf(ref), async (_object, { storage }) => {
      storage.sql.exec(version2);
      storage.sql.exec(rows.replace("NAME", ref.experiment));
      if (more !== "") storage.sql.exec(more);
      const clock = { now: noon + 2 * 60_000 };
      const ledger = openLedger(storage, () => clock.now);
      const watch = { epoch: 1, since: noon, metrics: [{ metric: "m", kind: "count" as const }] };
      const before = countsOf(ledger);
      expect(before).toMatchObject({
        arms: [
          { variant: "control", subjects: 1 },
          { variant: "treatment", subjects: 1 },
        ],
        exposures: 3,
        repeats: 1,
        crossovers: 1,
        recounted: 1,
      });
      // The 8 of b came after its seven days; that of zzz still waits.
      expect(before.metrics).toMatchObject([
        {
          metric: "m",
          unexposed: 1,
          arms: [
            { variant: "control", sum: "3" },
            { variant: "treatment", sum: "4", sumOfSquares: "16" },
          ],
        },
        { metric: "p", unexposed: 0, arms: [{ variant: "treatment", sum: "1" }] },
      ]);
      expect(ledger.watched(watch).arms.map(({ variant, totals }) => [variant, totals[0]?.sum])).toEqual([
        ["control", "3"],
        ["treatment", "4"],
      ]);
      const batch = {
        ref,
        exposures: [shown(1, "a", "control"), shown(9, "zzz", "control")],
        outcomes: [measured(1, "a", "m", 3)],
        assignments: [],
      };
      ledger.record(batch);
      const after = await coordinated(ledger, clock).counts({
        plans: [
          {
            epoch: 1,
            arms: [
              { variant: "control", share: 1 },
              { variant: "treatment", share: 1 },
            ],
          },
        ],
      });
      expect(after).toMatchObject({
        exposures: 4,
        arms: [{ subjects: 2 }, { subjects: 1 }],
        checkpointLooks: [{ looks: 1 }],
      });
      expect(after.metrics[0]).toMatchObject({ unexposed: 0, arms: [{ sum: "11" }, { sum: "4" }] });
    });
  },
);

/** The tables of subjects and of routing as version 4 had them, word for word, with the rows of the present ones. */
const asVersion4 = `
  ALTER TABLE subjects RENAME TO subjects_new;
  DROP INDEX crossovers;
  DROP INDEX waiting;
  CREATE TABLE subjects (
    n          INTEGER PRIMARY KEY,
    subject    TEXT NOT NULL UNIQUE,
    variant    TEXT,                  -- first exposure; NULL while only outcomes have arrived
    epoch      INTEGER,
    time       INTEGER,               -- of the first exposure; while there is none, when an outcome last arrived
    event      TEXT,
    dimensions TEXT,                  -- ["name=value", …] at the first exposure
    variants   TEXT,                  -- of a crossover only: [[variant, time, event], …], earliest first
    totals     TEXT,                  -- {metric number: total, …}
    trusted    TEXT                   -- [variant, epoch, time, event] by a server's key, or []; NULL: as above
  );
  CREATE INDEX crossovers ON subjects (n) WHERE variants IS NOT NULL;
  CREATE INDEX waiting ON subjects (time) WHERE variant IS NULL;
  INSERT INTO subjects SELECT * FROM subjects_new;
  DROP TABLE subjects_new; DROP TABLE names; DROP TABLE new_names; DROP TABLE unnamed;
  ALTER TABLE ledger DROP COLUMN named;
  ALTER TABLE routing RENAME TO routing_new;
  CREATE TABLE routing (shards INTEGER NOT NULL, target INTEGER NOT NULL);
  INSERT INTO routing SELECT shards, target FROM routing_new;
  DROP TABLE routing_new;
  UPDATE ledger SET schema_version = 4;
`;

test("a ledger of version 4 knows its subjects by their names, and goes on", async () => {
  const ref = newRef();
  await runInDurableObject(stubOf(ref), (_object, { storage }) => {
    const batch = {
      ref,
      exposures: [shown(1, "a", "control"), shown(2, "b", "treatment"), shown(3, "b", "control", noon + 1)],
      outcomes: [measured(4, "a", "m", 3), measured(5, "waits", "m", 8)],
      assignments: [],
    };
    const before = openLedger(storage, () => noon);
    before.record(batch);
    const counted = countsOf(before);
    storage.sql.exec(asVersion4);
    const ledger = openLedger(storage, () => noon);
    expect(countsOf(ledger)).toEqual(counted);
    ledger.record(batch);
    expect(countsOf(ledger)).toEqual({ ...counted, received: 10 });
    ledger.record({ ...batch, exposures: [shown(6, "waits", "control")], outcomes: [measured(7, "new", "m", 1)] });
    expect(countsOf(ledger)).toMatchObject({
      arms: [
        { variant: "control", subjects: 2 },
        { variant: "treatment", subjects: 1 },
      ],
      metrics: [{ unexposed: 1, arms: [{ variant: "control", sum: "11" }] }],
    });
  });
});

test("a ledger of version 4 takes a wish for more shards, also one that was raising their number", async () => {
  const [calm, moving] = [newRef(), newRef()];
  await runInDurableObject(stubOf(calm), (_object, { storage }) => {
    openLedger(storage, () => noon).routing(calm, 1);
    storage.sql.exec(asVersion4);
    expect(openLedger(storage, () => noon).routing(calm, 2)).toMatchObject({ shards: 1, target: 2 });
  });
  await runInDurableObject(stubOf(moving), (_object, { storage }) => {
    const before = openLedger(storage, () => noon);
    before.routing(moving, 1);
    before.routing(moving, 2);
    storage.sql.exec(asVersion4);
    const ledger = openLedger(storage, () => noon);
    expect(ledger.routing(moving, 4)).toMatchObject({ shards: 1, target: 2 });
    ledger.routed(2);
    expect(ledger.currentRouting()).toMatchObject({ shards: 2, target: 4 });
  });
});

test("other definitions are counted anew, part by part, while events go on arriving", async () => {
  const ref = newRef();
  await runInDurableObject(stubOf(ref), (_object, { storage }) => {
    const clock = { now: noon };
    const ledger = openLedger(storage, () => clock.now);
    const size = 15_000;
    const exposures = Array.from({ length: size }, (_, n) => shown(n, `s${n}`, n % 2 === 0 ? "a" : "b"));
    const outcomes = Array.from({ length: size }, (_, n) => measured(n, `s${n}`, "m", n % 10, "continuous", noon + n));
    ledger.record({
      ref,
      exposures,
      outcomes,
      assignments: [],
      metrics: metricSpecs(1, [{ name: "m", kind: "continuous" }]),
    });
    const sums = (): readonly string[] => countsOf(ledger).metrics[0]?.arms.map(({ sum }) => sum) ?? [];
    expect(sums()).toEqual(["30000", "37500"]);
    const capped = metricSpecs(2, [{ name: "m", kind: "continuous", cap: 5 }]);
    const watch = { epoch: 1, since: noon, metrics: [{ metric: "m", kind: "continuous" as const }] };
    ledger.watched(watch);
    ledger.record({ ref, exposures: [], outcomes: [], assignments: [], metrics: capped });
    const first = ledger.rows();
    expect(first?.recounted[0]).toBeLessThan(size);
    // An old definition that arrives late changes nothing; events do, of subjects on both sides of what is done.
    ledger.record({
      ref,
      exposures: [],
      outcomes: [],
      assignments: [],
      metrics: metricSpecs(1, [{ name: "m", kind: "continuous" }]),
    });
    ledger.record({
      ref,
      exposures: [shown(size + 1, "new", "a")],
      outcomes: [
        measured(size + 1, "s0", "m", 1, "continuous"),
        measured(size + 2, "s14999", "m", 1, "continuous"),
        measured(size + 3, "new", "m", 9, "continuous"),
      ],
      assignments: [],
      metrics: capped,
    });
    for (let time = 0; time < 20; time += 1) ledger.tick();
    const a = Array.from({ length: size / 2 }, (_, n) => Math.min(5, (2 * n) % 10)).reduce(
      (sum, value) => sum + value,
      0,
    );
    const b = Array.from({ length: size / 2 }, (_, n) => Math.min(5, (2 * n + 1) % 10)).reduce(
      (sum, value) => sum + value,
      0,
    );
    expect(sums()).toEqual([String(a + 1 + 5), String(b)]);
    expect(countsOf(ledger).recounted).toBe(1);
    // Guardrails have caps of their own, and follow the subjects all the while.
    const { arms } = ledger.watched(watch);
    const [anew] = [ledger.watched({ ...watch, since: noon - 1 })];
    expect(arms).toEqual(anew?.arms);
  });
});
