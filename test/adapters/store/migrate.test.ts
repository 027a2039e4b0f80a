/** Migrations as wrangler applies them and as we do: one file, one record of what was applied. */
import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";
import { afterEach, describe, expect, test } from "vitest";
import { d1Store } from "../../../adapters/store/d1.ts";
import { migrate, type Migration, splitStatements } from "../../../adapters/store/migrate.ts";
import { creation, freshRef } from "../../support/governance.ts";

const folder = fileURLToPath(new URL("../../../adapters/store/migrations", import.meta.url));
const ours: readonly Migration[] = readdirSync(folder)
  .filter((name) => name.endsWith(".sql"))
  .map((name) => ({ name, sql: readFileSync(join(folder, name), "utf8") }));
const names = ours.map(({ name }) => name).toSorted();

const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

/** A D1 database in memory, or where wrangler keeps those of a project. */
const openDatabase = async (persisted?: string) => {
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      modules: true,
      script: "",
      d1Databases: { DB: "governance" },
      ...(persisted === undefined ? {} : { resourcePersistencePath: persisted }),
    }),
  );
  closers.push(() => miniflare.dispose());
  return miniflare.getD1Database("DB");
};

const schemaOf = async (database: Awaited<ReturnType<typeof openDatabase>>): Promise<readonly unknown[]> => {
  const { results } = await database
    .prepare("SELECT type, name, tbl_name FROM sqlite_schema WHERE name NOT LIKE '\\_cf%' ESCAPE '\\' ORDER BY name")
    .all();
  return results;
};

const appliedIn = async (database: Awaited<ReturnType<typeof openDatabase>>): Promise<readonly unknown[]> =>
  (await database.prepare("SELECT name FROM d1_migrations ORDER BY id").all()).results.map((row) => row["name"]);

const tables = (...created: string[]): string =>
  created.map((name) => `CREATE TABLE ${name} (id INTEGER PRIMARY KEY);`).join("\n--> statement-breakpoint\n");

describe("splitStatements", () => {
  test("parts at the markers and nowhere else", () => {
    const trigger = "CREATE TRIGGER t BEFORE DELETE ON a\nBEGIN\n  SELECT 1;\n  SELECT 'a;b';\nEND;";
    const sql = `CREATE TABLE a (b);\n--> statement-breakpoint\n${trigger}\n--> statement-breakpoint\r\n-- says --> statement-breakpoint in a line\nSELECT 1;\n`;
    expect(splitStatements(sql)).toEqual([
      "CREATE TABLE a (b);",
      trigger,
      "-- says --> statement-breakpoint in a line\nSELECT 1;",
    ]);
  });

  test("leaves out what has no statement in it", () => {
    const marker = "--> statement-breakpoint";
    expect(splitStatements("")).toEqual([]);
    expect(splitStatements(`${marker}\n-- only a comment\n${marker}\n\n${marker}\nSELECT 1;\n${marker}`)).toEqual([
      "SELECT 1;",
    ]);
  });

  test("finds one statement between two markers in our own files", () => {
    for (const { sql } of ours) {
      for (const statement of splitStatements(sql)) {
        const bare = statement.replaceAll(/--[^\n]*/g, "").replaceAll(/\bBEGIN\b[\s\S]*\bEND;/g, ";");
        expect(bare.match(/;/g)).toHaveLength(1);
        expect(bare).toMatch(/;\s*$/);
      }
    }
  });
});

describe("migrate", () => {
  test("applies our migrations once", async () => {
    const database = await openDatabase();
    expect(await migrate(database, ours)).toEqual(names);
    expect(await migrate(database, ours)).toEqual([]);
    expect(await appliedIn(database)).toEqual(names);
    await expect(d1Store({ database }).check()).resolves.toBeUndefined();
  });

  test("applies in the order of the names, and only what is new", async () => {
    const database = await openDatabase();
    const one = { name: "0001_one.sql", sql: tables("one") };
    const two = { name: "0002_two.sql", sql: "ALTER TABLE one ADD COLUMN two TEXT;" };
    const three = { name: "0003_three.sql", sql: tables("three") };
    expect(await migrate(database, [two, one])).toEqual([one.name, two.name]);
    expect(await migrate(database, [three, two, one])).toEqual([three.name]);
    expect(await appliedIn(database)).toEqual([one.name, two.name, three.name]);
  });

  test("leaves nothing of a migration that fails, and says which", async () => {
    const database = await openDatabase();
    const good = { name: "0001_good.sql", sql: tables("good") };
    const bad = { name: "0002_bad.sql", sql: tables("half", "good") };
    await expect(migrate(database, [good, bad])).rejects.toThrow("migration 0002_bad.sql could not be applied");
    expect(await appliedIn(database)).toEqual([good.name]);
    expect(JSON.stringify(await schemaOf(database))).not.toContain("half");
    expect(await migrate(database, [good, { ...bad, sql: tables("half") }])).toEqual([bad.name]);
  });

  test("can be called by two hosts at one moment", async () => {
    const database = await openDatabase();
    const migrations = [1, 2, 3].map((number) => ({ name: `000${number}.sql`, sql: tables(`t${number}`) }));
    const applied = await Promise.all([1, 2, 3, 4].map(() => migrate(database, migrations)));
    expect(applied.flat().toSorted()).toEqual(migrations.map(({ name }) => name));
    expect(await appliedIn(database)).toEqual(migrations.map(({ name }) => name));
  });

  test("agrees with wrangler: the same files, the same schema, the same record", async () => {
    const home = mkdtempSync(join(tmpdir(), "proviso-migrate-"));
    closers.push(() => rmSync(home, { recursive: true }));
    const config = join(home, "wrangler.toml");
    writeFileSync(
      config,
      `name = "migrate"\ncompatibility_date = "2026-10-01"\n[[d1_databases]]\nbinding = "DB"\ndatabase_name = "governance"\ndatabase_id = "governance"\nmigrations_dir = ${JSON.stringify(folder)}\n`,
    );
    const wrangler = join(
      dirname(createRequire(import.meta.url).resolve("wrangler/package.json")),
      "bin",
      "wrangler.js",
    );
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [wrangler, "d1", "migrations", "apply", "DB", "--local", "--config", config, "--persist-to", join(home, "state")],
      {
        cwd: home,
        env: { ...process.env, CI: "1", WRANGLER_SEND_METRICS: "false", WRANGLER_WRITE_LOGS: "false", HOME: home },
      },
    );
    for (const name of names) expect(stdout).toContain(name);

    const byWrangler = await openDatabase(join(home, "state", "v3"));
    expect(await appliedIn(byWrangler)).toEqual(names);
    expect(await migrate(byWrangler, ours)).toEqual([]);
    const byUs = await openDatabase();
    await migrate(byUs, ours);
    expect(await schemaOf(byWrangler)).toEqual(await schemaOf(byUs));
    // Triggers have arrived whole: they work.
    const store = d1Store({ database: byWrangler });
    const ref = freshRef();
    expect(await store.commit(ref, creation(ref))).toEqual({ ok: true });
    await expect(byWrangler.prepare("DELETE FROM events").run()).rejects.toThrow("proviso:append-only");
    await expect(byWrangler.prepare("UPDATE events SET seq = 7").run()).rejects.toThrow("proviso:append-only");
    const columns = "tenant, environment, experiment, seq, type, at, version, prev_hash, hash, people, record";
    await expect(
      byWrangler.prepare(`INSERT OR REPLACE INTO events (${columns}) SELECT ${columns} FROM events`).run(),
    ).rejects.toThrow("proviso:head");
  }, 60_000);
});
