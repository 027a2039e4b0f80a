/**
 * The Upstash store beside Redis itself: a commit and a load through `@upstash/redis`, a REST proxy and a real
 * redis-server, and in the same run, through the same client, a raw EVALSHA of the same writes and the same reads with
 * nothing looked at; at several lengths of history and with several numbers of experiments in the scope.
 *
 *     npx node bench/stores/upstash.ts [--operations 1000]
 *
 * Product and raw take turns, so that whatever else the machine does falls on both. Compare ratios: what a round trip to
 * the provider takes comes to both, and is not here.
 */
import { createHash } from "node:crypto";
import { parseArgs } from "node:util";
import { Redis } from "@upstash/redis";
import { upstashStore } from "../../adapters/store/upstash.ts";
import { sealEvents } from "../../src/governance/chain.ts";
import { type StorableCommit, storableCommit } from "../../src/governance/storable-commit.ts";
import type { Commit, GovernanceStore } from "../../src/governance/store.ts";
import type { ExperimentRef } from "../../src/scope.ts";
import {
  after,
  type Base,
  creation,
  denial,
  denied,
  next,
  receipt,
  transitioned,
} from "../../test/support/governance.ts";
import { startProxy } from "../../test/support/upstash/proxy.ts";
import { redisMissing, startRedis } from "../../test/support/upstash/redis-server.ts";

const { values: flags } = parseArgs({ options: { operations: { type: "string", default: "1000" } } });
const operations = Number(flags.operations);
if (!Number.isSafeInteger(operations) || operations < 100) throw new RangeError("--operations is at least 100");

const missing = redisMissing();
if (missing !== null) throw new Error(missing);

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

const median = (values: readonly number[]): number =>
  values.toSorted((left, right) => left - right)[Math.floor(values.length / 2)] ?? Number.NaN;

/** Milliseconds of each call; the two take turns of 50. */
const inTurns = async (
  count: number,
  one: (index: number) => Promise<unknown>,
  other: (index: number) => Promise<unknown>,
): Promise<readonly [number, number]> => {
  const times: readonly [number[], number[]] = [[], []];
  for (let start = 0; start < count; start += 50)
    for (const [side, work] of [one, other].entries())
      for (let index = start; index < Math.min(count, start + 50); index += 1) {
        const before = performance.now();
        await work(index);
        times[side]?.push(performance.now() - before);
      }
  return [median(times[0]), median(times[1])];
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
    if (sealEvents(last.head, drafts).length === 0) break;
    const commit = denial(last, { drafts });
    await expectOk(store, ref, commit);
    last = after(commit, last);
  }
  return last;
};

const server = await startRedis();
const proxy = await startProxy({ port: server.port, token: "bench" });
try {
  const client = new Redis({ url: proxy.url, token: proxy.token, enableTelemetry: false });
  const store = upstashStore({ client });
  const scope = { tenant: "bench", environment: "default" };
  await client.scriptLoad(rawCommit);
  await client.scriptLoad(rawLoad);
  const [commitSha, loadSha] = [sha1(rawCommit), sha1(rawLoad)];
  const rawKeys = ["segment", "types", "receipts", "expiries", "experiment"].map((kind) => `{raw}:${kind}`);

  const row = async (what: string, ref: ExperimentRef, base: Base): Promise<void> => {
    const commits = chainOf(base, operations, what);
    const raw = commits.map((commit) => rawArguments(storableCommit(ref, commit)));
    const [commitMs, rawCommitMs] = await inTurns(
      operations,
      (index) => expectOk(store, ref, commits[index] ?? creation(ref)),
      (index) => client.evalsha(commitSha, rawKeys, raw[index] ?? []),
    );
    const keys = ["", ":receipts", ":actors", ":personal"].map(
      (kind) => `proviso:{${ref.tenant}:${ref.environment}}:experiment:${ref.experiment}${kind}`,
    );
    const asked = { receipt: `${what}-0`, actor: "author@example.com", now: "2026-11-02T09:00:00.000Z" };
    const [person] = (await store.personal(ref)).values;
    const [loadMs, rawLoadMs] = await inTurns(
      operations,
      () => store.load(ref, asked),
      () => client.evalsha(loadSha, keys, [asked.receipt, asked.actor, person?.ref ?? ""]),
    );
    const cells = [
      what,
      commitMs.toFixed(2),
      rawCommitMs.toFixed(2),
      `${Math.round((100 * rawCommitMs) / commitMs)} %`,
      loadMs.toFixed(2),
      rawLoadMs.toFixed(2),
      `${Math.round((100 * rawLoadMs) / loadMs)} %`,
    ];
    console.log(`| ${cells.join(" | ")} |`);
  };

  console.log("| | commit, ms | raw | of raw | load, ms | raw | of raw |");
  console.log("|---|---|---|---|---|---|---|");
  for (const length of [10, 1_000, 10_000]) {
    const ref = { ...scope, experiment: `history-${length}` };
    await row(`history of ${length}`, ref, await grown(store, ref, length));
  }
  let made = 0;
  for (const count of [1, 100, 10_000]) {
    for (; made < count; made += 50)
      await Promise.all(
        Array.from({ length: 50 }, (_, index) => {
          const ref = { tenant: "crowd", environment: "default", experiment: `e-${made + index}` };
          return expectOk(store, ref, creation(ref));
        }),
      );
    const ref = { tenant: "crowd", environment: "default", experiment: `measured-${count}` };
    await row(`scope of ${count}`, ref, await grown(store, ref, 10));
  }
} finally {
  await proxy.close();
  await server.stop();
}
