/**
 * Writes `adapters/store/sqlite-migrations.ts` from the SQL files beside it, for hosts that read no files: a Durable
 * Object, an embedding application. A test says when it is out of date:
 *
 *     npx node cli/sqlite-migrations.ts
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const stores = fileURLToPath(new URL("../adapters/store", import.meta.url));
const folder = join(stores, "migrations");

export const sqliteMigrationsFile = join(stores, "sqlite-migrations.ts");

/** Nothing in a template literal may mean anything. */
const quoted = (text: string): string => `\`${text.replaceAll(/[\\`]|\$\{/g, String.raw`\$&`)}\``;

/** The exact text of the file. */
export const sqliteMigrationsText = (): string => {
  const files = readdirSync(folder).filter((name) => name.endsWith(".sql"));
  const entries = files.toSorted().map((name) => {
    const sql = readFileSync(join(folder, name), "utf8");
    return `  {\n    name: ${JSON.stringify(name)},\n    sql: ${quoted(sql)},\n  },\n`;
  });
  return `/** The files of \`migrations/\` as text, made by \`npx node cli/sqlite-migrations.ts\`: edit those. */
import type { Migration } from "./migrate.ts";

export const sqliteMigrations: readonly Migration[] = [
${entries.join("")}];
`;
};

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href)
  writeFileSync(sqliteMigrationsFile, sqliteMigrationsText());
