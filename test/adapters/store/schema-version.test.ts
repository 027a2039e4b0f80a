/** Databases of another age: an older one is brought up with everything in it, a newer one is refused before it is touched. */
import { convertV4MiniflareOptions, Miniflare } from "miniflare";
import { afterEach, describe, expect, test, vi } from "vitest";
import { d1Store } from "../../../adapters/store/d1.ts";
import { type History, openHistory } from "../../../adapters/store/durable-object.ts";
import { openRegistry } from "../../../adapters/store/durable-object-registry.ts";
import { migrate, splitStatements } from "../../../adapters/store/migrate.ts";
import type { ObjectStorage } from "../../../adapters/store/object-storage.ts";
import { schemaVersion } from "../../../adapters/store/sqlite.ts";
import { sqliteMigrations } from "../../../adapters/store/sqlite-migrations.ts";
import { canonicalJson } from "../../../src/canonical.ts";
import { verifyChain } from "../../../src/governance/chain.ts";
import { withCurrentShape } from "../../../src/governance/current-shape.ts";
import { type ExperimentState, stateShape } from "../../../src/governance/state.ts";
import type { Commit } from "../../../src/governance/store.ts";
import type { ExperimentRef } from "../../../src/scope.ts";
import { after, author, creation, freshRef, next } from "../../support/governance.ts";
import { openStorage } from "../../support/objects-world.ts";

// Not a measurement: each test starts a database.
vi.setConfig({ testTimeout: 60_000 });

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

const openDatabase = async () => {
  const options = { modules: true, script: "", d1Databases: { DB: "governance" } };
  const miniflare = new Miniflare(convertV4MiniflareOptions(options));
  closers.push(() => miniflare.dispose());
  return miniflare.getD1Database("DB");
};

type Statement = readonly [sql: string, ...values: (string | number | null)[]];

/** What version 0.1.0 wrote for a new experiment, statement by statement. Do not mend: it is what is out there. */
const oldWriter = (ref: ExperimentRef, { events, snapshot, personal }: Commit): readonly Statement[] => {
  const place = [ref.tenant, ref.environment, ref.experiment] as const;
  if (snapshot === undefined) throw new TypeError("a creation has a snapshot");
  // A state had no shape then, and knew nothing of earlier plans.
  const left: (keyof ExperimentState)[] = ["shape", "earlierPlans", "notified"];
  const state = Object.fromEntries(
    Object.entries(snapshot.state).filter(([name]) => !left.some((one) => one === name)),
  );
  return [
    ...events.map((event): Statement => [
      `INSERT INTO events (tenant, environment, experiment, seq, type, at, version, prev_hash, hash, people, record)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)`,
      ...place,
      event.seq,
      event.type,
      event.at,
      event.type === "VersionWritten" ? event.data.version : null,
      event.prevHash,
      event.hash,
      JSON.stringify([event.actor.ref]),
      canonicalJson(event),
    ]),
    ...personal.map(({ ref: person, kind, salt, value }): Statement => [
      `INSERT INTO personal (tenant, environment, experiment, ref, kind, salt, value)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)`,
      ...place,
      person,
      kind,
      salt,
      value,
    ]),
    [
      `INSERT INTO snapshots
      (tenant, environment, experiment, lifecycle, revision, revision_hash, created_at, updated_at, people, state)
      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)`,
      ...place,
      snapshot.state.lifecycle,
      snapshot.revision,
      snapshot.revisionHash,
      snapshot.state.createdAt,
      snapshot.state.updatedAt,
      JSON.stringify([author.ref]),
      canonicalJson(state),
    ],
    [
      "INSERT INTO claims (tenant, environment, experiment, claim) VALUES (?1, ?2, ?3, ?4)",
      ...place,
      "surface:checkout",
    ],
  ];
};

const [oldest] = sqliteMigrations;
if (oldest === undefined) throw new TypeError("there is a first migration");

describe("a D1 database", () => {
  test("of the first version is refused until it is brought up, and then has everything", async () => {
    const database = await openDatabase();
    await migrate(database, [oldest]);
    const ref = freshRef();
    const created = creation(ref);
    await database.batch(oldWriter(ref, created).map(([sql, ...values]) => database.prepare(sql).bind(...values)));
    const store = withCurrentShape(d1Store({ database }));
    await expect(store.load(ref)).rejects.toThrow("migrations have not been applied");

    expect(await migrate(database, sqliteMigrations)).toEqual(sqliteMigrations.slice(1).map(({ name }) => name));
    const loaded = await store.load(ref);
    expect(loaded).toMatchObject({
      head: after(created).head,
      snapshot: { revision: 1, state: { shape: stateShape } },
    });
    expect(await store.commit(ref, next(after(created)))).toEqual({ ok: true });
    const { events, people } = await store.history(ref);
    expect(verifyChain(events)).toMatchObject({ valid: true, length: 3 });
    expect(people.get(author.ref)).toBe(author.value);
    const rival = { ...ref, experiment: "rival" };
    expect(await store.commit(rival, creation(rival, { take: ["surface:checkout"] }))).toMatchObject({
      conflict: "claimed",
      holder: ref.experiment,
    });
    const { results } = await database
      .prepare("SELECT version, author_name FROM configuration_versions WHERE tenant = ?1")
      .bind(ref.tenant)
      .all();
    expect(results).toEqual([{ version: 1, author_name: author.value }]);
  });

  test("of a newer version is refused, and nothing is written to it", async () => {
    const database = await openDatabase();
    await migrate(database, sqliteMigrations);
    await database.prepare("UPDATE proviso_schema SET version = 99").run();
    const store = d1Store({ database });
    const ref = freshRef();
    const refusal = { code: "store-unavailable", message: expect.stringContaining("schema version 99") as unknown };
    await expect(store.commit(ref, creation(ref))).rejects.toMatchObject(refusal);
    await expect(store.load(ref)).rejects.toMatchObject(refusal);
    await expect(store.check()).rejects.toMatchObject(refusal);
    expect((await database.prepare("SELECT count(*) AS n FROM events").all()).results).toEqual([{ n: 0 }]);
  });

  test("of a version between says what it has and what is needed", async () => {
    const database = await openDatabase();
    await migrate(database, sqliteMigrations);
    await database.prepare("UPDATE proviso_schema SET version = 1").run();
    await expect(d1Store({ database }).check()).rejects.toThrow(
      `has schema version 1, and this version of Proviso needs ${schemaVersion}`,
    );
  });

  test("has the version of the last migration, which is the one that the code is written for", async () => {
    const database = await openDatabase();
    await migrate(database, sqliteMigrations);
    expect((await database.prepare("SELECT version FROM proviso_schema").all()).results).toEqual([
      { version: schemaVersion },
    ]);
    expect(sqliteMigrations).toHaveLength(schemaVersion);
  });
});

describe("the database of an object", () => {
  const historyIn = (storage: ObjectStorage) => {
    const registry = openRegistry({
      storage: openStorage(),
      holding: (question) => history.holding(question),
      standing: (question) => history.standing(question),
    });
    const history: History = openHistory({
      storage,
      registry: () => registry,
      id: () => crypto.randomUUID(),
      wake: () => Promise.resolve(),
    });
    return history;
  };

  test("of the first version is brought up at its first use", async () => {
    const storage = openStorage();
    for (const statement of splitStatements(oldest.sql)) storage.sql.exec(statement);
    storage.sql.exec("CREATE TABLE proviso_object_schema (part TEXT PRIMARY KEY, version INTEGER NOT NULL)");
    storage.sql.exec("INSERT INTO proviso_object_schema (part, version) VALUES ('governance', 1)");
    const ref = freshRef();
    const created = creation(ref);
    for (const [sql, ...values] of oldWriter(ref, created)) storage.sql.exec(sql, ...values);
    const history = withCurrentShape(historyIn(storage));
    expect(await history.load(ref)).toMatchObject({ head: after(created).head });
    expect(await history.commit(ref, next(after(created)))).toEqual({ ok: true });
    expect(storage.sql.exec("SELECT part, version FROM proviso_object_schema ORDER BY part").toArray()).toEqual([
      { part: "governance", version: schemaVersion },
      { part: "standing", version: 1 },
    ]);
    // The registry hears of it with its first change.
    expect((await history.list(ref)).items).toHaveLength(1);
  });

  test("of a newer version is refused, and nothing is written to it", async () => {
    const storage = openStorage();
    const ref = freshRef();
    expect(await historyIn(storage).commit(ref, creation(ref))).toEqual({ ok: true });
    storage.sql.exec("UPDATE proviso_object_schema SET version = 99 WHERE part = 'governance'");
    const history = historyIn(storage);
    const refusal = { code: "store-unavailable", message: expect.stringContaining("schema version 99") as unknown };
    await expect(history.load(ref)).rejects.toMatchObject(refusal);
    await expect(history.commit(ref, creation(ref))).rejects.toMatchObject(refusal);
    expect(storage.sql.exec("SELECT count(*) AS n FROM events").toArray()).toEqual([{ n: 2 }]);
  });

  test("is not made by asking for what is not there", async () => {
    const storage = openStorage();
    const history = historyIn(storage);
    expect(await history.load(freshRef())).toBeNull();
    expect(await history.history(freshRef())).toMatchObject({ events: [] });
    expect(storage.sql.exec("SELECT name FROM sqlite_master").toArray()).toEqual([]);
  });
});
