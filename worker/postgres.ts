/** PostgreSQL from a Worker, by address or by Hyperdrive. */
import type { PostgresClientLike } from "../adapters/store/postgres.ts";
import { postgresStore } from "../adapters/store/postgres.ts";
import type { GovernanceStore } from "../src/governance/store.ts";

/**
 * Where the store is used. A connection belongs to the request that opened it, so outside of objects each operation has one of
 * its own (with Hyperdrive that is a handshake in the same data centre). An object keeps its connection for all its requests.
 */
export type StorePlace = "request" | "object";

/** The driver is loaded by deployments that use it. */
const connect = async (address: string): Promise<PostgresClientLike> => {
  const { default: postgres } = await import("postgres");
  return postgres(address, {
    max: 1,
    // In seconds: an idle object lets go of its connection, so that the platform may put it away.
    idle_timeout: 5,
    connect_timeout: 10,
    // The store sends no arrays, and this would be a question for each connection.
    fetch_types: false,
    onnotice: () => undefined,
  });
};

export const openPostgres = (address: string, schema: string, place: StorePlace): GovernanceStore => {
  if (place === "request") return postgresStore({ connect: () => connect(address), schema });
  let opened: Promise<PostgresClientLike> | undefined;
  return postgresStore({
    async connect() {
      const client = await (opened ??= connect(address));
      // Without an end: it outlives the operation.
      return { unsafe: (...parameters) => client.unsafe(...parameters) };
    },
    schema,
  });
};
