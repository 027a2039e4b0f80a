/** PostgreSQL stores for tests: one server, one client and one migrated schema for a test file. */
import postgres, { type Sql } from "postgres";
import { migratePostgres } from "../../../adapters/store/postgres-migrate.ts";
import { postgresMigrations } from "./migrations.ts";
import type { PostgresServer } from "./server.ts";

export interface PostgresWorld {
  readonly server: PostgresServer;
  readonly client: Sql;
  /** Finds the tables without the schema's name, as somebody at a console would. */
  readonly console: Sql;
  stop(): Promise<void>;
}

export const openClient = (url: string, max = 5, connection: Record<string, string> = {}): Sql =>
  postgres(url, { max, onnotice: () => undefined, connect_timeout: 10, connection });

/** Whatever fails on the way, the server is ended. */
export const openWorld = async (start: () => Promise<PostgresServer>): Promise<PostgresWorld> => {
  const server = await start();
  const client = openClient(server.url);
  const console = openClient(server.url, 1);
  const stop = async (): Promise<void> => {
    await Promise.all([client.end({ timeout: 1 }), console.end({ timeout: 1 })]);
    await server.stop();
  };
  try {
    await migratePostgres(client, postgresMigrations);
    await console.unsafe("SET search_path TO proviso");
  } catch (error) {
    await stop();
    throw error;
  }
  return { server, client, console, stop };
};
