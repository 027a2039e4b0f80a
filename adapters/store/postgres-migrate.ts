/**
 * Applies the migrations of `migrations/postgres/` through any client of the `postgres` package, as a user that may create
 * schemas. The store itself needs no more than to read, write and call what is there.
 */
import type { Migration } from "./migrate.ts";

/** The part of a client of the `postgres` package that migrations need. */
export interface MigratablePostgres {
  /** Without parameters a text of several statements is sent as it is, and is one transaction. */
  unsafe(sql: string): PromiseLike<readonly unknown[]>;
}

export interface MigratePostgresOptions {
  /** The schema that holds the tables, made where it is missing. Default: `proviso`. */
  readonly schema?: string;
}

const nameOf = (row: unknown): string =>
  typeof row === "object" && row !== null && "name" in row && typeof row.name === "string" ? row.name : "";

const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;

/**
 * Applies what has not been applied, each migration whole or not at all. Two hosts that start at one moment may both
 * call it: the second waits for the first.
 *
 * @returns the names that this call applied, in order
 * @throws the database's error, with the migration that failed in its message
 */
export const migratePostgres = async (
  client: MigratablePostgres,
  migrations: readonly Migration[],
  { schema = "proviso" }: MigratePostgresOptions = {},
): Promise<readonly string[]> => {
  if (!/^[a-z_][a-z0-9_]{0,62}$/.test(schema))
    throw new TypeError("migratePostgres: a schema in small letters, such as proviso");
  // Several statements in one text are one transaction, so the lock is held until the last of them.
  const locked = `SELECT pg_advisory_xact_lock(hashtextextended(${literal(`proviso:${schema}`)}, 0))`;
  const applied = `"${schema}".proviso_migrations`;
  const appliedNames = async (): Promise<ReadonlySet<string>> =>
    new Set((await client.unsafe(`SELECT name FROM ${applied}`)).map(nameOf));

  await client.unsafe(
    [
      locked,
      `CREATE SCHEMA IF NOT EXISTS "${schema}"`,
      `CREATE TABLE IF NOT EXISTS ${applied} (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())`,
    ].join(";\n"),
  );
  const done: string[] = [];
  let known = await appliedNames();
  for (const { name, sql } of migrations.toSorted((left, right) => (left.name < right.name ? -1 : 1))) {
    if (known.has(name)) continue;
    try {
      await client.unsafe(
        [
          locked,
          // The primary key stops whoever waited for another that did it.
          `INSERT INTO ${applied} (name) VALUES (${literal(name)})`,
          `SET LOCAL search_path TO "${schema}", pg_temp`,
          sql,
        ].join(";\n"),
      );
      done.push(name);
    } catch (cause) {
      known = await appliedNames();
      if (!known.has(name)) throw new Error(`migration ${name} could not be applied: ${String(cause)}`, { cause });
    }
  }
  return done;
};
