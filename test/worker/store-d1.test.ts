/** The D1 store inside workerd, against the database engine that D1 is made of. */
import { describe, expect, test } from "vitest";
import { type D1DatabaseLike, type D1Statement, d1Store } from "../../adapters/store/d1.ts";
import { canonicalJson } from "../../src/canonical.ts";
import type { Commit, GovernanceStore } from "../../src/governance/store.ts";
import type { ExperimentRef } from "../../src/scope.ts";
import { describeStore, type StoreUnderTest } from "../conformance/store.suite.ts";
import { commitAll, expectValid, observe, wholeHistory, withExperiment } from "../conformance/store/under-test.ts";
import {
  after,
  type Base,
  checkpointAt,
  creation,
  denial,
  denied,
  freshRef,
  later,
  next,
  receipt,
  ruleSet,
  transitioned,
  versionWritten,
} from "../support/governance.ts";
import { sqliteAttacks } from "../support/sqlite-attacks.ts";
import { migratedDatabase } from "./d1.ts";

const here = "tenant = ?1 AND environment = ?2 AND experiment = ?3";

const underTest = async (): Promise<StoreUnderTest> => {
  const database = await migratedDatabase();
  return {
    store: d1Store({ database }),
    attacks: sqliteAttacks((sql, ...values) =>
      database
        .prepare(sql)
        .bind(...values)
        .run(),
    ),
  };
};

describeStore("d1", underTest);

/** What a batch does instead of, before or after what it should do. */
type Batch = (send: () => ReturnType<D1DatabaseLike["batch"]>) => ReturnType<D1DatabaseLike["batch"]>;

const connectionLost = (): Error => new Error("D1_ERROR: Network connection lost.");
const works: Batch = (send) => send();
const failsBefore: Batch = async () => {
  throw connectionLost();
};
const failsAfter: Batch = async (send) => {
  await send();
  throw connectionLost();
};

/** A database whose batches go wrong one after another as told, and then work; with the number of round trips. */
const flaky = async (...batches: readonly Batch[]) => {
  const database = await migratedDatabase();
  const seen = { batches: 0, statements: 0 };
  const wrapped: D1DatabaseLike = {
    prepare: (sql) => database.prepare(sql),
    batch(statements: D1PreparedStatement[]) {
      const batch = batches[seen.batches] ?? works;
      seen.batches += 1;
      seen.statements += statements.length;
      return batch(() => database.batch(statements));
    },
  };
  return { database, store: d1Store({ database: wrapped }), seen };
};

/** An experiment in the shared database, made without the flaky store noticing. */
const experiment = async (commit?: (ref: ExperimentRef) => Commit): Promise<{ ref: ExperimentRef; base: Base }> => {
  const { store } = await underTest();
  const ref = freshRef();
  const created = commit?.(ref) ?? creation(ref);
  await commitAll(store, ref, created);
  return { ref, base: after(created) };
};

describe("d1: a commit whose answer is lost", () => {
  test("is found by reading back when it happened", async () => {
    const { ref, base } = await experiment();
    const { store, seen } = await flaky(failsAfter);
    const commit = next(base, { receipt: receipt("key"), take: ["token"] });
    expect(await store.commit(ref, commit)).toEqual({ ok: true });
    expect(seen.batches).toBe(2);
    expect((await observe(store, ref, { receipt: "key" })).loaded).toMatchObject({
      snapshot: commit.snapshot,
      receipt: receipt("key"),
    });
    expect(await wholeHistory(store, ref)).toHaveLength(3);
  });

  test("is found even when the first look fails, and when others have gone on since", async () => {
    const { ref, base } = await experiment();
    const { store: other } = await underTest();
    const commit = next(base, { take: ["token"] });
    const overtaken: Batch = async (send) => {
      await send();
      await commitAll(other, ref, next(after(commit), { release: ["token"] }));
      throw connectionLost();
    };
    const { store } = await flaky(overtaken, failsBefore);
    expect(await store.commit(ref, commit)).toEqual({ ok: true });
    expect(await wholeHistory(store, ref)).toHaveLength(4);
  });

  test("of a create is found too", async () => {
    const ref = freshRef();
    const { store } = await flaky(failsAfter);
    expect(await store.commit(ref, creation(ref))).toEqual({ ok: true });
    expect(await wholeHistory(store, ref)).toHaveLength(2);
  });

  test("is unknown when it did not happen: it may yet be under way", async () => {
    const { ref, base } = await experiment();
    const before = await observe((await underTest()).store, ref);
    const { store, seen } = await flaky(failsBefore);
    const unknown = store.commit(ref, next(base));
    await expect(unknown).rejects.toMatchObject({ code: "store-unavailable", cause: connectionLost() });
    expect(seen.batches).toBe(3);
    expect(await observe(store, ref)).toEqual(before);
    // Whoever asks again with the same commit finds out.
    expect(await store.commit(ref, next(base))).toEqual({ ok: true });
  });

  test("is unknown when nothing can be read back", async () => {
    const { ref, base } = await experiment();
    const { store } = await flaky(failsAfter, failsBefore, failsBefore);
    const commit = next(base);
    await expect(store.commit(ref, commit)).rejects.toMatchObject({ code: "store-unavailable" });
    // It did happen, and the very same commit says so.
    expect(await store.commit(ref, commit)).toEqual({ ok: true });
    expect(await wholeHistory(store, ref)).toHaveLength(3);
  });

  test("is classified by what stands in its way", async () => {
    const { ref, base } = await experiment((place) => creation(place, { receipt: receipt("used") }));
    const { store: other } = await underTest();
    const rival = { ...ref, experiment: "rival" };
    await commitAll(other, rival, creation(rival, { take: ["token"] }));
    const outcome = async (commit: Commit) => (await flaky(failsBefore)).store.commit(ref, commit);
    expect(await outcome(next(base, { take: ["token"] }))).toMatchObject({ conflict: "claimed", holder: "rival" });
    expect(await outcome(next(base, { receipt: receipt("used") }))).toMatchObject({ conflict: "receipt" });
    expect(await outcome(creation(ref))).toMatchObject({ conflict: "exists" });
    await commitAll(other, ref, denial(base));
    expect(await outcome(next(base))).toMatchObject({ conflict: "stale" });
  });
});

describe("d1: a commit that is refused", () => {
  test("for a claim that is free again when it is looked at is made after all", async () => {
    const { ref, base } = await experiment();
    const { store: other } = await underTest();
    const rival = { ...ref, experiment: "rival" };
    const taken = creation(rival, { take: ["token"] });
    await commitAll(other, rival, taken);
    const releasedBehind: Batch = async (send) => {
      try {
        return await send();
      } finally {
        await commitAll(other, rival, next(after(taken), { release: ["token"] }));
      }
    };
    const { store } = await flaky(releasedBehind);
    expect(await store.commit(ref, next(base, { take: ["token"] }))).toEqual({ ok: true });
    expect(await other.commit(rival, denial({ head: after(taken).head }, { take: ["token"] }))).toMatchObject({
      ok: false,
    });
  });

  test("again and again for no reason that can be seen ends in an error with its cause", async () => {
    const { ref, base } = await experiment();
    const refusal = new Error("D1_ERROR: CHECK constraint failed: something: SQLITE_CONSTRAINT");
    const refuses: Batch = async () => {
      throw refusal;
    };
    const { store, seen } = await flaky(refuses, works, works, refuses, works, works, refuses);
    await expect(store.commit(ref, next(base))).rejects.toMatchObject({ code: "internal", cause: refusal });
    expect(seen.batches).toBe(9);
    expect(await wholeHistory(store, ref)).toHaveLength(2);
  });
});

describe("d1: reading", () => {
  test.each<readonly [name: string, read: (store: GovernanceStore, ref: ExperimentRef) => Promise<unknown>]>([
    ["load", (store, ref) => store.load(ref)],
    ["history", (store, ref) => store.history(ref)],
    ["list", (store, ref) => store.list(ref)],
    ["rules", (store, ref) => store.rules(ref)],
    ["personal", (store, ref) => store.personal(ref)],
    ["erase", (store, ref) => store.erase(ref, ["a"])],
    ["archive", (store, ref) => store.archive(ref, checkpointAt({ seq: 1, hash: "a" }))],
    ["checkpoint", (store, ref) => store.checkpoint(ref)],
    ["receipts", (store, ref) => store.receipts(ref)],
    ["keepReceipts", (store, ref) => store.keepReceipts(ref, [receipt("key")])],
    ["sweep", (store, ref) => store.sweep(ref, later(1))],
    ["positions", (store, ref) => store.positions(ref)],
    ["advance", (store, ref) => store.advance(ref, "a", 1)],
    ["check", (store) => store.check()],
  ])("that fails says so and keeps the cause: %s", async (_, read) => {
    const { store } = await flaky(failsBefore);
    await expect(read(store, freshRef())).rejects.toMatchObject({
      code: "store-unavailable",
      cause: connectionLost(),
    });
    await expect(read(store, freshRef())).resolves.not.toThrow();
  });

  test("a database without the migrations names them", async () => {
    const database = await migratedDatabase();
    const store = d1Store({
      database: {
        prepare: (sql) => database.prepare(sql.replaceAll(/\b(snapshots|events|personal)\b/g, "missing_$1")),
        batch: (statements: D1PreparedStatement[]) => database.batch(statements),
      },
      name: "other",
    });
    expect(store.name).toBe("other");
    await expect(store.check()).rejects.toThrow("its migrations have not been applied");
  });
});

describe("d1: one round trip", () => {
  test("for each operation, however much it does", async () => {
    const { ref, base } = await experiment();
    const { store, seen } = await flaky();
    const roundTrips = async (operation: () => Promise<unknown>): Promise<number> => {
      seen.batches = 0;
      await operation();
      return seen.batches;
    };
    const large = next(base, {
      drafts: [transitioned(), versionWritten(2), ...Array.from({ length: 20 }, () => denied())],
      take: Array.from({ length: 100 }, (_, index) => `claim ${index}`),
      release: ["nothing"],
      receipt: receipt("key"),
    });
    expect(await roundTrips(() => store.commit(ref, large))).toBe(1);
    expect(await roundTrips(() => store.load(ref, { receipt: "key", actor: "a", now: later(1) }))).toBe(1);
    expect(await roundTrips(() => store.history(ref, { types: ["ChangeDenied"], limit: 5 }))).toBe(1);
    expect(await roundTrips(() => store.list(ref, { states: ["Draft"], surface: "home" }))).toBe(1);
    expect(await roundTrips(() => store.rules(ref))).toBe(1);
    expect(await roundTrips(() => store.personal(ref))).toBe(1);
    expect(await roundTrips(() => store.erase(ref, ["a", "b"]))).toBe(1);
    expect(await roundTrips(() => store.archive(ref, checkpointAt(base.head)))).toBe(1);
    expect(await roundTrips(() => store.checkpoint(ref))).toBe(1);
    expect(await roundTrips(() => store.receipts(ref, { now: later(1) }))).toBe(1);
    expect(await roundTrips(() => store.keepReceipts(ref, [receipt("a"), receipt("b")]))).toBe(1);
    expect(await roundTrips(() => store.sweep(ref, later(1)))).toBe(1);
    expect(await roundTrips(() => store.positions(ref))).toBe(1);
    expect(await roundTrips(() => store.advance(ref, "a", 1))).toBe(1);
    expect(await roundTrips(() => store.check())).toBe(1);
    // A conflict costs one more: the look at why.
    expect(await roundTrips(() => store.commit(ref, next(base)))).toBe(2);
  });
});

/** A database that adds up the rows it had to look at, as D1 bills them, and keeps its statements. */
const metered = async () => {
  const database = await migratedDatabase();
  const meter = { rowsRead: 0, queries: new Set<string>() };
  const wrapped: D1DatabaseLike = {
    prepare(sql) {
      meter.queries.add(sql);
      return database.prepare(sql);
    },
    async batch(statements: D1PreparedStatement[]) {
      const results = await database.batch(statements);
      for (const { meta } of results) meter.rowsRead += meta.rows_read;
      return results;
    },
  };
  return { database, store: d1Store({ database: wrapped }), meter };
};

/** Every kind of question and a commit, at the head of a history. */
const everything = async (store: GovernanceStore, ref: ExperimentRef, base: Base): Promise<Base> => {
  const { seq } = base.head;
  await store.load(ref, { receipt: "no such key", actor: "nobody", now: later(0) });
  await store.history(ref, { after: Math.max(0, seq - 5) });
  await store.history(ref, { limit: 3 });
  await store.history(ref, { types: ["ChangeDenied", "Transitioned"], limit: 3 });
  await store.history(ref, { types: ["ChangeDenied"], after: Math.max(0, seq - 5) });
  await store.history(ref, { types: ["Created"] });
  await store.history(ref, { version: 1 });
  await store.list(ref, { limit: 1 });
  await store.list(ref, { states: ["Draft", "Running"], limit: 1 });
  await store.list(ref, { surface: "home", states: ["Draft"] });
  await store.rules(ref);
  await store.personal(ref, { limit: 5 });
  await store.personal(ref, { refs: ["a", "b"] });
  await store.checkpoint(ref);
  await store.receipts(ref, { limit: 5, now: later(0) });
  await store.keepReceipts(ref, [receipt("kept")]);
  await store.sweep(ref, later(0));
  await store.positions(ref);
  await store.advance(ref, "subscriber", seq);
  const commit = next(base, {
    receipt: receipt(`key ${seq}`),
    release: ["a"],
    take: ["a", "b"],
    rules: [ruleSet("a"), ruleSet("b")],
  });
  await commitAll(store, ref, commit);
  const stale = next(base, { receipt: receipt("unused"), take: ["c"] });
  expect(await store.commit(ref, stale)).toMatchObject({ conflict: "stale" });
  return after(commit);
};

describe("d1: cost", () => {
  test("grows neither with the length of a history nor with the number of experiments", async () => {
    const { ref, base } = await experiment();
    const { store, meter } = await metered();
    const cost = async (from: Base): Promise<readonly [number, Base]> => {
      meter.rowsRead = 0;
      const reached = await everything(store, ref, from);
      return [meter.rowsRead, reached];
    };
    const grow = async (from: Base, events: number, experiments: number): Promise<Base> => {
      let last = from;
      for (let grown = 0; grown < events; grown += 100) {
        const commit = denial(last, { drafts: Array.from({ length: 100 }, () => denied()) });
        await commitAll(store, ref, commit);
        last = after(commit, last);
      }
      for (let grown = 0; grown < experiments; grown += 1) {
        const other = { ...ref, experiment: `other-${last.head.seq}-${grown}` };
        await commitAll(
          store,
          other,
          creation(other, { receipt: receipt("key"), take: [`claim of ${grown} ${last.head.seq}`] }),
        );
      }
      return last;
    };
    // Some rounds first: claims are then held, and pages of every kind of event full.
    let warm = base;
    for (let round = 0; round < 5; round += 1) [, warm] = await cost(warm);
    const [small, reached] = await cost(await grow(warm, 100, 10));
    const [large] = await cost(await grow(reached, 2_000, 100));
    expect(small).toBeGreaterThan(0);
    expect(large).toBe(small);
  });

  test("is that of a search in an index: no statement walks through a table", async () => {
    const { ref, base } = await experiment();
    const { database, store, meter } = await metered();
    await everything(store, ref, base);
    const details: string[] = [];
    for (const sql of meter.queries) {
      const places = Math.max(0, ...[...sql.matchAll(/\?(\d+)/g)].map((match) => Number(match[1])));
      const explain = database.prepare(`EXPLAIN QUERY PLAN ${sql}`).bind(...Array.from({ length: places }, () => "[]"));
      const { results } = await explain.all<{ detail: string }>();
      details.push(...results.map((row) => row.detail));
    }
    expect(meter.queries.size).toBeGreaterThan(15);
    // A list of values that came with the statement is walked through: it is as long as what was asked for.
    expect(details.filter((detail) => detail.startsWith("SCAN") && !/VIRTUAL TABLE|CONSTANT ROW/.test(detail))).toEqual(
      [],
    );
    expect(new Set(details.flatMap((detail) => /INDEX ([a-z_]+) /.exec(detail)?.[1] ?? []))).toEqual(
      new Set([
        "events_by_type",
        "events_by_version",
        "snapshots_by_lifecycle",
        "receipts_by_expiry",
        "personal_by_name",
      ]),
    );
  });
});

describe("d1: the schema", () => {
  test("keeps every event when a valid one comes as INSERT OR REPLACE and repeats a version", async () => {
    const { ref, base } = await experiment();
    const database = await migratedDatabase();
    const before = await wholeHistory((await underTest()).store, ref);
    const [event] = next(base, { drafts: [versionWritten(1)] }).events;
    if (event === undefined) throw new TypeError("a commit has an event");
    await database
      .prepare(
        `INSERT OR REPLACE INTO events (tenant, environment, experiment, seq, type, at, version, prev_hash, hash, people, record)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, ?7, ?8, '[]', ?9)`,
      )
      .bind(
        ref.tenant,
        ref.environment,
        ref.experiment,
        event.seq,
        event.type,
        event.at,
        event.prevHash,
        event.hash,
        canonicalJson(event),
      )
      .run();
    const history = await wholeHistory((await underTest()).store, ref);
    expect(history).toEqual([...before, event]);
    expectValid(history);
  });

  test("has no unique constraint on events but the primary key", async () => {
    const database = await migratedDatabase();
    const { results } = await database
      .prepare(`SELECT name, origin FROM pragma_index_list('events') WHERE "unique" = 1`)
      .all();
    expect(results).toMatchObject([{ origin: "pk" }]);
  });

  test.each([
    { column: "type", value: "Created" },
    { column: "at", value: later(1) },
    { column: "version", value: 7 },
    { column: "people", value: "{}" },
    { column: "people", value: "nonsense" },
    { column: "record", value: "{}" },
    { column: "record", value: "nonsense" },
  ])("refuses an event whose $column is not what its record says: $value", async ({ column, value }) => {
    const { ref, base } = await experiment();
    const database = await migratedDatabase();
    const [event] = denial(base).events;
    if (event === undefined) throw new TypeError("a denial has an event");
    const row: Record<string, unknown> = {
      tenant: ref.tenant,
      environment: ref.environment,
      experiment: ref.experiment,
      seq: event.seq,
      type: event.type,
      at: event.at,
      version: null,
      prev_hash: event.prevHash,
      hash: event.hash,
      people: "[]",
      record: canonicalJson(event),
    };
    const insert = (changed: Record<string, unknown>) =>
      database
        .prepare(
          `INSERT INTO events (${Object.keys(changed).join(", ")}) VALUES (${Object.keys(changed)
            .map((_, index) => `?${index + 1}`)
            .join(", ")})`,
        )
        .bind(...Object.values(changed))
        .run();
    await expect(insert({ ...row, [column]: value })).rejects.toThrow(/constraint failed|malformed JSON/);
    await expect(insert(row)).resolves.toMatchObject({ success: true });
  });

  test("does not let a claim be stolen by INSERT OR REPLACE", async () => {
    const { store, ref } = await withExperiment(underTest, { take: ["token"] });
    const database = await migratedDatabase();
    const steal = database
      .prepare(
        "INSERT OR REPLACE INTO claims (tenant, environment, claim, experiment) VALUES (?1, ?2, 'token', 'thief')",
      )
      .bind(ref.tenant, ref.environment);
    await expect(steal.run()).rejects.toThrow("proviso:claimed");
    const thief = { ...ref, experiment: "thief" };
    expect(await store.commit(thief, creation(thief, { take: ["token"] }))).toMatchObject({ holder: ref.experiment });
  });

  test("cleans up expired receipts with the next one", async () => {
    const { ref, base } = await experiment((place) => creation(place, { receipt: receipt("old", later(1)) }));
    const { store } = await underTest();
    const database = await migratedDatabase();
    const count = () =>
      database
        .prepare(`SELECT count(*) AS receipts FROM receipts WHERE ${here}`)
        .bind(ref.tenant, ref.environment, ref.experiment)
        .first("receipts");
    const second = next(base, { receipt: receipt("new", later(60)) });
    await commitAll(store, ref, second);
    expect(await count()).toBe(2);
    const drafts = [transitioned(undefined, later(2))];
    await commitAll(store, ref, next(after(second), { drafts, receipt: receipt("newest", later(60)) }));
    expect(await count()).toBe(2);
  });
});

/** The binding fits the interface: a change of Workers' types is found here. */
export const fits = (database: D1Database): D1DatabaseLike => database;
export const fitsStatement = (statement: D1PreparedStatement): D1Statement => statement;
