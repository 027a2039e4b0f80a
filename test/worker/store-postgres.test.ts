/** The PostgreSQL store inside workerd, through a Hyperdrive binding and the driver's build for Cloudflare. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { postgresStore } from "../../adapters/store/postgres.ts";
import { openPostgres } from "../../worker/postgres.ts";
import { describeStore, type StoreUnderTest } from "../conformance/store.suite.ts";
import { commitAll, expectValid, wholeHistory } from "../conformance/store/under-test.ts";
import { after, creation, freshRef, next, receipt } from "../support/governance.ts";
import { postgresAttacks } from "../support/postgres/attacks.ts";
import { address, migrated, openClient } from "./postgres.ts";

const client = openClient(2);
const console = openClient();
beforeAll(async () => {
  await migrated(client);
  await console.unsafe("SET search_path TO proviso");
});
afterAll(() => Promise.all([client.end(), console.end()]));

const underTest = async (): Promise<StoreUnderTest> => ({
  store: postgresStore({ client }),
  attacks: postgresAttacks((sql, ...values) => console.unsafe(sql, [...values])),
});

describeStore("postgres through Hyperdrive", underTest);

describe.each(["request", "object"] as const)("postgres as the Worker opens it: %s", (place) => {
  test("commits, loads and refuses", async () => {
    const store = openPostgres(address(), "proviso", place);
    const ref = freshRef();
    const commit = creation(ref, { receipt: receipt("key") });
    await store.check();
    await commitAll(store, ref, commit, next(after(commit)));
    expect(await store.commit(ref, next(after(commit)))).toEqual({ ok: false, conflict: "stale" });
    expect((await store.load(ref, { receipt: "key" }))?.receipt).toEqual(receipt("key"));
    expectValid(await wholeHistory(store, ref));
  });
});
