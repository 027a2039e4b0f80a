/** The migrations of the PostgreSQL store, as the package ships them. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Migration } from "../../../adapters/store/migrate.ts";

const folder = fileURLToPath(new URL("../../../adapters/store/migrations/postgres", import.meta.url));

export const postgresMigrations: readonly Migration[] = readdirSync(folder).map((name) => ({
  name,
  sql: readFileSync(join(folder, name), "utf8"),
}));
