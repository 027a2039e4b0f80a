/**
 * The PostgreSQL store beside PostgreSQL: through the `postgres` package and a real server, the same statements with their
 * parameters ready (raw), and the bare writes and reads into tables without checks and triggers. See index.ts.
 */
import { postgresQueries } from "../../adapters/store/postgres-queries.ts";
import { postgresStore } from "../../adapters/store/postgres.ts";
import { storableCommit } from "../../src/governance/storable-commit.ts";
import { storableLoad } from "../../src/governance/storable-query.ts";
import { after, author, creation, later, next } from "../../test/support/governance.ts";
import { missingPostgres, startPostgres } from "../../test/support/postgres/server.ts";
import { openWorld, type PostgresWorld } from "../../test/support/postgres/store.ts";
import { type Engine, inTurns, item, type Place, places, type Row, timesOf } from "./engine.ts";
import { chainOf, crowd, expectOk, grown } from "./histories.ts";

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

const measure = async (
  { client }: PostgresWorld,
  { history, experiments }: Place,
  operations: number,
): Promise<Pick<Row, "commit" | "load">> => {
  const store = postgresStore({ client });
  const queries = postgresQueries("proviso");
  const send = ([sql, ...values]: readonly [string, ...(string | number | null)[]]): Promise<unknown> =>
    client.unsafe(sql, values, { prepare: true });
  const bareCommit = (wanted: string | number | null): Promise<unknown> =>
    send(["SELECT bare.write($1::text)", wanted]);
  const bareLoad = `SELECT state, revision, (SELECT hash FROM bare.events WHERE tenant = $1 AND environment = $2 AND experiment = $3
      ORDER BY seq DESC LIMIT 1), (SELECT answer FROM bare.receipts WHERE tenant = $1 AND environment = $2 AND experiment = $3 AND key = $4)
    FROM bare.snapshots WHERE tenant = $1 AND environment = $2 AND experiment = $3`;

  const scope = { tenant: `bench-${history}-${experiments}`, environment: "test" };
  await crowd(1, experiments, 5, (experiment) => {
    const other = { ...scope, experiment };
    return expectOk(store, other, creation(other));
  });
  const [mine, theirs, plain] = [
    { ...scope, experiment: "product" },
    { ...scope, experiment: "raw" },
    { ...scope, experiment: "bare" },
  ];
  const [ours, raws] = [await grown(store, mine, history), await grown(store, theirs, history)];
  const base = after(creation(plain));
  const parameter = (commit: Parameters<typeof storableCommit>[1]): string | number | null =>
    queries.commit(plain, storableCommit(plain, commit))[1] ?? null;
  await bareCommit(parameter({ ...next(base), receipt: item(chainOf(base, 1, "first"), 0).receipt }));
  const products = chainOf(ours, operations, "p");
  const ready = chainOf(raws, operations, "r").map((commit) => queries.commit(theirs, storableCommit(theirs, commit)));
  const bares = chainOf(after(next(base), base), operations, "b").map(parameter);
  const commit = await inTurns(
    operations,
    (index) => expectOk(store, mine, item(products, index)),
    (index) => send(item(ready, index)),
    (index) => bareCommit(item(bares, index)),
  );
  const asked = { receipt: "p-0", actor: author.value, now: later(0) };
  const question = queries.load(theirs, storableLoad(theirs, { ...asked, receipt: "r-0" }));
  const load = await inTurns(
    operations,
    () => store.load(mine, asked),
    () => send(question),
    () => send([bareLoad, plain.tenant, plain.environment, plain.experiment, "b-0"]),
  );
  return { commit: timesOf(commit), load: timesOf(load) };
};

export const postgres: Engine = {
  name: "postgres",
  floor: 0.6,
  missing: missingPostgres,
  async *rows(operations) {
    const world = await openWorld(startPostgres);
    try {
      await world.client.unsafe(bareTables);
      for (const place of places) yield { place, ...(await measure(world, place, operations)) };
    } finally {
      await world.stop();
    }
  },
};
