/** The mirror inside workerd, over real engines: SQL as the authority with Redis in front, and a copy in another database. */
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from "vitest";
import { d1Store } from "../../adapters/store/d1.ts";
import { mirrorStore } from "../../adapters/store/mirror.ts";
import { postgresStore } from "../../adapters/store/postgres.ts";
import { upstashStore } from "../../adapters/store/upstash.ts";
import { createGovernance } from "../../src/governance/governance.ts";
import type { GovernanceStore } from "../../src/governance/store.ts";
import { describeStore } from "../conformance/store.suite.ts";
import { commitAll } from "../conformance/store/under-test.ts";
import {
  after,
  author,
  checkpointAt,
  creation,
  freshRef,
  freshScope,
  later,
  next,
  receipt,
} from "../support/governance.ts";
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

/** Nothing is expected to go wrong with the followers, and nothing goes wrong silently. */
const failures: unknown[] = [];
const fail = (error: unknown): void => void failures.push(error);
afterEach(() => {
  const found = failures.splice(0);
  if (found.length > 0) throw new AggregateError(found, "a follower failed");
});

const redis = (): GovernanceStore => upstashStore({ client: clientOf(service) });

describeStore("mirror of D1 and Upstash", async () => {
  const database = await migratedDatabase();
  return {
    store: mirrorStore({ primary: d1Store({ database }), followers: [redis()], report: fail }),
    attacks: sqliteAttacks((sql, ...values) =>
      database
        .prepare(sql)
        .bind(...values)
        .run(),
    ),
  };
});

const by = { actor: { id: "lead", kind: "human", roles: ["admin"] } } as const;
const variants = [{ key: "control", control: true }, { key: "treatment" }];

describe("mirror of real engines", () => {
  test("a follower that is new has everything after one call, on every engine", async () => {
    const primary = d1Store({ database: await migratedDatabase() });
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
    const answered = { ...scope, experiment: "c" };
    const first = creation(answered, { receipt: receipt("first", later(60), '{"text":"é 😀 \'"}') });
    await commitAll(primary, answered, first, next(after(first), { receipt: receipt("second", later(90)) }));
    await primary.advance(answered, "webhook", 2);
    refs.push(answered);
    const followers = [redis(), postgresStore({ client })];
    const mirror = mirrorStore({ primary, followers });
    expect(await mirror.catchUpAll(scope)).toEqual({ experiments: 3, troubles: [] });
    for (const follower of followers) {
      await expectSame(primary, follower, ...refs);
      await expectSameLists(primary, follower, scope, ["surface-a", "surface-b"]);
      expect((await follower.receipts(answered)).receipts).toHaveLength(2);
    }
  });

  test("SQL decides, with Redis in front: who reads there is told so", async () => {
    const primary = d1Store({ database: await migratedDatabase() });
    const follower = redis();
    const store = mirrorStore({ primary, followers: [follower], reads: "follower", report: fail });
    const ref = freshRef();
    const first = creation(ref, { take: ["surface:home"], receipt: receipt("key") });
    const second = next(after(first), { release: ["surface:home"] });
    await commitAll(store, ref, first, second);
    expect(await store.commit(ref, next(after(first)))).toEqual({ ok: false, conflict: "stale" });
    await store.archive(ref, checkpointAt({ seq: 2, hash: after(first).head.hash }));
    await store.erase(ref, [author.ref]);
    await expectSame(primary, follower, ref);
    expect(await store.list(ref)).toMatchObject({ source: "upstash" });
    expect(await store.list(ref, { surface: "home" })).toMatchObject({ items: [] });
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
