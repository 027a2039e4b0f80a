/**
 * The Upstash store beside Redis: through `@upstash/redis`, a REST proxy and a real redis-server, a raw EVALSHA of the same
 * writes and the same reads with nothing looked at. See index.ts.
 */
import { createHash } from "node:crypto";
import { Redis } from "@upstash/redis";
import { upstashStore } from "../../adapters/store/upstash.ts";
import { type StorableCommit, storableCommit } from "../../src/governance/storable-commit.ts";
import { author, creation, later } from "../../test/support/governance.ts";
import { startProxy } from "../../test/support/upstash/proxy.ts";
import { redisMissing, startRedis } from "../../test/support/upstash/redis-server.ts";
import { type Engine, inTurns, item, type Place, places, type Row, timesOf } from "./engine.ts";
import { chainOf, crowd, expectOk, grown } from "./histories.ts";

/** The writes of one commit, and nothing else. */
const rawCommit = `
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2], 'hash:' .. ARGV[1], ARGV[3], 'people:' .. ARGV[1], ARGV[4])
redis.call('ZADD', KEYS[2], '0', ARGV[5])
redis.call('HSET', KEYS[3], ARGV[6], ARGV[7])
redis.call('ZADD', KEYS[4], ARGV[8], ARGV[6])
redis.call('PEXPIRE', KEYS[3], ARGV[9])
redis.call('PEXPIRE', KEYS[4], ARGV[9])
redis.call('HSET', KEYS[5], 'seq', ARGV[1], 'hash', ARGV[3], 'at', ARGV[10], 'lifecycle', ARGV[11],
  'revision', ARGV[12], 'revisionHash', ARGV[3], 'people', ARGV[4], 'state', ARGV[13])
return { 'ok' }
`;
/** The reads of one load, and nothing else. */
const rawLoad = `
local known = redis.call('HMGET', KEYS[1], 'seq', 'hash', 'at', 'revision', 'revisionHash', 'state', 'people')
local receipt = redis.call('HGET', KEYS[2], ARGV[1])
local actor = redis.call('HGET', KEYS[3], ARGV[2])
local person = redis.call('HGET', KEYS[4], ARGV[3])
return { known, receipt, actor, person }
`;
const sha1 = (text: string): string => createHash("sha1").update(text).digest("hex");

const rawArguments = ({ events, snapshot, receipt: kept, head }: StorableCommit): string[] => {
  const [event] = events;
  if (event === undefined || snapshot === null || kept === null) throw new TypeError("a commit of another kind");
  return [
    String(head.seq),
    event.text,
    event.hash,
    JSON.stringify(event.people),
    `${event.type}:${String(event.seq).padStart(16, "0")}`,
    kept.key,
    JSON.stringify({ fingerprint: kept.fingerprint, answer: kept.answer, expiresAt: kept.expiresAt }),
    String(kept.expiresAt),
    "3600000",
    event.at,
    snapshot.lifecycle,
    String(snapshot.revision),
    snapshot.text,
  ];
};

const measure = async (
  client: Redis,
  { history, experiments }: Place,
  operations: number,
): Promise<Pick<Row, "commit" | "load">> => {
  const store = upstashStore({ client });
  const scope = { tenant: `bench-${history}-${experiments}`, environment: "test" };
  await crowd(1, experiments, 50, (experiment) => {
    const other = { ...scope, experiment };
    return expectOk(store, other, creation(other));
  });
  const ref = { ...scope, experiment: "product" };
  const commits = chainOf(await grown(store, ref, history), operations, "p");
  const raw = commits.map((commit) => rawArguments(storableCommit(ref, commit)));
  const written = ["segment", "types", "receipts", "expiries", "experiment"].map((kind) => `{raw}:${kind}`);
  const commit = await inTurns(
    operations,
    (index) => expectOk(store, ref, item(commits, index)),
    (index) => client.evalsha(sha1(rawCommit), written, item(raw, index)),
  );
  const read = ["", ":receipts", ":actors", ":personal"].map(
    (kind) => `proviso:{${ref.tenant}:${ref.environment}}:experiment:${ref.experiment}${kind}`,
  );
  const asked = { receipt: "p-0", actor: author.value, now: later(0) };
  const load = await inTurns(
    operations,
    () => store.load(ref, asked),
    () => client.evalsha(sha1(rawLoad), read, [asked.receipt, asked.actor, author.ref]),
  );
  return { commit: timesOf(commit), load: timesOf(load) };
};

export const upstash: Engine = {
  name: "upstash",
  floor: 0.5,
  missing: redisMissing,
  async *rows(operations) {
    const server = await startRedis();
    const proxy = await startProxy({ port: server.port, token: "bench" });
    try {
      const client = new Redis({ url: proxy.url, token: proxy.token, enableTelemetry: false });
      await client.scriptLoad(rawCommit);
      await client.scriptLoad(rawLoad);
      for (const place of places) yield { place, ...(await measure(client, place, operations)) };
    } finally {
      await proxy.close();
      await server.stop();
    }
  },
};
