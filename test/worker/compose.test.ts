/** What the Worker makes of `governance.persistence`: every store from its bindings and secrets, or an error that says where. */
import { env } from "cloudflare:workers";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { d1Store } from "../../adapters/store/d1.ts";
import { isMirror } from "../../adapters/store/mirror.ts";
import { upstashStore } from "../../adapters/store/upstash.ts";
import type { CustomStores } from "../../src/config/custom-stores.ts";
import { defineDsl, type Dsl, type DslInput } from "../../src/config/index.ts";
import { ProvisoError } from "../../src/errors.ts";
import type { GovernanceStore } from "../../src/governance/store.ts";
import { storeOf } from "../../worker/compose.ts";
import type { StoreHost } from "../../worker/custom-stores.ts";
import type { WorkerEnv } from "../../worker/env.ts";
import { commitAll, expectValid, wholeHistory } from "../conformance/store/under-test.ts";
import { after, creation, freshRef, later, next, receipt } from "../support/governance.ts";
import { expectSame } from "../support/mirror.ts";
import { skipWithout } from "../support/services.ts";
import { clientOf, serviceOf } from "../support/upstash/client.ts";
import { migratedDatabase } from "./d1.ts";
import { migrated, openClient } from "./postgres.ts";

type PersistenceInput = NonNullable<NonNullable<DslInput["governance"]>["persistence"]>;

const dslOf = (persistence: PersistenceInput): Dsl => {
  const defined = defineDsl({ governance: { persistence } });
  if (!defined.ok) throw new TypeError(defined.errors.map(({ message }) => message).join("; "));
  return defined.value;
};

const service = inject("upstash");
skipWithout(typeof service === "string" ? service : null);

/** The bindings of this project, and what a test sets besides. */
const envOf = (more: Readonly<Record<string, unknown>> = {}): WorkerEnv =>
  // @ts-expect-error: the stores under test need no more than these
  ({ ...env, ...more });

const client = openClient();
beforeAll(async () => {
  await migrated(client);
  await migratedDatabase();
});
afterAll(() => client.end());

/** Is written to and read, and refuses what is stale. */
const expectWorking = async (store: GovernanceStore) => {
  const ref = freshRef();
  const first = creation(ref, { receipt: receipt("key", later(60)) });
  await store.check();
  await commitAll(store, ref, first, next(after(first)));
  expect(await store.commit(ref, next(after(first)))).toEqual({ ok: false, conflict: "stale" });
  expectValid(await wholeHistory(store, ref));
  return ref;
};

describe.each(["request", "object"] as const)("as the Worker composes it, for one %s", (place) => {
  test("postgres, through Hyperdrive and by the address in a secret", async () => {
    const values = { ADDRESS: env.HYPERDRIVE.connectionString };
    for (const way of [{ hyperdrive: "HYPERDRIVE" }, { secret: "ADDRESS" }]) {
      const store = storeOf(envOf(values), dslOf({ type: "postgres", ...way }), place);
      expect(store.name).toBe("postgres");
      await expectWorking(store);
    }
  });

  test("a mirror of D1 and Upstash, read where the DSL says: an object reads what it decides on", async () => {
    const { url, token } = serviceOf(service);
    const followers = [{ type: "upstash", url, secret: "REDIS", prefix: "composed" }] as const;
    const dsl = dslOf({ type: "mirror", primary: {}, followers: [...followers], reads: "follower" });
    const store = storeOf(envOf({ REDIS: token }), dsl, place);
    expect(isMirror(store)).toBe(true);
    const ref = await expectWorking(store);
    const follower = upstashStore({ client: clientOf(service), prefix: "composed" });
    await expectSame(d1Store({ database: env.DB }), follower, ref);
    expect((await store.list(ref)).source).toBe(place === "request" ? "upstash" : undefined);
  });

  test("a store of the host's own, alone and in a mirror", async () => {
    const hosts: StoreHost[] = [];
    const stores: CustomStores<StoreHost> = {
      mine: ({ database }, host) => {
        hosts.push(host);
        const binding: unknown = Reflect.get(host.env, String(database));
        if (binding !== env.DB) throw new TypeError("a secret word");
        return d1Store({ database: env.DB });
      },
    };
    const mine = { type: "custom", name: "mine", parameters: { database: "DB" } } as const;
    await expectWorking(storeOf(envOf(), dslOf(mine), place, stores));
    expect(hosts.map((host) => host.place)).toEqual([place]);
    const followed = {
      type: "mirror",
      primary: mine,
      followers: [{ type: "postgres", hyperdrive: "HYPERDRIVE" }],
    } as const;
    expect(isMirror(storeOf(envOf(), dslOf(followed), place, stores))).toBe(true);
    const broken = (): unknown => storeOf(envOf(), dslOf({ ...mine, parameters: {} }), place, stores);
    expect(broken).toThrow('governance.persistence: the store "mine" could not be opened');
    expect(broken).not.toThrow("a secret word");
  });
});

test.each<{ persistence: PersistenceInput; says: string }>([
  {
    persistence: { type: "d1", database: "OTHER" },
    says: "governance.persistence.database names OTHER, which is not a D1 binding of this Worker",
  },
  {
    persistence: { type: "postgres", secret: "ADDRESS" },
    says: "governance.persistence.secret names ADDRESS, which is not set in this deployment",
  },
  {
    persistence: { type: "postgres", secret: "EMPTY" },
    says: "governance.persistence.secret names EMPTY, which is not set in this deployment",
  },
  {
    persistence: { type: "postgres", hyperdrive: "DB" },
    says: "governance.persistence.hyperdrive names DB, which is not a Hyperdrive binding of this Worker",
  },
  {
    persistence: { type: "upstash", url: "https://redis.example.com", secret: "TOKEN" },
    says: "governance.persistence.secret names TOKEN, which is not set in this deployment",
  },
  {
    persistence: { type: "mirror", primary: { database: "OTHER" }, followers: [{}] },
    says: "governance.persistence.primary.database names OTHER, which is not a D1 binding of this Worker",
  },
  {
    persistence: {
      type: "mirror",
      primary: {},
      followers: [{ database: "SECOND" }, { type: "postgres", secret: "ADDRESS" }],
    },
    says: "governance.persistence.followers[1].secret names ADDRESS, which is not set in this deployment",
  },
  {
    persistence: { type: "custom", name: "ours" },
    says: 'governance.persistence.name names the store "ours", which is not registered; registered: none',
  },
  {
    persistence: { type: "mirror", primary: {}, followers: [{ type: "custom", name: "toString" }] },
    says: 'governance.persistence.followers[0].name names the store "toString", which is not registered; registered: none',
  },
])("what is missing is said with its place: $says", ({ persistence, says }) => {
  expect(() => storeOf(envOf({ EMPTY: "" }), dslOf(persistence))).toThrow(new ProvisoError("invalid-dsl", says));
});
