/**
 * Applies SQL migrations to a D1 database without wrangler, for local development, tests and embedded hosts. What is
 * applied is recorded in wrangler's own table, so `wrangler d1 migrations apply` and this go on where the other stopped.
 */

/** The part of a D1 database that migrations need. */
export interface MigratableDatabase {
  prepare(sql: string): MigratableStatement;
  batch(statements: MigratableStatement[]): Promise<unknown>;
}

interface MigratableStatement {
  bind(...values: unknown[]): MigratableStatement;
  all(): Promise<{ readonly results: readonly unknown[] }>;
}

export interface Migration {
  /** The file's name, e.g. `0001_governance.sql`; migrations are applied in the order of their names. */
  readonly name: string;
  readonly sql: string;
}

/** As wrangler creates it. */
const migrationsTable = `CREATE TABLE IF NOT EXISTS d1_migrations (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT UNIQUE,
  applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL
)`;

const breakpoint = /^--> statement-breakpoint[ \t]*$/m;
const onlyComments = /^(\s|--[^\n]*(\n|$))*$/;

/**
 * The statements of a migration file. They are parted by marker lines and not at semicolons, because a trigger has
 * semicolons inside.
 *
 * @example splitStatements("CREATE TABLE a (b);\n--> statement-breakpoint\nCREATE TABLE c (d);") // two statements
 */
export const splitStatements = (sql: string): readonly string[] =>
  sql
    .replaceAll("\r\n", "\n")
    .split(breakpoint)
    .map((statement) => statement.trim())
    .filter((statement) => !onlyComments.test(statement));

const nameOf = (row: unknown): string | null =>
  typeof row === "object" && row !== null && "name" in row && typeof row.name === "string" ? row.name : null;

const appliedNames = async (database: MigratableDatabase): Promise<ReadonlySet<string | null>> => {
  const { results } = await database.prepare("SELECT name FROM d1_migrations").all();
  return new Set(results.map(nameOf));
};

/**
 * Applies what has not been applied, each migration whole or not at all. Two hosts that start at one moment may both
 * call it.
 *
 * @returns the names that this call applied, in order
 * @throws the database's error, with the migration that failed in its message
 */
export const migrate = async (
  database: MigratableDatabase,
  migrations: readonly Migration[],
): Promise<readonly string[]> => {
  await database.prepare(migrationsTable).all();
  const applied: string[] = [];
  let known = await appliedNames(database);
  for (const { name, sql } of migrations.toSorted((left, right) => (left.name < right.name ? -1 : 1))) {
    if (known.has(name)) continue;
    try {
      await database.batch([
        ...splitStatements(sql).map((statement) => database.prepare(statement)),
        database.prepare("INSERT INTO d1_migrations (name) VALUES (?1)").bind(name),
      ]);
      applied.push(name);
    } catch (cause) {
      // Another host may have been faster: then its batch is in place whole, and ours left nothing.
      known = await appliedNames(database);
      if (!known.has(name)) throw new Error(`migration ${name} could not be applied: ${String(cause)}`, { cause });
    }
  }
  return applied;
};
