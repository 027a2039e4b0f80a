import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { sqliteMigrations } from "../../../adapters/store/sqlite-migrations.ts";
import { sqliteMigrationsFile, sqliteMigrationsText } from "../../../cli/sqlite-migrations.ts";

test("the migrations as text are the files; otherwise: npx node cli/sqlite-migrations.ts", () => {
  expect(readFileSync(sqliteMigrationsFile, "utf8")).toBe(sqliteMigrationsText());
});

test("migrations are numbered without a gap: the number of the last is the version of the schema", () => {
  expect(sqliteMigrations.map(({ name }) => Number(name.slice(0, 4)))).toEqual(
    sqliteMigrations.map((_migration, index) => index + 1),
  );
});
