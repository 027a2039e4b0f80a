/** The D1 database of the `worker` project, with the migrations applied as a host without wrangler applies them. */
import { env } from "cloudflare:workers";
import { migrate } from "../../adapters/store/migrate.ts";
import { sqliteMigrations } from "../../adapters/store/sqlite-migrations.ts";

export const migratedDatabase = async (): Promise<D1Database> => {
  await migrate(env.DB, sqliteMigrations);
  return env.DB;
};
