/** The PostgreSQL store on a real server: the suites, and what takes several connections to show. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Sql } from "postgres";
import * as v from "valibot";
import { migratePostgres } from "../../../adapters/store/postgres-migrate.ts";
import { postgresQueries, type Query } from "../../../adapters/store/postgres-queries.ts";
import { postgresStore } from "../../../adapters/store/postgres.ts";
import { storableHistoryQuery, storableListQuery, storableLoad } from "../../../src/governance/storable-query.ts";
import type { CommitResult, HistoryQuery, ListQuery } from "../../../src/governance/store.ts";
import { describeFaults } from "../../conformance/faults.suite.ts";
import { describeGovernance } from "../../conformance/governance.suite.ts";
import { describeRaces } from "../../conformance/races.suite.ts";
import { describeStore, type StoreUnderTest } from "../../conformance/store.suite.ts";
import { commitAll, expectValid, wholeHistory, wholeList } from "../../conformance/store/under-test.ts";
import {
  after,
  author,
  creation,
  denial,
  denied,
  freshRef,
  freshScope,
  next,
  receipt,
} from "../../support/governance.ts";
import { postgresAttacks } from "../../support/postgres/attacks.ts";
import { startCuttingProxy } from "../../support/postgres/cutting-proxy.ts";
import { postgresMigrations } from "../../support/postgres/migrations.ts";
import { missingPostgres, startPostgres } from "../../support/postgres/server.ts";
import { openClient, openWorld, type PostgresWorld } from "../../support/postgres/store.ts";
import { refuseWithout, skipWithout } from "../../support/services.ts";

const missing = missingPostgres();
if (missing !== null) refuseWithout(missing);
skipWithout(missing);

let world: PostgresWorld;
beforeAll(async () => {
  if (missing === null) world = await openWorld(startPostgres);
}, 60_000);
afterAll(() => (missing === null ? world.stop() : undefined));

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

const clientOf = (max = 1, connection: Record<string, string> = {}, url = world.server.url): Sql => {
  const client = openClient(url, max, connection);
  closers.push(() => client.end({ timeout: 1 }));
  return client;
};

const emptyDatabase = async (): Promise<Sql> => {
  const name = `d${crypto.randomUUID().replaceAll("-", "")}`;
  await world.client.unsafe(`CREATE DATABASE ${name}`);
  return clientOf(4, {}, world.server.url.replace("/postgres", `/${name}`));
};

const underTest = async (): Promise<StoreUnderTest> => ({
  store: postgresStore({ client: world.client }),
  attacks: postgresAttacks((sql, ...values) => world.console.unsafe(sql, [...values])),
});

describeStore("postgres", underTest);
describeGovernance("postgres", () => Promise.resolve(postgresStore({ client: world.client })));
describeFaults("postgres", () => Promise.resolve(postgresStore({ client: world.client })));
describeRaces("postgres", () => Promise.resolve(postgresStore({ client: world.client })));

const won = (results: readonly CommitResult[]): number => results.filter((result) => result.ok).length;

describe.each(["read committed", "repeatable read", "serializable"])("postgres: races under %s", (isolation) => {
  const stores = (count: number) =>
    Array.from({ length: count }, () =>
      postgresStore({ client: clientOf(1, { default_transaction_isolation: isolation }) }),
    );

  test("of several connections that go on from one head, one does", async () => {
    const ref = freshRef();
    const racers = stores(6);
    const created = await Promise.all(racers.map((store) => store.commit(ref, creation(ref))));
    expect(won(created)).toBe(1);
    const [first] = racers;
    if (first === undefined) throw new TypeError("no store");
    const start = await first.load(ref);
    if (start === null) throw new TypeError("nothing was created");
    let base = { snapshot: start.snapshot, head: start.head };
    for (let round = 0; round < 15; round += 1) {
      const commits = racers.map((_, index) => next(base, { change: { epoch: index }, receipt: receipt(`${round}`) }));
      const results = await Promise.all(
        racers.map(async (store, index) => {
          const commit = commits[index];
          if (commit === undefined) throw new TypeError("no commit");
          return { commit, result: await store.commit(ref, commit) };
        }),
      );
      const [winner, ...others] = results.filter(({ result }) => result.ok);
      if (winner === undefined || others.length > 0) throw new Error(`${others.length} winners beside the first`);
      expect(results.flatMap(({ result }) => (result.ok ? [] : [result.conflict]))).toEqual(
        Array.from({ length: 5 }, () => "receipt"),
      );
      base = after(winner.commit);
    }
    const history = await wholeHistory(first, ref);
    expect(history).toHaveLength(17);
    expectValid(history);
    expect((await first.load(ref))?.snapshot).toEqual(base.snapshot);
  });

  test("experiments that hand names around never hold one twice", async () => {
    const scope = freshScope();
    const names = ["x", "y", "z"].map((name) => `surface:${name}`);
    const racers = stores(4);
    const held = await Promise.all(
      racers.map(async (store, index) => {
        const ref = { ...scope, experiment: `e${index}` };
        const commit = creation(ref);
        await commitAll(store, ref, commit);
        let base = after(commit);
        const mine = new Set<string>();
        for (let turn = 0; turn < 25; turn += 1) {
          const take = names.filter((_, place) => (turn + place + index) % 3 !== 0);
          const release = names.filter((_, place) => (turn * 7 + place + index) % 2 === 0);
          const attempt = next(base, { take, release });
          const result = await store.commit(ref, attempt);
          expect(["claimed", undefined]).toContain("conflict" in result ? result.conflict : undefined);
          if (!result.ok) {
            const retreat = next(base, { release });
            await commitAll(store, ref, retreat);
            base = after(retreat);
            for (const name of release) mine.delete(name);
          } else {
            base = after(attempt);
            for (const name of release) mine.delete(name);
            for (const name of take) mine.add(name);
          }
        }
        return { ref, mine };
      }),
    );
    const [store] = racers;
    if (store === undefined) throw new TypeError("no store");
    for (const name of names) {
      const holders = held.filter(({ mine }) => mine.has(name)).map(({ ref }) => ref.experiment);
      expect(await wholeList(store, scope, { surface: name.slice("surface:".length) })).toEqual(holders);
    }
  }, 30_000);
});

describe("postgres: a connection that is lost", () => {
  /** A store behind a proxy, with its statements prepared, and one experiment. */
  const behindProxy = async () => {
    const proxy = await startCuttingProxy(world.server.port);
    closers.unshift(() => proxy.stop());
    const client = clientOf(1, {}, world.server.url.replace(`:${world.server.port}/`, `:${proxy.port}/`));
    const store = postgresStore({ client });
    const ref = freshRef();
    const commit = creation(ref);
    await commitAll(store, ref, commit);
    await store.load(ref);
    return { proxy, store, ref, base: after(commit) };
  };

  test.each([
    ["before the commit arrives", ["request"] as const],
    ["before its answer does", ["answer"] as const],
    ["twice: the commit arrives the second time", ["request", "answer"] as const],
    ["three times in a row", ["answer", "request", "request"] as const],
  ])("%s: the commit happens once", async (_, cuts) => {
    const { proxy, store, ref, base } = await behindProxy();
    const commit = next(base, { receipt: receipt("key"), take: ["token"] });
    proxy.cut(...cuts);
    expect(await store.commit(ref, commit)).toEqual({ ok: true });
    expect(proxy.done()).toBe(cuts.length);
    const history = await wholeHistory(store, ref);
    expect(history.map(({ hash }) => hash).slice(2)).toEqual(commit.events.map(({ hash }) => hash));
    expect((await store.load(ref, { receipt: "key" }))?.receipt).toEqual(receipt("key"));
    expect(await store.commit(ref, commit)).toEqual({ ok: true });
  });

  test("for good: nobody is told that it happened, or that it did not", async () => {
    const { proxy, store, ref, base } = await behindProxy();
    proxy.cut("answer");
    proxy.refuse();
    await expect(store.commit(ref, next(base))).rejects.toMatchObject({
      code: "store-unavailable",
      message: "the store could not say what became of the commit",
    });
    expect(await wholeHistory(postgresStore({ client: world.client }), ref)).toHaveLength(3);
  });

  test("with others going on meanwhile: the commit is still found", async () => {
    const { proxy, store, ref, base } = await behindProxy();
    const other = postgresStore({ client: world.client });
    const commit = next(base, { take: ["token"] });
    proxy.cut("answer", "request", "request");
    const [result] = await Promise.all([
      store.commit(ref, commit),
      (async () => {
        while ((await other.load(ref))?.head.seq !== 3) await new Promise((resolve) => setTimeout(resolve, 1));
        await commitAll(other, ref, next(after(commit), { release: ["token"] }));
      })(),
    ]);
    expect(result).toEqual({ ok: true });
    expect(await wholeHistory(store, ref)).toHaveLength(4);
  });

  test("a session that the server ends in the middle leaves nothing half", async () => {
    const ref = freshRef();
    const client = clientOf();
    const store = postgresStore({ client });
    const commit = creation(ref);
    await commitAll(store, ref, commit);
    const [session] = await client<{ pid: number }[]>`SELECT pg_backend_pid() AS pid`;
    const blocker = clientOf();
    const pending = await blocker.begin(async (transaction) => {
      // Whoever commits to this experiment waits here, with its events written already.
      await transaction.unsafe("SELECT 1 FROM proviso.snapshots WHERE experiment = $1 AND tenant = $2 FOR UPDATE", [
        ref.experiment,
        ref.tenant,
      ]);
      const committing = store.commit(ref, next(after(commit), { take: ["token"] }));
      await new Promise((resolve) => setTimeout(resolve, 100));
      expect(await wholeHistory(postgresStore({ client: world.client }), ref)).toHaveLength(2);
      await world.client`SELECT pg_terminate_backend(${session?.pid ?? 0})`;
      return { committing };
    });
    expect(await pending.committing).toEqual({ ok: true });
    expect(await wholeHistory(store, ref)).toHaveLength(3);
  });
});

describe("postgres: round trips", () => {
  test("one statement for a commit, and one for a load, also when a client is made for each", async () => {
    const ref = freshRef();
    let statements = 0;
    let ended = 0;
    const client = {
      unsafe: (...parameters: Parameters<Sql["unsafe"]>) => {
        statements += 1;
        return world.client.unsafe(...parameters);
      },
      end: async () => {
        ended += 1;
      },
    };
    const commit = creation(ref, { take: ["token"], receipt: receipt("key") });
    const store = postgresStore({ client });
    await commitAll(store, ref, commit);
    expect(statements).toBe(1);
    await store.load(ref, { receipt: "key", actor: "author@example.com" });
    expect([statements, ended]).toEqual([2, 0]);
    const made = postgresStore({ connect: () => Promise.resolve(client) });
    await commitAll(made, ref, next(after(commit)));
    await made.load(ref);
    expect([statements, ended]).toEqual([4, 2]);
  });
});

describe("postgres: the work of a read", () => {
  const Plan = v.tuple([
    v.object({
      "QUERY PLAN": v.tuple([
        v.object({ Plan: v.object({ "Shared Hit Blocks": v.number(), "Shared Read Blocks": v.number() }) }),
      ]),
    }),
  ]);
  /** Pages of the database that a statement looks at. */
  const pagesOf = async (client: Sql, [sql, ...values]: Query): Promise<number> => {
    const rows = await client.unsafe(`EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${sql}`, values);
    const [row] = v.parse(Plan, [...rows]);
    const plan = row["QUERY PLAN"][0].Plan;
    return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"];
  };

  test("is that of its page, in a long history and a large scope, before and after the first ANALYZE", async () => {
    const client = await emptyDatabase();
    await migratePostgres(client, postgresMigrations);
    for (const table of ["events", "snapshots"])
      await client.unsafe(`ALTER TABLE proviso.${table} SET (autovacuum_enabled = off)`);
    const store = postgresStore({ client });
    const ref = freshRef();
    const created = creation(ref);
    await commitAll(store, ref, created);
    let base = after(created);
    while (base.head.seq < 3_000) {
      const grown = denial(base, { drafts: Array.from({ length: 100 }, () => denied()) });
      await commitAll(store, ref, grown);
      base = after(grown, base);
    }
    for (let index = 0; index < 500; index += 1) {
      const other = { ...ref, experiment: `other-${index}` };
      const made = creation(other);
      await commitAll(store, other, made);
      if (index % 4 === 0) await commitAll(store, other, next(after(made), { change: { lifecycle: "Running" } }));
    }
    const queries = postgresQueries("proviso");
    const history = (query: HistoryQuery): Query => queries.history(ref, storableHistoryQuery(ref, query));
    const list = (query: ListQuery): Query => queries.list(ref, storableListQuery(ref, query));
    const reads: Readonly<Record<string, Query>> = {
      load: queries.load(ref, storableLoad(ref, { receipt: "key", actor: author.value })),
      history: history({ after: 1_500, limit: 5 }),
      "history by type": history({ after: 1_500, limit: 5, types: ["ChangeDenied", "Transitioned"] }),
      "history by version": history({ version: 1 }),
      list: list({ limit: 5, cursor: "other-2" }),
      "list by state": list({ limit: 5, states: ["Draft", "Paused", "Running"] }),
    };
    const heavy: string[] = [];
    for (const when of ["before", "after"]) {
      if (when === "after") await client.unsafe("ANALYZE proviso.events; ANALYZE proviso.snapshots");
      for (const [name, query] of Object.entries(reads)) {
        // The first time a connection plans what a function asks, it reads the catalogue.
        await pagesOf(client, query);
        const pages = await pagesOf(client, query);
        if (pages > 80) heavy.push(`${name}, ${when}: ${pages} pages`);
      }
    }
    expect(heavy).toEqual([]);
  });
});

describe("postgres: the schema", () => {
  const names = postgresMigrations.map(({ name }) => name);

  test("is there once, whoever applies it and how often", async () => {
    const client = await emptyDatabase();
    const applied = await Promise.all([1, 2, 3].map(() => migratePostgres(client, postgresMigrations)));
    expect(applied.flat().toSorted()).toEqual(names);
    expect(await migratePostgres(client, postgresMigrations)).toEqual([]);
    await expect(postgresStore({ client }).check()).resolves.toBeUndefined();
  });

  test("may have another name, and two of them in one database know nothing of each other", async () => {
    const client = await emptyDatabase();
    const ref = freshRef();
    for (const schema of ["one", "other"]) await migratePostgres(client, postgresMigrations, { schema });
    await commitAll(postgresStore({ client, schema: "one" }), ref, creation(ref));
    expect(await postgresStore({ client, schema: "other" }).load(ref)).toBeNull();
    await commitAll(postgresStore({ client, schema: "other" }), ref, creation(ref));
    expect(() => postgresStore({ client, schema: 'x"; --' })).toThrow(TypeError);
  });

  test("is left as it was by a migration that fails, which is named", async () => {
    const client = await emptyDatabase();
    await migratePostgres(client, postgresMigrations);
    const half = { name: "9999_half.sql", sql: "CREATE TABLE half (a integer);\nSELECT 1 / 0;" };
    await expect(migratePostgres(client, [...postgresMigrations, half])).rejects.toThrow("migration 9999_half.sql");
    expect(await client`SELECT to_regclass('proviso.half') AS half`).toEqual([{ half: null }]);
    await expect(postgresStore({ client }).check()).resolves.toBeUndefined();
  });

  test("that is missing, older or newer is said", async () => {
    const client = await emptyDatabase();
    const store = postgresStore({ client });
    const ref = freshRef();
    const unapplied = "migrations have not been applied";
    await expect(store.check()).rejects.toThrow(unapplied);
    await expect(store.load(ref)).rejects.toThrow(unapplied);
    await expect(store.commit(ref, creation(ref))).rejects.toThrow(unapplied);
    await migratePostgres(client, postgresMigrations);
    for (const version of [0, 999]) {
      await client.unsafe("ALTER TABLE proviso.proviso_schema DROP CONSTRAINT IF EXISTS proviso_schema_version_check");
      await client`UPDATE proviso.proviso_schema SET version = ${version}`;
      await expect(store.check()).rejects.toThrow(version === 0 ? "it is older" : "it is newer");
    }
  });

  test("needs no more than these rights, with which nobody gets past the history", async () => {
    const client = await emptyDatabase();
    await migratePostgres(client, postgresMigrations);
    await client.unsafe(`DROP ROLE IF EXISTS worker`);
    await client.unsafe(`CREATE ROLE worker LOGIN;
      GRANT USAGE ON SCHEMA proviso TO worker;
      GRANT SELECT ON ALL TABLES IN SCHEMA proviso TO worker;
      GRANT INSERT ON proviso.events, proviso.rules TO worker;
      GRANT INSERT, DELETE ON proviso.personal, proviso.claims, proviso.receipts TO worker;
      GRANT INSERT, UPDATE ON proviso.snapshots, proviso.positions TO worker`);
    const [{ name } = { name: "" }] = await client<{ name: string }[]>`SELECT current_database() AS name`;
    const limited = clientOf(1, {}, `postgres://worker@127.0.0.1:${world.server.port}/${name}`);
    const store = postgresStore({ client: limited });
    const ref = freshRef();
    const commit = creation(ref, { take: ["token"], receipt: receipt("key") });
    await commitAll(store, ref, commit, next(after(commit), { release: ["token"] }));
    await store.erase(ref, []);
    await store.advance(ref, "kv", 2);
    // Only who follows another store is given receipts.
    await expect(store.keepReceipts(ref, [receipt("brought")])).rejects.toThrow("could not keep receipts");
    await client.unsafe("GRANT UPDATE ON proviso.receipts TO worker");
    await store.keepReceipts(ref, [receipt("brought")]);
    expect((await store.receipts(ref)).receipts).toEqual([receipt("brought")]);
    expect((await store.load(ref))?.head.seq).toBe(3);
    for (const sql of [
      "DELETE FROM proviso.events",
      "TRUNCATE proviso.events",
      "ALTER TABLE proviso.events DISABLE TRIGGER ALL",
      "DROP TABLE proviso.events",
      "UPDATE proviso.claims SET experiment = 'x'",
    ])
      await expect(limited.unsafe(sql)).rejects.toThrow(/permission denied|must be owner/);
    // The owner of the server, with triggers switched off for the session, is refused as well.
    const replica = clientOf(
      1,
      { session_replication_role: "replica" },
      world.server.url.replace("/postgres", `/${name}`),
    );
    await expect(replica`DELETE FROM proviso.events`).rejects.toThrow("proviso:append-only");
    await limited.end();
    await client.unsafe("DROP OWNED BY worker; DROP ROLE worker");
  });
});
