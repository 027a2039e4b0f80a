/** The SQLite database inside a Durable Object: the part of it that is used, and its migrations. */
import * as v from "valibot";
import { splitStatements } from "./migrate.ts";
import { type Query, type Rows, rowsOf, schemaTooNew } from "./sqlite.ts";

/** The part of a Durable Object's `ctx.storage` that is used. */
export interface ObjectStorage {
  readonly sql: {
    exec(query: string, ...bindings: (string | number | null)[]): { toArray(): unknown[] };
  };
  /** Everything in it or nothing; what it throws comes out again. */
  transactionSync<Result>(closure: () => Result): Result;
}

/**
 * Migrations of one part of the schema, first to last; its version is how many of them were applied. Parts that grow by
 * themselves are numbered by themselves.
 */
export type ObjectSchema = Readonly<Record<string, readonly string[]>>;

/**
 * Looks at the schema before it is used, and brings it up; once in the life of the object.
 *
 * @param intent `read` leaves an object that nothing was ever written to as it is: asking for a name that nobody has
 *   taken must not cost a database
 * @returns whether there are tables
 * @throws ProvisoError `store-unavailable` for a schema that is newer than this code
 */
export type SchemaCheck = (intent: "read" | "write") => boolean;

export const runIn =
  ({ sql }: ObjectStorage) =>
  ([text, ...values]: Query): Rows => ({ results: sql.exec(text, ...values).toArray() });

const createTable =
  "CREATE TABLE IF NOT EXISTS proviso_object_schema (part TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT, WITHOUT ROWID";
const findTable = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'proviso_object_schema'";
const VersionRow = v.object({ part: v.string(), version: v.number() });

export const checkSchema = (storage: ObjectStorage, schema: ObjectSchema): SchemaCheck => {
  const run = runIn(storage);
  let isCurrent = false;

  /** Null: nothing was ever written here. */
  const readVersions = (): ReadonlyMap<string, number> | null => {
    if (run([findTable]).results.length === 0) return null;
    const rows = rowsOf(VersionRow, run(["SELECT part, version FROM proviso_object_schema"]));
    return new Map(rows.map(({ part, version }) => [part, version]));
  };

  const bringUp = (versions: ReadonlyMap<string, number>): void =>
    storage.transactionSync(() => {
      run([createTable]);
      for (const [part, migrations] of Object.entries(schema)) {
        for (const sql of migrations.slice(versions.get(part) ?? 0))
          for (const statement of splitStatements(sql)) run([statement]);
        run(["INSERT OR REPLACE INTO proviso_object_schema (part, version) VALUES (?1, ?2)", part, migrations.length]);
      }
    });

  return (intent) => {
    if (isCurrent) return true;
    const versions = readVersions();
    if (versions === null && intent === "read") return false;
    for (const [part, migrations] of Object.entries(schema)) {
      const found = versions?.get(part) ?? 0;
      if (found > migrations.length) throw schemaTooNew(found, migrations.length);
    }
    const isBehind = Object.entries(schema).some(
      ([part, migrations]) => (versions?.get(part) ?? 0) < migrations.length,
    );
    if (isBehind) bringUp(versions ?? new Map());
    isCurrent = true;
    return true;
  };
};
