/**
 * Histories through every durable store and back: D1 → Postgres → Upstash → Durable Objects → another D1. Whatever they
 * went through, they export to the same bytes. 1,000 experiments for a proof, a tenth otherwise.
 */
import { env } from "cloudflare:workers";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { d1Store } from "../../adapters/store/d1.ts";
import { memoryStore } from "../../adapters/store/memory.ts";
import { migrate } from "../../adapters/store/migrate.ts";
import { postgresStore } from "../../adapters/store/postgres.ts";
import { sqliteMigrations } from "../../adapters/store/sqlite-migrations.ts";
import { upstashStore } from "../../adapters/store/upstash.ts";
import { sha256Hex } from "../../src/canonical.ts";
import { type EventDraft, sealEvents } from "../../src/governance/chain.ts";
import { replay } from "../../src/governance/evolve.ts";
import { exportExperiment } from "../../src/governance/export/export.ts";
import { importExperiment } from "../../src/governance/export/import.ts";
import type { GovernanceStore } from "../../src/governance/store.ts";
import type { ExperimentRef } from "../../src/scope.ts";
import { commitAll, wholeList } from "../conformance/store/under-test.ts";
import { freshScope } from "../support/governance.ts";
import { collect, lived } from "../support/lived.ts";
import { skipWithout } from "../support/services.ts";
import { clientOf } from "../support/upstash/client.ts";
import { migratedDatabase } from "./d1.ts";
import { objectStore } from "./objects.ts";
import { migrated, openClient } from "./postgres.ts";

const service = inject("upstash");
skipWithout(typeof service === "string" ? service : null);

/** Connections that the test's server is asked for. */
const atOncePostgres = 4;

const experiments = inject("proof") ? 1_000 : 100;
const events = 50;
const client = openClient(atOncePostgres);
beforeAll(() => migrated(client));
afterAll(() => client.end());

/** At one moment: a store is asked by many, and a round trip takes its time. */
const atOnce = 8;

async function* bare(lines: AsyncIterable<string>): AsyncGenerator<string> {
  for await (const line of lines) yield line.slice(0, -1);
}

const each = async <Item>(items: readonly Item[], work: (item: Item) => Promise<void>): Promise<void> => {
  const left = [...items];
  const worker = async (): Promise<void> => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
};

const textOf = async (store: GovernanceStore, ref: ExperimentRef): Promise<string> =>
  (await collect(exportExperiment(store, ref))).join("");

/** A history of at least so many events, with what it names. */
const template = async () => {
  const { store, ref } = await lived({ rounds: 5, surfaces: [] });
  const { events: told } = await store.history(ref, { limit: 1_000 });
  expect(told.length).toBeGreaterThanOrEqual(events);
  const { rules } = await store.rules(ref);
  const { values: personal } = await store.personal(ref);
  return { told, rules, personal };
};

/** The same story of another experiment: another name, another chain. */
const retold = async (
  { told, rules, personal }: Awaited<ReturnType<typeof template>>,
  ref: ExperimentRef,
): Promise<GovernanceStore> => {
  const drafts = told.map(({ v: _v, seq: _seq, prevHash: _prev, hash: _hash, ...event }): EventDraft => {
    if (event.type === "Created") return { ...event, data: { ...ref } };
    if (event.type !== "VersionWritten") return event;
    const configuration = { ...event.data.configuration, name: ref.experiment };
    return { ...event, data: { ...event.data, configuration } };
  });
  const sealed = sealEvents("new", drafts);
  const state = replay(sealed);
  const last = sealed.at(-1);
  if (state === null || last === undefined) throw new TypeError("a history leads to a state");
  const store = memoryStore();
  await commitAll(store, ref, {
    expect: "new",
    events: sealed,
    snapshot: { state, revision: 17, revisionHash: last.hash },
    personal,
    rules,
    claims: { take: state.claims, release: [] },
    receipt: null,
  });
  return store;
};

test("a thousand experiments go round all stores and come back the same", { timeout: 1_800_000 }, async () => {
  const scope = freshScope();
  const first = d1Store({ database: await migratedDatabase(), name: "first" });
  await migrate(env.SECOND, sqliteMigrations);
  const stores: readonly GovernanceStore[] = [
    first,
    postgresStore({ client }),
    upstashStore({ client: clientOf(service) }),
    objectStore(),
    d1Store({ database: env.SECOND, name: "second" }),
  ];
  const story = await template();
  const digests = new Map<string, string>();
  const refs: ExperimentRef[] = [];
  let count = 0;
  await each(
    Array.from({ length: experiments }, (_, index) => index),
    async (index) => {
      const ref = { ...scope, experiment: `exp-${index}` };
      const store = await retold(story, ref);
      refs.push(ref);
      const text = await textOf(store, ref);
      digests.set(ref.experiment, sha256Hex(text));
      const { written } = await importExperiment(first, text.split("\n").slice(0, -1));
      count += written;
    },
  );
  expect(digests.size).toBe(experiments);
  // Different experiments, so no digest could stand for another.
  expect(new Set(digests.values()).size).toBe(experiments);
  expect(count).toBeGreaterThanOrEqual(experiments * events);
  for (const [index, from] of stores.entries()) {
    const to = stores[index + 1];
    const wrong: string[] = [];
    await each(refs, async (ref) => {
      const text = await textOf(from, ref);
      if (sha256Hex(text) !== digests.get(ref.experiment)) wrong.push(`${from.name}: ${ref.experiment}`);
      if (to !== undefined) await importExperiment(to, text.split("\n").slice(0, -1));
    });
    expect(wrong).toEqual([]);
    expect((await wholeList(from, scope)).length).toBe(experiments);
  }
});

/** Holds what the test relies on: an import does not take a store's word, it reads the file. */
test("a copy that differs in one value has another digest", async () => {
  const { store, ref } = await lived();
  const copy = memoryStore();
  await importExperiment(copy, bare(exportExperiment(store, ref)));
  const before = sha256Hex(await textOf(copy, ref));
  expect(before).toBe(sha256Hex(await textOf(store, ref)));
  const { values } = await copy.personal(ref, { limit: 1 });
  await copy.erase(
    ref,
    values.map((value) => value.ref),
  );
  expect(sha256Hex(await textOf(copy, ref))).not.toBe(before);
});
