/**
 * The PostgreSQL store beside PostgreSQL itself: a commit and a load through the `postgres` package and a real server, and
 * in the same run, through the same client, the same statements with their parameters ready (raw), and the bare writes and reads
 * into tables without checks and triggers (bare); at several lengths of history and numbers of experiments in the scope.
 *
 *     npx node bench/stores/postgres.ts [--operations 600]
 *
 * They take turns, so that whatever else the machine does falls on all. Compare ratios. The server runs without fsync, which
 * would come to all alike and hide what is measured.
 */
import { parseArgs } from "node:util";
import { postgresQueries } from "../../adapters/store/postgres-queries.ts";
import { postgresStore } from "../../adapters/store/postgres.ts";
import { storableCommit } from "../../src/governance/storable-commit.ts";
import { storableLoad } from "../../src/governance/storable-query.ts";
import type { Commit, GovernanceStore } from "../../src/governance/store.ts";
import type { ExperimentRef } from "../../src/scope.ts";
import {
  after,
  author,
  type Base,
  creation,
  denial,
  denied,
  next,
  receipt,
  transitioned,
} from "../../test/support/governance.ts";
import { startPostgres } from "../../test/support/postgres/server.ts";
import { openWorld } from "../../test/support/postgres/store.ts";

const { values: flags } = parseArgs({ options: { operations: { type: "string", default: "600" } } });
const operations = Number(flags.operations);
if (!Number.isSafeInteger(operations) || operations < 100) throw new RangeError("--operations is at least 100");

/** The same rows in tables that have their keys and indexes, and nothing that looks at what is written. */
const bareTables = `
CREATE SCHEMA bare;
CREATE TABLE bare.events (LIKE proviso.events INCLUDING GENERATED INCLUDING INDEXES);
CREATE TABLE bare.snapshots (LIKE proviso.snapshots INCLUDING INDEXES);
CREATE TABLE bare.receipts (LIKE proviso.receipts INCLUDING INDEXES);
CREATE TABLE bare.personal (LIKE proviso.personal INCLUDING INDEXES);
CREATE FUNCTION bare.write(wanted text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  g CONSTANT jsonb := wanted::jsonb;
  s CONSTANT jsonb := g -> 'snapshot';
  r CONSTANT jsonb := g -> 'receipt';
BEGIN
  INSERT INTO bare.events (tenant, environment, experiment, seq, type, at, version, prev_hash, hash, people, record)
  SELECT g ->> 'tenant', g ->> 'environment', g ->> 'experiment', (event ->> 'seq')::bigint, event ->> 'type', event ->> 'at',
    (event ->> 'version')::bigint, event ->> 'prevHash', event ->> 'hash', event ->> 'people', event ->> 'record'
  FROM jsonb_array_elements(g -> 'events') AS one (event);
  INSERT INTO bare.snapshots AS kept VALUES (g ->> 'tenant', g ->> 'environment', g ->> 'experiment', s ->> 'lifecycle',
    (s ->> 'revision')::bigint, s ->> 'revisionHash', s ->> 'createdAt', s ->> 'updatedAt', s ->> 'people', s ->> 'state')
  ON CONFLICT (tenant, environment, experiment) DO UPDATE SET lifecycle = excluded.lifecycle, revision = excluded.revision,
    revision_hash = excluded.revision_hash, updated_at = excluded.updated_at, people = excluded.people, state = excluded.state;
  INSERT INTO bare.receipts VALUES (g ->> 'tenant', g ->> 'environment', g ->> 'experiment', r ->> 'key', r ->> 'fingerprint',
    r ->> 'answer', (r ->> 'expiresAt')::bigint);
END $$`;

const median = (values: readonly number[]): number =>
  values.toSorted((left, right) => left - right)[Math.floor(values.length / 2)] ?? Number.NaN;

/** Milliseconds of each call, in turns of 20. */
const inTurns = async (
  count: number,
  ...works: ((index: number) => Promise<unknown>)[]
): Promise<readonly number[]> => {
  const times = works.map((): number[] => []);
  for (let start = 0; start < count; start += 20)
    for (const [side, work] of works.entries())
      for (let index = start; index < Math.min(count, start + 20); index += 1) {
        const before = performance.now();
        await work(index);
        times[side]?.push(performance.now() - before);
      }
  return times.map(median);
};

const chainOf = (base: Base, count: number, label: string): readonly Commit[] => {
  const commits: Commit[] = [];
  let last = base;
  for (let index = 0; index < count; index += 1) {
    const lifecycle = index % 2 === 0 ? "Running" : "Ramping";
    const commit = next(last, {
      drafts: [transitioned()],
      change: { lifecycle },
      receipt: receipt(`${label}-${index}`, undefined, JSON.stringify({ ok: true, body: { newState: lifecycle } })),
    });
    commits.push(commit);
    last = after(commit, last);
  }
  return commits;
};

const expectOk = async (store: GovernanceStore, ref: ExperimentRef, commit: Commit): Promise<void> => {
  const result = await store.commit(ref, commit);
  if (!result.ok) throw new Error(`a commit of the benchmark was refused: ${result.conflict}`);
};

const grown = async (store: GovernanceStore, ref: ExperimentRef, length: number): Promise<Base> => {
  const created = creation(ref);
  await expectOk(store, ref, created);
  let last = after(created);
  while (last.head.seq < length) {
    const drafts = Array.from({ length: Math.min(100, length - last.head.seq) }, () => denied());
    const commit = denial(last, { drafts });
    await expectOk(store, ref, commit);
    last = after(commit, last);
  }
  return last;
};

const item = <Value>(values: readonly Value[], index: number): Value => {
  const value = values[index];
  if (value === undefined) throw new RangeError("the benchmark has run out of commits");
  return value;
};

const world = await openWorld(startPostgres);
try {
  const { client } = world;
  await client.unsafe(bareTables);
  const store = postgresStore({ client });
  const queries = postgresQueries("proviso");
  const send = ([sql, ...values]: readonly [string, ...(string | number | null)[]]): Promise<unknown> =>
    client.unsafe(sql, values, { prepare: true });
  const bareLoad = `SELECT state, revision, (SELECT hash FROM bare.events WHERE tenant = $1 AND environment = $2 AND experiment = $3
      ORDER BY seq DESC LIMIT 1), (SELECT answer FROM bare.receipts WHERE tenant = $1 AND environment = $2 AND experiment = $3 AND key = $4)
    FROM bare.snapshots WHERE tenant = $1 AND environment = $2 AND experiment = $3`;

  const measure = async (length: number, experiments: number): Promise<void> => {
    const scope = { tenant: `bench-${length}-${experiments}`, environment: "test" };
    for (let number = 1; number < experiments; number += 1) {
      const other = { ...scope, experiment: `e${number}` };
      await expectOk(store, other, creation(other));
    }
    const refs = ["product", "raw", "bare"].map((experiment) => ({ ...scope, experiment }));
    const [mine, theirs, plain] = [item(refs, 0), item(refs, 1), item(refs, 2)];
    const [ours, raws] = [await grown(store, mine, length), await grown(store, theirs, length)];
    const bare = after(creation(plain));
    await send([
      "SELECT bare.write($1::text)",
      queries.commit(plain, storableCommit(plain, next(bare)))[1] ?? null,
    ]).catch(() => undefined);
    const products = chainOf(ours, operations, "p");
    const ready = chainOf(raws, operations, "r").map((commit) =>
      queries.commit(theirs, storableCommit(theirs, commit)),
    );
    const bares = chainOf(bare, operations, "b").map(
      (commit) => queries.commit(plain, storableCommit(plain, commit))[1] ?? null,
    );
    const commits = await inTurns(
      operations,
      (index) => expectOk(store, mine, item(products, index)),
      (index) => send(item(ready, index)),
      (index) => send(["SELECT bare.write($1::text)", item(bares, index)]),
    );
    const asked = { receipt: "p-0", actor: author.value, now: "2026-11-02T09:00:00.000Z" };
    const load = queries.load(theirs, storableLoad(theirs, asked));
    const loads = await inTurns(
      operations,
      () => store.load(mine, asked),
      () => send(load),
      () => send([bareLoad, plain.tenant, plain.environment, plain.experiment, "b-0"]),
    );
    const row = (
      name: string,
      [product = Number.NaN, raw = Number.NaN, least = Number.NaN]: readonly number[],
    ): string =>
      `${name.padEnd(7)} ${String(length).padStart(7)} ${String(experiments).padStart(11)}  ${product.toFixed(3)} ms  ${raw.toFixed(3)} ms  ${least.toFixed(3)} ms  ${((raw / product) * 100).toFixed(0)} % of raw  ${((least / product) * 100).toFixed(0)} % of bare\n`;
    process.stdout.write(row("commit", commits) + row("load", loads));
  };

  process.stdout.write("         events experiments   product      raw          bare\n");
  for (const length of [10, 1_000, 10_000]) await measure(length, 1);
  for (const experiments of [100, 10_000]) await measure(10, experiments);
} finally {
  await world.stop();
}
