/** The D1 database of the `worker` project, with the migrations applied as a host without wrangler applies them. */
import { env } from "cloudflare:workers";
import { migrate } from "../../adapters/store/migrate.ts";
import governance from "../../adapters/store/migrations/0001_governance.sql?raw";
import checkpoints from "../../adapters/store/migrations/0003_checkpoints.sql?raw";
import rulesAndPositions from "../../adapters/store/migrations/0002_rules_positions.sql?raw";

export const migrations = [
  { name: "0001_governance.sql", sql: governance },
  { name: "0002_rules_positions.sql", sql: rulesAndPositions },
  { name: "0003_checkpoints.sql", sql: checkpoints },
];

export const migratedDatabase = async (): Promise<D1Database> => {
  await migrate(env.DB, migrations);
  return env.DB;
};
