/** The command line on a real PostgreSQL and a real Redis: brought up, exported, imported, copied, and what cannot be done. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { memoryStore } from "../../adapters/store/memory.ts";
import { migratePostgres } from "../../adapters/store/postgres-migrate.ts";
import { exportExperiment } from "../../src/governance/export/export.ts";
import { runProcess, type Said } from "../support/cli.ts";
import { collect, lived } from "../support/lived.ts";
import { postgresMigrations } from "../support/postgres/migrations.ts";
import { freePort, missingPostgres, type PostgresServer, startPostgres } from "../support/postgres/server.ts";
import { openClient } from "../support/postgres/store.ts";
import { refuseWithout, skipWithout } from "../support/services.ts";
import { serviceOf } from "../support/upstash/client.ts";
import { startProxy } from "../support/upstash/proxy.ts";
import { startRedis } from "../support/upstash/redis-server.ts";

const upstash = inject("upstash");
const missing = missingPostgres() ?? (typeof upstash === "string" ? upstash : null);
if (missing !== null) refuseWithout(missing);
skipWithout(missing);

const ref = { tenant: "default", environment: "default", experiment: "checkout" };
const file = `${ref.experiment}.ndjson`;

let directory = "";
let server: PostgresServer;
let exported = "";
beforeAll(async () => {
  if (missing !== null) return;
  directory = await mkdtemp(join(tmpdir(), "proviso-databases-"));
  server = await startPostgres();
  const { store } = await lived({ store: memoryStore(), ref });
  exported = (await collect(exportExperiment(store, ref))).join("");
  await writeFile(join(directory, file), exported);
});
afterAll(async () => {
  if (missing !== null) return;
  await server.stop();
  await rm(directory, { recursive: true, force: true });
});

const proviso = (line: string, environment: Record<string, string> = {}): Promise<Said> =>
  runProcess(line.split(" "), { environment, directory });

/** A DSL file with this store. */
const dsl = async (name: string, persistence: string): Promise<string> => {
  await writeFile(join(directory, `${name}.yaml`), `governance: { persistence: { ${persistence} } }\n`);
  return `${name}.yaml`;
};

let databases = 0;
const emptyDatabase = async (): Promise<{ url: string; sql: (text: string) => Promise<readonly unknown[]> }> => {
  databases += 1;
  const name = `cli${databases}`;
  const url = server.url.replace("/postgres", `/${name}`);
  const operator = openClient(server.url, 1);
  await operator.unsafe(`CREATE DATABASE ${name}`);
  await operator.end();
  return {
    url,
    async sql(text) {
      const client = openClient(url, 1);
      try {
        return [...(await client.unsafe(text))];
      } finally {
        await client.end();
      }
    },
  };
};
const names = postgresMigrations.map(({ name }) => name).toSorted();

describe("proviso migrate on PostgreSQL", () => {
  const migrate = (config: string, environment: Record<string, string>, more = "") =>
    proviso(`migrate${more}`, { PROVISO_CONFIG: config, ...environment });

  test("applies everything to an empty database, then nothing, and what is missing to an older one", async () => {
    const config = await dsl("pg", "type: postgres, secret: PG");
    const { url } = await emptyDatabase();
    const applied = (list: readonly string[]) =>
      list.map((name) => `postgres, schema proviso: applied ${name}\n`).join("");
    expect(await migrate(config, { PG: url })).toMatchObject({ code: 0, out: applied(names) });
    expect(await migrate(config, { PG: url })).toMatchObject({
      code: 0,
      out: "postgres, schema proviso: up to date\n",
    });

    const older = await emptyDatabase();
    const client = openClient(older.url, 1);
    await migratePostgres(
      client,
      postgresMigrations.filter(({ name }) => name === names[0]),
    );
    await client.end();
    const refused = await proviso("export --from pg.yaml --out old", { PG: older.url });
    expect(refused.code).toBe(1);
    expect(refused.err).toContain(
      "it is older: its migrations have not all been applied (npx proviso migrate applies them)",
    );
    expect(await migrate(config, { PG: older.url })).toMatchObject({ code: 0, out: applied(names.slice(1)) });
    expect(await proviso(`import --to pg.yaml ${file}`, { PG: older.url })).toMatchObject({ code: 0 });
  });

  test("takes the schema from the DSL, and the address from --postgres where the DSL has Hyperdrive", async () => {
    const config = await dsl("hyper", "type: postgres, hyperdrive: HYPERDRIVE, schema: governed");
    const { url, sql } = await emptyDatabase();
    const unnamed = await migrate(config, {});
    expect(unnamed).toMatchObject({ code: 1, out: "" });
    expect(unnamed.err).toContain("--postgres NAME");
    const named = await migrate(config, { DIRECT: url }, " --postgres DIRECT");
    expect(named).toMatchObject({ code: 0 });
    expect(named.out).toContain("postgres, schema governed: applied");
    expect(await sql("SELECT count(*)::integer AS count FROM governed.lifecycle_transitions")).toEqual([{ count: 0 }]);
  });

  test("refuses a schema of a newer version, as does everything else, and changes nothing in it", async () => {
    const config = await dsl("pg", "type: postgres, secret: PG");
    const { url, sql } = await emptyDatabase();
    expect(await migrate(config, { PG: url })).toMatchObject({ code: 0 });
    await sql("UPDATE proviso.proviso_schema SET version = 99");
    for (const line of ["migrate", "export --from pg.yaml --out new", `import --to pg.yaml ${file}`]) {
      const said = await proviso(line, { PG: url, PROVISO_CONFIG: config });
      expect(said).toMatchObject({ code: 1, out: "" });
      expect(said.err).toContain("version 99");
      expect(said.err).toContain("it is newer");
    }
    expect(await sql("SELECT count(*)::integer AS count FROM proviso.events")).toEqual([{ count: 0 }]);
  });

  test.each([
    { what: "an unset variable", address: "", says: "not set" },
    { what: "what is no address", address: "hidden-word", says: "must be postgres://" },
    {
      what: "an address that cannot be read",
      address: "postgres://user:hidden-word@[/none",
      says: "must be postgres://",
    },
    {
      what: "a server that is not there",
      address: "postgres://user:hidden-word@127.0.0.1:1/none",
      says: "ECONNREFUSED",
    },
    { what: "a database that is not there", address: "DATABASE", says: "does not exist" },
  ])("$what: migrate, export and import say so, and show no password", async ({ address, says }) => {
    const config = await dsl("pg", "type: postgres, secret: PG");
    const PG =
      address === "DATABASE" ? server.url.replace(":any@", ":hidden-word@").replace("/postgres", "/none") : address;
    for (const line of ["migrate", "export --from pg.yaml --out x", `import --to pg.yaml ${file}`]) {
      const said = await proviso(line, { PG, PROVISO_CONFIG: config });
      expect(said).toMatchObject({ code: 1, out: "" });
      expect(said.err).toContain(says);
      expect(said.err).not.toContain("hidden-word");
    }
  });
});

describe("histories in Upstash and PostgreSQL", () => {
  const prefix = `cli-${crypto.randomUUID()}`;
  const persistence = (secret = "TOKEN"): string =>
    `type: upstash, url: "${serviceOf(upstash).url}", secret: ${secret}, prefix: ${prefix}`;

  test("file → Upstash → PostgreSQL → Upstash → file: the same bytes, that verify, and nothing twice", async () => {
    await dsl("redis", persistence());
    await dsl("redis-two", `${persistence()}-two`);
    await dsl("pg", "type: postgres, secret: PG");
    const { url } = await emptyDatabase();
    const environment = { TOKEN: serviceOf(upstash).token, PG: url, PROVISO_CONFIG: "pg.yaml" };
    for (const [line, told] of [
      ["migrate", ""],
      [`import --to redis.yaml ${file}`, "1 of 1 in place in redis.yaml (upstash)"],
      [`import --to redis.yaml ${file}`, ", 0 events written"],
      ["copy --from redis.yaml --to pg.yaml", "1 of 1 from redis.yaml (upstash) in place in pg.yaml (postgres)"],
      ["copy --from redis.yaml --to pg.yaml", ", 0 events written"],
      ["copy --from pg.yaml --to redis-two.yaml", "1 of 1"],
      ["export --from redis-two.yaml --out back", "1 history from redis-two.yaml (upstash)"],
      ["verify back", ""],
    ] as const) {
      const said = await proviso(line, environment);
      expect([line, said.code, said.err]).toEqual([line, 0, expect.stringContaining(told)]);
      expect(JSON.stringify(said)).not.toContain(environment.TOKEN);
    }
    expect(await readFile(join(directory, "back", file), "utf8")).toBe(exported);
    const one = await proviso("export --from redis.yaml --experiment checkout", environment);
    expect(one).toMatchObject({ code: 0, out: exported });
  });

  test("another history under the name is refused, and stays", async () => {
    await dsl("redis", persistence());
    const environment = { TOKEN: serviceOf(upstash).token };
    const { store } = await lived({ store: memoryStore(), ref, rounds: 2 });
    await writeFile(join(directory, "other.ndjson"), (await collect(exportExperiment(store, ref))).join(""));
    expect(await proviso(`import --to redis.yaml ${file}`, environment)).toMatchObject({ code: 0 });
    const said = await proviso("import --to redis.yaml other.ndjson", environment);
    expect(said.code).toBe(1);
    expect(said.err).toContain("other.ndjson was not imported");
    expect((await proviso("export --from redis.yaml --experiment checkout", environment)).out).toBe(exported);
  });

  test("a wrong token, an unset one and a server that is not there are said, and no token is shown", async () => {
    await dsl("redis", persistence());
    const nowhere = await dsl("nowhere", `type: upstash, url: "http://127.0.0.1:${await freePort()}", secret: TOKEN`);
    for (const [line, TOKEN, says] of [
      ["export --from redis.yaml --out x", "hidden-word", "WRONGPASS"],
      [`import --to redis.yaml ${file}`, "hidden-word", "WRONGPASS"],
      ["export --from redis.yaml --out x", "", "TOKEN, which is not set"],
      // The client tries for four seconds.
      [`export --from ${nowhere} --out x`, "hidden-word", "ECONNREFUSED"],
    ] as const) {
      const said = await proviso(line, { TOKEN });
      expect(said).toMatchObject({ code: 1, out: "" });
      expect(said.err).toContain(says);
      expect(said.err).not.toContain("hidden-word");
    }
  });

  test("a database that evicts is warned of, and can be read all the same", async () => {
    const redis = await startRedis(["--maxmemory-policy", "allkeys-lru"]);
    const proxy = await startProxy({ port: redis.port, token: "a-token" });
    try {
      await dsl("evicting", `type: upstash, url: "${proxy.url}", secret: TOKEN`);
      const into = await proviso(`import --to evicting.yaml ${file}`, { TOKEN: proxy.token });
      expect(into.code).toBe(0);
      const said = await proviso("export --from evicting.yaml --experiment checkout", { TOKEN: proxy.token });
      expect(said).toMatchObject({ code: 0, out: exported });
      for (const { err } of [into, said]) expect(err).toContain("its eviction policy is allkeys-lru");
    } finally {
      await proxy.close();
      await redis.stop();
    }
  });

  test("migrate has nothing to do there", async () => {
    const config = await dsl("redis", persistence());
    const said = await proviso("migrate", { TOKEN: serviceOf(upstash).token, PROVISO_CONFIG: config });
    expect(said).toMatchObject({ code: 0, out: "upstash: nothing to do; it has no schema\n" });
  });
});
