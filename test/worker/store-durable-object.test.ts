/** The Durable Object store inside workerd, against the storage that Durable Objects have. */
import { env } from "cloudflare:workers";
import { runInDurableObject } from "cloudflare:test";
import { durableObjectStore } from "../../adapters/store/durable-object.ts";
import { type ExperimentRef, refKey } from "../../src/scope.ts";
import { type Attack, describeStore, type StoreUnderTest } from "../conformance/store.suite.ts";
import { type RunSql, sqliteAttacks } from "../support/sqlite-attacks.ts";
import { experimentObject, registryObject } from "./objects.ts";

/** Past the port there is one database for each experiment. */
const runOn =
  (ref: ExperimentRef): RunSql =>
  (sql, ...values) =>
    runInDurableObject(env.EXPERIMENTS.getByName(refKey(ref)), (_object, { storage }) =>
      storage.sql.exec(sql, ...values).toArray(),
    );
const attack =
  (name: Attack): StoreUnderTest["attacks"][Attack] =>
  (ref, history) =>
    sqliteAttacks(runOn(ref))[name](ref, history);

describeStore("durable-object", async () => ({
  store: durableObjectStore({ experiment: experimentObject, registry: registryObject }),
  attacks: {
    gap: attack("gap"),
    unlinked: attack("unlinked"),
    insertOrReplace: attack("insertOrReplace"),
    insertOrIgnore: attack("insertOrIgnore"),
    upsert: attack("upsert"),
    update: attack("update"),
    delete: attack("delete"),
    rules: attack("rules"),
    checkpoint: attack("checkpoint"),
  },
}));
