/** The database behind the Hyperdrive binding of the `worker` project, with the migrations applied. */
import { env } from "cloudflare:workers";
import postgres, { type Sql } from "postgres";
import governance from "../../adapters/store/migrations/postgres/0001_governance.sql?raw";
import relations from "../../adapters/store/migrations/postgres/0002_relations.sql?raw";
import reads from "../../adapters/store/migrations/postgres/0003_reads.sql?raw";
import { migratePostgres } from "../../adapters/store/postgres-migrate.ts";

export const migrations = [
  { name: "0001_governance.sql", sql: governance },
  { name: "0002_relations.sql", sql: relations },
  { name: "0003_reads.sql", sql: reads },
];

export const address = (): string => env.HYPERDRIVE.connectionString;

export const openClient = (max = 1): Sql => postgres(address(), { max, fetch_types: false, onnotice: () => undefined });

export const migrated = async (client: Sql): Promise<void> => {
  await migratePostgres(client, migrations);
};
