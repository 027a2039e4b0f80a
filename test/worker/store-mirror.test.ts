/** The mirror inside workerd, over real engines: SQL as the authority with Redis in front, and a copy in another database. */
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { d1Store } from "../../adapters/store/d1.ts";
import { mirrorStore } from "../../adapters/store/mirror.ts";
import { postgresStore } from "../../adapters/store/postgres.ts";
import { upstashStore } from "../../adapters/store/upstash.ts";
import { createGovernance } from "../../src/governance/governance.ts";
import type { GovernanceStore } from "../../src/governance/store.ts";
import { describeGovernance } from "../conformance/governance.suite.ts";
import { describeStore } from "../conformance/store.suite.ts";
import { commitAll } from "../conformance/store/under-test.ts";
import { after, creation, freshRef, freshScope, next, receipt } from "../support/governance.ts";
import { expectSame, expectSameLists } from "../support/mirror.ts";
import { skipWithout } from "../support/services.ts";
import { sqliteAttacks } from "../support/sqlite-attacks.ts";
import { clientOf } from "../support/upstash/client.ts";
import { migratedDatabase } from "./d1.ts";
import { migrated, openClient } from "./postgres.ts";

const service = inject("upstash");
skipWithout(typeof service === "string" ? service : null);

const client = openClient(2);
beforeAll(() => migrated(client));
afterAll(() => client.end());

const fail = (error: unknown): never => {
  throw new Error("a follower failed", { cause: error });
};

const redis = (): GovernanceStore => upstashStore({ client: clientOf(service) });
const sqlWithRedis = async () => {
  const database = await migratedDatabase();
  const primary = d1Store({ database });
  return { database, primary, store: mirrorStore({ primary, followers: [redis()], report: fail }) };
};

describeStore("mirror of D1 and Upstash", async () => {
  const { database, store } = await sqlWithRedis();
  return {
    store,
    attacks: sqliteAttacks((sql, ...values) =>
      database
        .prepare(sql)
        .bind(...values)
        .run(),
    ),
  };
});
describeGovernance("mirror of D1 and Upstash", async () => (await sqlWithRedis()).store);

const by = { actor: { id: "lead", kind: "human", roles: ["admin"] } } as const;
const variants = [{ key: "control", control: true }, { key: "treatment" }];

describe("mirror of real engines", () => {
  test("a follower that is new has everything after one call, on every engine", async () => {
    const { primary } = await sqlWithRedis();
    const scope = freshScope();
    const governance = createGovernance({ store: primary });
    const refs = ["a", "b"].map((experiment) => ({ ...scope, experiment }));
    for (const ref of refs) {
      const surfaces = [`surface-${ref.experiment}`];
      await governance.define(ref, { variants, surfaces }, by, "é😀 '\"");
      for (const to of ["PendingApproval", "Approved", "Running"] as const)
        await governance.transition(ref, to, {}, by);
      for (let version = 0; version < 60; version += 1)
        await governance.revise(ref, { variants, surfaces, description: `${version}` }, by, "again");
    }
    const followers = [redis(), postgresStore({ client })];
    const mirror = mirrorStore({ primary, followers });
    expect(await mirror.catchUpAll(scope)).toEqual({ experiments: 2, troubles: [] });
    for (const follower of followers) {
      await expectSame(primary, follower, ...refs);
      await expectSameLists(primary, follower, scope, ["surface-a", "surface-b"]);
    }
  });

  test("Postgres decides, and D1 follows", async () => {
    const primary = postgresStore({ client });
    const follower = d1Store({ database: await migratedDatabase() });
    const store = mirrorStore({ primary, followers: [follower], reads: "follower", report: fail });
    const ref = freshRef();
    const first = creation(ref, { receipt: receipt("key") });
    await commitAll(store, ref, first, next(after(first)));
    await expectSame(primary, follower, ref);
    expect(await store.history(ref)).toMatchObject({ source: "d1", next: null });
  });
});
