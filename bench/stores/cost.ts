/**
 * What a transition leaves in every store, counted by the engines themselves, and what a million of them cost by the providers'
 * public prices: the arithmetic behind the table in docs/stores.md, which says where each price stands.
 *
 *     npx node bench/stores/cost.ts
 *
 * A transition here has a reason, an idempotency key, a load before it and one delivery position after it.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "@upstash/redis";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";
import * as v from "valibot";
import { type D1DatabaseLike, d1Store } from "../../adapters/store/d1.ts";
import { migrate } from "../../adapters/store/migrate.ts";
import { postgresStore } from "../../adapters/store/postgres.ts";
import { sqliteMigrations } from "../../adapters/store/sqlite-migrations.ts";
import { upstashStore } from "../../adapters/store/upstash.ts";
import { personalValue } from "../../src/governance/personal.ts";
import type { GovernanceStore } from "../../src/governance/store.ts";
import { after, type Base, creation, later, next, receipt, transitioned } from "../../test/support/governance.ts";
import { startPostgres } from "../../test/support/postgres/server.ts";
import { openWorld } from "../../test/support/postgres/store.ts";
import { startProxy } from "../../test/support/upstash/proxy.ts";
import { startRedis } from "../../test/support/upstash/redis-server.ts";
import { platform } from "../scale.ts";
import { expectOk } from "./histories.ts";

/** Dollars. What both use of Cloudflare is in `platform`. */
const prices = {
  ...platform,
  /** A million ms of CPU in a Worker. */
  cpu: 0.02,
  /** A million GB-s of an object. */
  duration: 12.5,
  d1Storage: 0.75,
  kvWrites: 5,
  /** A million commands. */
  upstashCommands: 2,
  upstashStorage: 0.25,
  postgresStorage: 0.35,
} as const;

const ref = { tenant: "bench", environment: "test", experiment: "cost" };
const count = 1_500;

interface Kept {
  readonly commit: (commit: Parameters<GovernanceStore["commit"]>[1]) => Promise<void>;
  readonly load: () => Promise<unknown>;
  readonly advance: (seq: number) => Promise<void>;
}

const over = (store: GovernanceStore): Kept => ({
  commit: (commit) => expectOk(store, ref, commit),
  load: () => store.load(ref, { receipt: "unknown", actor: "author@example.com", now: later(0) }),
  advance: (seq) => store.advance(ref, "published", seq),
});

const transition = (base: Base, index: number) => {
  const reason = personalValue(
    "text",
    index.toString(16).padStart(32, "0"),
    `step ${index} of the rollout, as agreed with the team`,
  );
  return next(base, {
    drafts: [transitioned(reason)],
    change: { lifecycle: index % 2 === 0 ? "Running" : "Ramping" },
    personal: [reason],
    receipt: receipt(`key-${index}`, undefined, JSON.stringify({ ok: true, body: { newState: "Running" } })),
  });
};

/** Creates the experiment, and makes so many transitions one after another. */
const live = async (kept: Kept, transitions: number, each?: (base: Base) => Promise<void>): Promise<Base> => {
  const created = creation(ref);
  await kept.commit(created);
  let base = after(created);
  await kept.advance(base.head.seq);
  for (let index = 0; index < transitions; index += 1) {
    const commit = transition(base, index);
    await kept.commit(commit);
    base = after(commit, base);
    await each?.(base);
  }
  return base;
};

interface Rows {
  readonly written: number;
  readonly read: number;
}

/** Rows as D1 bills them. */
const countD1 = async () => {
  const directory = await mkdtemp(join(tmpdir(), "proviso-cost-"));
  const options = {
    name: "cost",
    modules: true as const,
    script: "",
    cf: false as const,
    resourcePersistencePath: directory,
    d1Databases: { DB: "cost" },
  };
  const miniflare = new Miniflare(convertV4MiniflareOptions(options));
  try {
    const database = await miniflare.getD1Database("DB");
    await migrate(database, sqliteMigrations);
    let [written, read, size] = [0, 0, 0];
    const metered: D1DatabaseLike = {
      prepare: (sql) => database.prepare(sql),
      async batch(statements: Parameters<typeof database.batch>[0]) {
        const results = await database.batch(statements);
        for (const { meta } of results) {
          written += meta.rows_written;
          read += meta.rows_read;
          size = meta.size_after;
        }
        return results;
      },
    };
    const kept = over(d1Store({ database: metered }));
    const base = await live(kept, 20);
    const rowsOf = async (work: () => Promise<unknown>): Promise<Rows> => {
      [written, read] = [0, 0];
      await work();
      return { written, read };
    };
    const commit = transition(base, 20);
    const before = size;
    const counted = {
      load: await rowsOf(() => kept.load()),
      commit: await rowsOf(() => kept.commit(commit)),
      delivery: await rowsOf(() => kept.advance(commit.events.at(-1)?.seq ?? 0)),
    };
    let last = after(commit, base);
    for (let index = 21; index <= 20 + count; index += 1) {
      const one = transition(last, index);
      await kept.commit(one);
      last = after(one, last);
    }
    return { ...counted, bytes: (size - before) / count };
  } finally {
    await miniflare.dispose();
    await rm(directory, { recursive: true, force: true });
  }
};

/** Commands that Redis ran, those inside scripts as well, and bytes of its memory. */
const countUpstash = async () => {
  const server = await startRedis();
  const proxy = await startProxy({ port: server.port, token: "bench" });
  try {
    const kept = over(
      upstashStore({ client: new Redis({ url: proxy.url, token: proxy.token, enableTelemetry: false }) }),
    );
    const base = await live(kept, 300);
    const commandsOf = async (work: () => Promise<unknown>): Promise<number> => {
      await proxy.redis.call("CONFIG", "RESETSTAT");
      await work();
      const stats = await proxy.redis.info("commandstats");
      return [...stats.matchAll(/cmdstat_([a-z|_]+):calls=(\d+)/g)]
        .filter(([, name]) => !/config|info/.test(name ?? ""))
        .reduce((sum, [, , calls]) => sum + Number(calls), 0);
    };
    const memory = async (): Promise<number> =>
      Number(/^used_memory_dataset:(\d+)/m.exec(await proxy.redis.info("memory"))?.[1]);
    const commit = transition(base, 300);
    const commands = { load: await commandsOf(kept.load), commit: await commandsOf(() => kept.commit(commit)) };
    const before = await memory();
    let last = after(commit, base);
    for (let index = 301; index <= 300 + count; index += 1) {
      const one = transition(last, index);
      await kept.commit(one);
      last = after(one, last);
    }
    return { ...commands, bytes: ((await memory()) - before) / count };
  } finally {
    await proxy.close();
    await server.stop();
  }
};

const Size = v.tuple([v.object({ bytes: v.number() })]);

/** Bytes of tables and indexes, old snapshots vacuumed; receipts are gone within a day and not counted. */
const countPostgres = async (): Promise<number> => {
  const world = await openWorld(startPostgres);
  try {
    const size = async (): Promise<number> => {
      await world.client.unsafe("VACUUM FULL");
      const rows = await world.client.unsafe(
        `SELECT sum(pg_total_relation_size(format('proviso.%I', name)))::float8 AS bytes FROM unnest(ARRAY['events', 'personal', 'snapshots', 'rules']) AS name`,
      );
      return v.parse(Size, [...rows])[0].bytes;
    };
    const kept = over(postgresStore({ client: world.client }));
    const before = await size();
    await live(kept, count);
    return ((await size()) - before) / count;
  } finally {
    await world.stop();
  }
};

const d1 = await countD1();
const upstash = await countUpstash();
const postgresBytes = await countPostgres();

const written = d1.commit.written + d1.delivery.written;
const read = d1.load.read + d1.commit.read + d1.delivery.read;
/** A request, 3 ms of CPU, and 20 ms of the experiment's object, which decides, with 128 MB. */
const request = prices.requests + 3 * prices.cpu;
const object = prices.objectRequests + 0.02 * 0.125 * prices.duration;
const dollars = (value: number): string => `$${value.toFixed(2)}`;

console.log(
  `d1, a load: ${d1.load.read} rows read; a commit: ${d1.commit.written} written, ${d1.commit.read} read; a delivery: ${d1.delivery.written} written, ${d1.delivery.read} read; ${d1.bytes.toFixed(0)} bytes, receipts of a day included`,
);
console.log(
  `upstash, commands with those inside scripts: a load ${upstash.load}, a commit ${upstash.commit}; ${upstash.bytes.toFixed(0)} bytes`,
);
console.log(`postgres, ${postgresBytes.toFixed(0)} bytes`);
console.log("\ndollars for a million transitions:");
const both = request + object;
console.log(`  what every store has: request and CPU ${dollars(request)}, object ${dollars(object)}`);
console.log(`  d1: ${dollars(both + written * prices.rowsWritten + read * prices.rowsRead)}`);
// One row more: what the registry has been told.
const inObject = written + 1;
console.log(`  durableObject, in a burst: ${dollars(both + inObject * prices.rowsWritten + read * prices.rowsRead)}`);
// Mark, alarm and report of one by itself: 7 rows, three requests, 20 ms.
const alone = 7 * prices.rowsWritten + 3 * prices.objectRequests + 0.02 * 0.125 * prices.duration;
console.log(
  `  durableObject, each by itself: ${dollars(both + inObject * prices.rowsWritten + read * prices.rowsRead + alone)}`,
);
const upstashCalls = 3;
console.log(`  upstash, load, commit and position: ${dollars(both + upstashCalls * prices.upstashCommands)}`);
console.log(
  `  upstash, if commands inside scripts count: ${dollars(both + (upstash.load + upstash.commit + 2) * prices.upstashCommands)}`,
);
console.log(`  postgres: ${dollars(both)} and the compute that runs anyway`);
console.log(`  publication to KV, at most one write a second and scope: up to ${dollars(prices.kvWrites)}`);
console.log("dollars a month to keep them:");
console.log(
  `  d1 ${dollars((d1.bytes / 1_000) * prices.d1Storage)}, objects ${dollars((d1.bytes / 1_000) * prices.storage)}, upstash ${dollars((upstash.bytes / 1_000) * prices.upstashStorage)}, postgres ${dollars((postgresBytes / 1_000) * prices.postgresStorage)}`,
);
