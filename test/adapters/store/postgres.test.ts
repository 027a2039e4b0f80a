/** The PostgreSQL store on the embedded PostgreSQL. `postgres-server.test.ts` has the same on a real server. */
import { afterAll, beforeAll } from "vitest";
import { postgresStore } from "../../../adapters/store/postgres.ts";
import { describeStore, type StoreUnderTest } from "../../conformance/store.suite.ts";
import { describeGovernance } from "../../conformance/governance.suite.ts";
import { postgresAttacks } from "../../support/postgres/attacks.ts";
import { startEmbedded } from "../../support/postgres/server.ts";
import { openWorld, type PostgresWorld } from "../../support/postgres/store.ts";

let world: PostgresWorld;
beforeAll(async () => {
  world = await openWorld(startEmbedded);
}, 60_000);
afterAll(() => world.stop());

const underTest = async (): Promise<StoreUnderTest> => ({
  store: postgresStore({ client: world.client }),
  attacks: postgresAttacks((sql, ...values) => world.console.unsafe(sql, [...values])),
});

describeStore("postgres (embedded)", underTest);
describeGovernance("postgres (embedded)", () => Promise.resolve(postgresStore({ client: world.client })));
