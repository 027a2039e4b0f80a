/** `proviso migrate` on real databases, also old and new ones. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";
import { afterAll, beforeAll, expect, test } from "vitest";
import { migrate } from "../../adapters/store/migrate.ts";
import { sqliteMigrations } from "../../adapters/store/sqlite-migrations.ts";
import { bindings } from "../../cli/embedded.ts";
import { runCommand, type Said } from "../support/cli.ts";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "proviso-migrate-"));
  for (const type of ["d1", "durableObject", "memory"])
    await writeFile(join(directory, `${type}.yaml`), `governance: { persistence: { type: ${type} } }\n`);
});
afterAll(() => rm(directory, { recursive: true, force: true }));

const command = (line: string, config: string): Promise<Said> =>
  runCommand(["migrate", ...line.split(" ").filter((word) => word !== "")], {
    environment: { PROVISO_CONFIG: config },
    directory,
  });

/** The database where `proviso dev` keeps it. */
const inDatabase = async <Value>(
  state: string,
  work: (database: Awaited<ReturnType<Miniflare["getD1Database"]>>) => Promise<Value>,
): Promise<Value> => {
  const options = {
    name: bindings.name,
    modules: true,
    script: "",
    resourcePersistencePath: join(directory, state),
    d1Databases: { [bindings.database.binding]: bindings.database.name },
  };
  const miniflare = new Miniflare(convertV4MiniflareOptions(options));
  try {
    return await work(await miniflare.getD1Database(bindings.database.binding));
  } finally {
    await miniflare.dispose();
  }
};

const names = sqliteMigrations.map(({ name }) => name);

test("applies everything to a new local database, what is missing to an old one, and then nothing", async () => {
  const applied = (list: readonly string[]) => list.map((name) => `d1 in state: applied ${name}\n`).join("");
  await inDatabase("state", (database) => migrate(database, sqliteMigrations.slice(0, 1)));
  expect(await command("--state state", "d1.yaml")).toMatchObject({ code: 0, out: applied(names.slice(1)) });
  const again = await command("--state state", "d1.yaml");
  expect(again.out).toBe("d1 in state: up to date\n");
  expect(again.err).toContain("wrangler d1 migrations apply");
  expect((await command("--state fresh", "d1.yaml")).out).toBe(applied(names).replaceAll("in state", "in fresh"));
  await inDatabase("fresh", (database) => database.prepare("SELECT count(*) FROM lifecycle_transitions").all());
}, 60_000);

test("refuses a database of a newer version", async () => {
  await inDatabase("newer", async (database) => {
    await migrate(database, sqliteMigrations);
    await database.prepare("UPDATE proviso_schema SET version = 99").run();
  });
  await expect(command("--state newer", "d1.yaml")).rejects.toThrow("schema version 99");
}, 60_000);

test("says where there is nothing to do, and what it does not take", async () => {
  expect((await command("", "durableObject.yaml")).out).toContain("brought up when it is first used");
  expect((await command("", "memory.yaml")).out).toContain("it has no schema");
  await expect(command("elsewhere", "d1.yaml")).rejects.toThrow("migrate takes no argument (elsewhere)");
});
