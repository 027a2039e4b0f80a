/** What is particular to Redis over HTTP: lost answers, replicas, eviction, limits, and what is sent. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import ioredis from "ioredis";
import * as v from "valibot";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { upstashStore } from "../../../adapters/store/upstash.ts";
import { canonicalJson, sha256Hex } from "../../../src/canonical.ts";
import { personalValue } from "../../../src/governance/personal.ts";
import type { Commit, GovernanceStore } from "../../../src/governance/store.ts";
import type { ExperimentRef } from "../../../src/scope.ts";
import { expectValid, observe, wholeHistory, wholeList } from "../../conformance/store/under-test.ts";
import {
  after,
  type Base,
  checkpointAt,
  configuration,
  creation,
  denial,
  denied,
  freshRef,
  freshScope,
  later,
  next,
  receipt,
  transitioned,
  versionWritten,
} from "../../support/governance.ts";
import { skipWithout } from "../../support/services.ts";
import { clientOf, commandTo } from "../../support/upstash/client.ts";
import { type Fault, type Proxy, startProxy } from "../../support/upstash/proxy.ts";
import { type RedisServer, redisMissing, startRedis } from "../../support/upstash/redis-server.ts";

// A guard against hanging, not a measurement: several servers are started here.
vi.setConfig({ testTimeout: 30_000, hookTimeout: 30_000 });

const missing = redisMissing();
skipWithout(missing);

const token = "a-token-of-the-tests";
const secret = personalValue("actor", "5a", "somebody.private@example.com");

let redis: RedisServer;
let proxy: Proxy;
beforeAll(async () => {
  if (missing !== null) return;
  redis = await startRedis();
  proxy = await startProxy({ port: redis.port, token });
});
afterAll(async () => {
  if (missing !== null) return;
  await proxy.close();
  await redis.stop();
});
beforeEach(() => {
  if (missing === null) proxy.fault = () => null;
});

const quickly = { retry: false } as const;
const serviceOf = ({ url }: Proxy, { port }: RedisServer) => ({ url, token, port });
const clientTo = (options: Parameters<typeof clientOf>[1] = {}, through = proxy, server = redis) =>
  clientOf(serviceOf(through, server), options);
const storeTo = (options: Parameters<typeof clientOf>[1] = {}, through = proxy, server = redis): GovernanceStore =>
  upstashStore({ client: clientTo(options, through, server) });

/** The scripts are in Redis already, and an experiment with them. */
const started = async (store: GovernanceStore): Promise<{ readonly ref: ExperimentRef; readonly base: Base }> => {
  const ref = freshRef();
  const commit = creation(ref);
  expect(await store.commit(ref, commit)).toEqual({ ok: true });
  return { ref, base: after(commit) };
};

/** The next requests meet these, one after another. */
const faults = (...wanted: readonly Fault[]): void => {
  const left = [...wanted];
  proxy.fault = () => left.shift() ?? null;
};

/** Everything that a log would show of an error. */
const everythingOf = (error: unknown): string =>
  error instanceof Error
    ? `${error.stack ?? ""} ${JSON.stringify(error)} ${everythingOf(error.cause)}`
    : JSON.stringify(error ?? null);

describe("round trips", () => {
  test("are one for a commit, and one for a load", async () => {
    const store = storeTo();
    const { ref, base } = await started(store);
    const counted = async (work: () => Promise<unknown>): Promise<number> => {
      const before = proxy.requests();
      await work();
      return proxy.requests() - before;
    };
    await store.load(ref);
    const commit = next(base, {
      take: ["surface:a"],
      release: ["surface:b"],
      receipt: receipt("key"),
      personal: [secret],
    });
    expect(await counted(() => store.commit(ref, commit))).toBe(1);
    expect(await counted(() => store.load(ref, { receipt: "key", actor: secret.value }))).toBe(1);
    expect(await counted(() => store.history(ref))).toBeLessThanOrEqual(2);
  });

  test("are two when Redis has forgotten the script", async () => {
    const store = storeTo();
    const { ref, base } = await started(store);
    await commandTo(serviceOf(proxy, redis))("SCRIPT", "FLUSH");
    const before = proxy.requests();
    expect(await store.commit(ref, next(base))).toEqual({ ok: true });
    expect(proxy.requests() - before).toBe(2);
    expect((await store.load(ref))?.head.seq).toBe(3);
  });

  test("do the same work however long the history and however full the scope", async () => {
    const store = storeTo();
    const command = commandTo(serviceOf(proxy, redis));
    /** Commands that Redis ran for a commit and a load, those inside the scripts included. */
    const work = async (ref: ExperimentRef, base: Base): Promise<{ base: Base; stats: string }> => {
      const commit = next(base, { take: ["token"], receipt: receipt(crypto.randomUUID()) });
      await command("CONFIG", "RESETSTAT");
      await store.commit(ref, commit);
      await store.load(ref);
      const stats = String(await command("INFO", "commandstats"));
      const calls = [...stats.matchAll(/cmdstat_(\w+):calls=(\d+)/g)].filter(
        ([, name]) => !/config|info/.test(name ?? ""),
      );
      return {
        base: after(commit),
        stats: calls
          .map(([, name, count]) => `${name} ${count}`)
          .toSorted()
          .join(),
      };
    };
    const { ref, base } = await started(store);
    const first = await work(ref, base);
    const young = await work(ref, first.base);
    let last = young.base;
    for (let round = 0; round < 20; round += 1) {
      const commit = denial(last, { drafts: Array.from({ length: 100 }, () => denied()) });
      expect(await store.commit(ref, commit)).toEqual({ ok: true });
      last = after(commit, last);
    }
    const others = Array.from({ length: 200 }, (_, index) => ({ ...ref, experiment: `other-${index}` }));
    await Promise.all(others.map((other) => store.commit(other, creation(other))));
    const old = await work(ref, last);
    expect(old.base.head.seq).toBeGreaterThan(2_000);
    expect(young.stats).toContain("evalsha 2");
    expect(old.stats).toBe(young.stats);
  });
});

describe("a lost connection in the middle of a commit", () => {
  test.each<{ name: string; lost: readonly Fault[]; tries?: number }>([
    { name: "before it was done", lost: ["before"] },
    { name: "after it was done", lost: ["after"] },
    { name: "behind a gateway that answers for Redis", lost: ["not json"] },
    { name: "with a database that is being moved", lost: ["unavailable"] },
  ])("$name: is called again, and has one effect", async ({ lost }) => {
    const store = storeTo(quickly);
    const { ref, base } = await started(store);
    const commit = next(base, { take: ["token"], receipt: receipt("key"), personal: [secret] });
    faults(...lost);
    expect(await store.commit(ref, commit)).toEqual({ ok: true });
    const { history, loaded } = await observe(store, ref, { receipt: "key" });
    expect(history).toHaveLength(3);
    expectValid(history);
    expect(loaded?.receipt).toEqual(commit.receipt);
  });

  test.each<{ name: string; fault: Fault; length: number }>([
    { name: "nothing gets there", fault: "before", length: 2 },
    { name: "every answer is lost", fault: "after", length: 3 },
  ])("for good, where $name: is said so, and a later call finds out", async ({ fault, length }) => {
    const store = storeTo(quickly);
    const { ref, base } = await started(store);
    const commit = next(base, { take: ["token"], receipt: receipt("key"), personal: [secret] });
    proxy.fault = () => fault;
    await expect(store.commit(ref, commit)).rejects.toMatchObject({
      code: "store-unavailable",
      message: "the store could not say what became of the commit",
    });
    proxy.fault = () => null;
    expect(await wholeHistory(store, ref)).toHaveLength(length);
    expect(await store.commit(ref, commit)).toEqual({ ok: true });
    const following = next(after(commit));
    expect(await store.commit(ref, following)).toEqual({ ok: true });
    // However late: what comes again from a queue or another process finds itself in place.
    expect(await store.commit(ref, commit)).toEqual({ ok: true });
    expect(await wholeHistory(store, ref)).toHaveLength(4);
  });

  test("that carries many commits at once: each is made once", async () => {
    const store = storeTo(quickly);
    const refs = Array.from({ length: 20 }, () => freshRef());
    await started(store);
    for (const fault of ["before", "after"] as const) {
      const commits: readonly (readonly [ExperimentRef, Commit])[] = refs.map((ref) => [
        { ...ref, environment: fault },
        creation({ ...ref, environment: fault }),
      ]);
      faults(fault);
      const results = await Promise.all(commits.map(([ref, commit]) => store.commit(ref, commit)));
      expect(results).toEqual(refs.map(() => ({ ok: true })));
      for (const [ref] of commits) expect(await wholeHistory(store, ref)).toHaveLength(2);
    }
  });

  test("with Redis itself gone: unavailable, and all there when it is back", async () => {
    const folder = await mkdtemp(join(tmpdir(), "proviso-redis-"));
    const durable = ["--appendonly", "yes", "--appendfsync", "always", "--dir", folder];
    let own = await startRedis(durable);
    const through = await startProxy({ port: own.port, token });
    try {
      const store = storeTo(quickly, through, own);
      const { ref, base } = await started(store);
      await own.stop();
      const commit = next(base, { receipt: receipt("key") });
      await expect(store.commit(ref, commit)).rejects.toMatchObject({ code: "store-unavailable" });
      await expect(store.load(ref)).rejects.toMatchObject({ code: "store-unavailable" });
      await expect(store.check()).rejects.toMatchObject({ code: "store-unavailable" });
      own = await startRedis(durable, own);
      await vi.waitFor(() => store.check(), { timeout: 10_000 });
      expect((await store.load(ref))?.head).toEqual(base.head);
      expect(await store.commit(ref, commit)).toEqual({ ok: true });
      expect(await wholeHistory(store, ref)).toHaveLength(3);
    } finally {
      await through.close();
      await own.stop();
      await rm(folder, { recursive: true, force: true });
    }
  });
});

describe("errors", () => {
  test.each<{ name: string; fault: Fault }>([
    { name: "of the connection", fault: "before" },
    { name: "of a gateway", fault: "not json" },
    { name: "of Upstash", fault: "unavailable" },
  ])("$name show neither what was written nor the token", async ({ fault }) => {
    const store = storeTo(quickly);
    const { ref, base } = await started(store);
    proxy.fault = () => fault;
    const commit = next(base, { personal: [secret], receipt: receipt("key", undefined, "a private answer") });
    const error: unknown = await store.commit(ref, commit).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: "store-unavailable" });
    const shown = everythingOf(error);
    expect(shown.length).toBeGreaterThan(100);
    for (const hidden of [secret.value, "a private answer", token]) expect(shown).not.toContain(hidden);
  });

  test("of a wrong token say that it is wrong, and not which it was", async () => {
    const store = upstashStore({ client: clientOf({ url: proxy.url, token: "stolen", port: redis.port }, quickly) });
    const error: unknown = await store.load(freshRef(), { actor: secret.value }).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: "store-unavailable" });
    expect(everythingOf(error)).toContain("WRONGPASS");
    for (const hidden of [secret.value, "stolen"]) expect(everythingOf(error)).not.toContain(hidden);
  });

  test("of a client that was told to stop are no answers", async () => {
    const { ref, base } = await started(storeTo());
    const stopped = new AbortController();
    stopped.abort("=ok");
    // The client makes an answer of the reason, with status 200.
    const store = storeTo({ ...quickly, signal: stopped.signal });
    await expect(store.commit(ref, next(base))).rejects.toMatchObject({ code: "store-unavailable" });
    await expect(store.load(ref)).rejects.toMatchObject({ code: "store-unavailable" });
    expect(await wholeHistory(storeTo(), ref)).toHaveLength(2);
  });
});

describe("the client's options", () => {
  test.each([
    { responseEncoding: false },
    { automaticDeserialization: false },
    { automaticDeserialization: false, responseEncoding: false },
    { enableAutoPipelining: false },
    { readYourWrites: false },
  ] as const)("%o change nothing", async (options) => {
    const store = storeTo(options);
    const ref = freshRef('{"a":1}');
    const hostile = ["1", "1.0", "true", "null", "[1]", '{"a":1}', "\uFEFFtext", "OK", "-", "=", "T0s="];
    const answers = hostile.map((text, index) => receipt(`key ${index}`, undefined, text));
    let base: Base | undefined;
    for (const stored of answers) {
      const commit: Commit =
        base === undefined
          ? creation(ref, { receipt: stored, configuration: configuration({ salt: stored.answer }) })
          : next(base, { receipt: stored, personal: [personalValue("text", "00", stored.answer)] });
      expect(await store.commit(ref, commit)).toEqual({ ok: true });
      base = after(commit, base);
    }
    for (const stored of answers) expect((await store.load(ref, { receipt: stored.key }))?.receipt).toEqual(stored);
    const { values } = await store.personal(ref);
    expect(values.map(({ value }) => value)).toEqual(expect.arrayContaining(hostile.slice(1)));
    expectValid(await wholeHistory(store, ref));
  });
});

describe("all or nothing", () => {
  const command = (...words: readonly string[]): Promise<unknown> => commandTo(serviceOf(proxy, redis))(...words);

  const Texts = v.array(v.string());
  /** Every key of an experiment's tenant, with what is in it, in an order of its own. */
  const contents = async ({ tenant }: ExperimentRef): Promise<ReadonlyMap<string, unknown>> => {
    const keys = v.parse(Texts, await command("KEYS", `*${tenant}*`));
    const read: Readonly<Record<string, (key: string) => Promise<unknown>>> = {
      hash: async (key) => {
        const fields = v.parse(Texts, await command("HKEYS", key)).toSorted();
        return Promise.all(fields.map(async (field) => [field, await command("HGET", key, field)]));
      },
      zset: (key) => command("ZRANGE", key, "0", "-1", "WITHSCORES"),
      string: (key) => command("GET", key),
    };
    const entries = keys.toSorted().map(async (key): Promise<[string, unknown]> => {
      const type = String(await command("TYPE", key));
      return [key, await read[type]?.(key)];
    });
    return new Map(await Promise.all(entries));
  };

  const held = async (): Promise<{ ref: ExperimentRef; base: Base }> => {
    const { ref, base } = await started(storeTo());
    const commit = next(base, { take: ["held"], receipt: receipt("before"), change: { lifecycle: "Paused" } });
    expect(await storeTo().commit(ref, commit)).toEqual({ ok: true });
    return { ref, base: after(commit) };
  };

  const everything = (base: Base): Commit => {
    const drafts = [versionWritten(2), transitioned(secret), denied()];
    const text = canonicalJson({ gates: [], policies: [] });
    return {
      ...next(base, {
        drafts,
        change: { lifecycle: "Running" },
        take: ["free"],
        release: ["held"],
        receipt: receipt("key"),
        personal: [secret],
      }),
      rules: [{ digest: sha256Hex(text), text }],
    };
  };

  /** Redis undoes nothing by itself. A key of another type stops the script where it first needs that key. */
  test.each(["types", "versions", "personal", "refs", "actors", "receipts", "expiries", "rules", "digests"])(
    "also when Redis refuses to touch %s",
    async (kind) => {
      const { ref, base } = await held();
      const key = `proviso:{${ref.tenant}:test}:experiment:${ref.experiment}:${kind}`;
      await command("RENAME", key, `${key}-aside`).catch(() => undefined);
      await command("SET", key, "in the way");
      const before = await contents(ref);
      const error: unknown = await storeTo(quickly)
        .commit(ref, everything(base))
        .catch((reason: unknown) => reason);
      expect(error).toMatchObject({
        code: "store-unavailable",
        message: "the store could not write the commit, and wrote nothing of it",
      });
      expect(everythingOf(error)).toContain("WRONGTYPE");
      expect(everythingOf(error)).not.toContain(secret.value);
      expect(await contents(ref)).toEqual(before);
      await command("DEL", key);
      await command("RENAME", `${key}-aside`, key).catch(() => undefined);
      expect(await storeTo().commit(ref, everything(base))).toEqual({ ok: true });
      expect(await contents(ref)).not.toEqual(before);
    },
  );

  test("also when it stops at the very end, with the list of the scope", async () => {
    const { ref, base } = await held();
    const key = `proviso:{${ref.tenant}:test}:list`;
    await command("RENAME", key, `${key}-aside`);
    await command("SET", key, "in the way");
    const before = await contents(ref);
    await expect(storeTo(quickly).commit(ref, everything(base))).rejects.toMatchObject({ code: "store-unavailable" });
    expect(await contents(ref)).toEqual(before);
    await command("RENAME", `${key}-aside`, key);
    expect(await storeTo().commit(ref, everything(base))).toEqual({ ok: true });
    expect(await wholeList(storeTo(), ref, { states: ["Running"] })).toEqual([ref.experiment]);
    expect(await wholeList(storeTo(), ref, { states: ["Paused"] })).toEqual([]);
  });

  test("also for a user of the database who may not run one of the commands", async () => {
    const { ref, base } = await held();
    await command("ACL", "SETUSER", "no-lists", "on", ">word", "~*", "+@all", "-zadd");
    const through = await startProxy({ port: redis.port, token, user: { name: "no-lists", password: "word" } });
    try {
      const before = await contents(ref);
      const error: unknown = await storeTo(quickly, through)
        .commit(ref, everything(base))
        .catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: "store-unavailable" });
      expect(everythingOf(error)).toContain("can't run this command");
      expect(await contents(ref)).toEqual(before);
    } finally {
      await through.close();
    }
  });

  test("and where nothing can be undone, nothing is said to be done", async () => {
    const { ref, base } = await held();
    await command("ACL", "SETUSER", "no-undo", "on", ">word", "~*", "+@all", "-zadd", "-hdel");
    const through = await startProxy({ port: redis.port, token, user: { name: "no-undo", password: "word" } });
    try {
      const commit = everything(base);
      const before = await storeTo().load(ref);
      await expect(storeTo(quickly, through).commit(ref, commit)).rejects.toMatchObject({ code: "store-unavailable" });
      await expect(storeTo().commit(ref, commit)).rejects.toThrow("somebody changed it");
      expect(await storeTo().load(ref)).toEqual(before);
      expect(await wholeHistory(storeTo(), ref)).toHaveLength(base.head.seq);
    } finally {
      await through.close();
    }
  });
});

describe("keys", () => {
  test("of a scope share a slot, and no script touches one that it was not given", async () => {
    const store = storeTo();
    const hostile = { tenant: "a:b{c}%/", environment: "}{", experiment: "x}:events:0" };
    const ref = { ...hostile, tenant: `${hostile.tenant}${crypto.randomUUID()}` };
    const watcher = new ioredis.Redis({ port: redis.port, protocol: 2, enableReadyCheck: false });
    const monitor = await watcher.monitor();
    const seen: (readonly [source: string, words: readonly string[]])[] = [];
    monitor.on("monitor", (_time: string, words: string[], source: string) => seen.push([source, words]));
    const created = creation(ref, { receipt: receipt("key"), take: ["surface:home"], personal: [secret] });
    const second = next(after(created), { drafts: [versionWritten(2), denied()], release: ["surface:home"] });
    expect(await store.commit(ref, created)).toEqual({ ok: true });
    expect(await store.commit(ref, second)).toEqual({ ok: true });
    await store.load(ref, { receipt: "key", actor: secret.value });
    await store.history(ref);
    await store.history(ref, { types: ["Created", "VersionWritten"] });
    await store.history(ref, { version: 2 });
    await store.list(ref);
    await store.list(ref, { states: ["Draft"] });
    await store.list(ref, { surface: "home" });
    await store.rules(ref);
    await store.personal(ref);
    await store.advance(ref, "webhook", 2);
    await store.positions(ref);
    await store.personal(ref, { refs: [secret.ref] });
    await store.erase(ref, [secret.ref]);
    await store.sweep(ref, later(90));
    expect(await store.archive(ref, checkpointAt(after(second).head))).toBe(true);
    await store.checkpoint(ref);
    await watcher.ping();
    monitor.disconnect();
    watcher.disconnect();

    let given: readonly string[] = [];
    const touched: string[] = [];
    const foreign: string[] = [];
    // What Redis takes as the hash tag: from the first brace to the first that closes.
    const tags = new Set<string>();
    for (const [source, [name = "", ...words]] of seen) {
      if (/^eval(sha)?$/i.test(name)) {
        given = words.slice(2, 2 + Number(words[1]));
        for (const key of given) tags.add(key.slice(key.indexOf("{") + 1, key.indexOf("}")));
      }
      if (source !== "lua") continue;
      const keys = name.toUpperCase() === "DEL" ? words : words.slice(0, 1);
      touched.push(...keys);
      foreign.push(...keys.filter((key) => !given.includes(key)));
    }
    expect(touched.length).toBeGreaterThan(50);
    expect(foreign).toEqual([]);
    expect([...tags]).toHaveLength(1);
  });

  test("of two deployments in one database are apart", async () => {
    const ref = freshRef();
    const [one, other] = ["one", "other"].map((prefix) => upstashStore({ client: clientTo(), prefix }));
    const commit = creation(ref);
    expect(await one?.commit(ref, commit)).toEqual({ ok: true });
    expect(await other?.load(ref)).toBeNull();
    expect(await other?.list(ref)).toEqual({ items: [], next: null });
    expect(await other?.commit(ref, commit)).toEqual({ ok: true });
  });

  test("of receipts alone have an end, and a whole one", async () => {
    const store = storeTo();
    const command = commandTo(serviceOf(proxy, redis));
    const { ref, base } = await started(store);
    const first = next(base, { receipt: receipt("long", later(600)) });
    const second = next(after(first), { receipt: receipt("short", later(1)) });
    expect(await store.commit(ref, first)).toEqual({ ok: true });
    expect(await store.commit(ref, second)).toEqual({ ok: true });
    const keys = v.parse(v.array(v.string()), await command("KEYS", `*${ref.tenant}*`));
    const ends = await Promise.all(
      keys.map(async (key) => [key.split(":").at(-1), Number(await command("PTTL", key))] as const),
    );
    const ending = ends.filter(([, ms]) => ms >= 0);
    expect(new Set(ending.map(([kind]) => kind))).toEqual(new Set(["expiries", "receipts"]));
    for (const [, ms] of ending) expect(Math.abs(ms - 600 * 60_000)).toBeLessThan(60_000);
    // Those that have ended go with the next one, also while the key lives.
    const third = next(after(second), {
      drafts: [transitioned(undefined, later(5))],
      receipt: receipt("last", later(9)),
    });
    expect(await store.commit(ref, third)).toEqual({ ok: true });
    const receiptsKey = keys.find((key) => key.endsWith(":receipts")) ?? "";
    expect(v.parse(v.array(v.string()), await command("HKEYS", receiptsKey)).toSorted()).toEqual(["last", "long"]);
  });
});

describe("a history of several keys", () => {
  test("is read over their seams, and loses whole keys when it is archived", async () => {
    const store = storeTo();
    const { ref, base } = await started(store);
    let last = base;
    while (last.head.seq < 600) {
      const commit = denial(last, { drafts: Array.from({ length: 46 }, () => denied()) });
      expect(await store.commit(ref, commit)).toEqual({ ok: true });
      last = after(commit, last);
    }
    const history = await wholeHistory(store, ref, { limit: 100 });
    expect(history).toHaveLength(600);
    expectValid(history);
    const segments = async () =>
      v
        .parse(v.array(v.string()), await commandTo(serviceOf(proxy, redis))("KEYS", `*${ref.tenant}*:events:*`))
        .map((key) => Number(key.split(":").at(-1)));
    expect(new Set(await segments())).toEqual(new Set([0, 1, 2]));
    for (const [seq, left] of [
      [200, [0, 1, 2]],
      [256, [0, 1, 2]],
      [257, [1, 2]],
      [600, [2]],
    ] as const) {
      const event = history[seq - 1];
      expect(await store.archive(ref, checkpointAt({ seq, hash: event?.hash ?? "" }))).toBe(true);
      expect(new Set(await segments())).toEqual(new Set(left));
      expect(await wholeHistory(store, ref, { limit: 70 })).toEqual(history.slice(seq - 1));
      expect(await wholeHistory(store, ref, { types: ["ChangeDenied"], limit: 70 })).toEqual(history.slice(seq - 1));
    }
    expect(await store.commit(ref, denial(last))).toEqual({ ok: true });
  });
});

describe("what is too much for one request or answer", () => {
  const long = (index: number) => versionWritten(index, configuration({ salt: `${index}`.padEnd(700_000, "x") }));

  test("is refused before anything is written", async () => {
    const store = storeTo();
    const { ref, base } = await started(store);
    const drafts = Array.from({ length: 16 }, (_, index) => long(index + 2));
    await expect(store.commit(ref, next(base, { drafts }))).rejects.toMatchObject({
      code: "invalid-request",
      details: { errors: [{ path: "" }] },
    });
    expect(await wholeHistory(store, ref)).toHaveLength(2);
  });

  test("comes in shorter pages, and whole", async () => {
    const store = storeTo();
    const scope = freshScope();
    const names = Array.from({ length: 12 }, (_, index) => `e${String(index).padStart(2, "0")}`);
    for (const experiment of names) {
      const ref = { ...scope, experiment };
      const written = configuration({ salt: experiment.padEnd(700_000, "x") });
      const latest = { version: 1, digest: "d", configuration: written };
      expect(await store.commit(ref, creation(ref, { change: { latest } }))).toEqual({ ok: true });
    }
    const page = await store.list(scope);
    expect(page.items.length).toBeLessThan(12);
    expect(await wholeList(store, scope)).toEqual(names);

    const ref = { ...scope, experiment: "e00" };
    let base = after(creation(ref));
    const loaded = await store.load(ref);
    if (loaded !== null) base = loaded;
    for (let version = 2; version < 14; version += 1) {
      const commit = denial(base, { drafts: [long(version)] });
      expect(await store.commit(ref, commit)).toEqual({ ok: true });
      base = after(commit, base);
    }
    const first = await store.history(ref, { types: ["VersionWritten"] });
    expect(first.events.length).toBeLessThan(13);
    expect(first.next).toBe(first.events.at(-1)?.seq);
    expect(await wholeHistory(store, ref)).toHaveLength(14);
    expect(await wholeHistory(store, ref, { types: ["VersionWritten"] })).toHaveLength(13);
    expect(await wholeHistory(store, ref, { types: ["VersionWritten", "Created"], limit: 5 })).toHaveLength(14);

    const answers = Array.from({ length: 10 }, (_, index) => receipt(`key ${index}`, later(60), "x".repeat(700_000)));
    for (const one of answers) await store.keepReceipts(ref, [one]);
    const kept = await store.receipts(ref);
    expect(kept.receipts.length).toBeLessThan(10);
    const rest = await store.receipts(ref, { after: kept.next ?? "" });
    expect([...kept.receipts, ...rest.receipts]).toEqual(answers);
    expect(rest.next).toBeNull();
  });
});

describe("reading what another isolate wrote", () => {
  test("sees it, while a replica is behind", async () => {
    const follower = await startRedis(["--replicaof", "127.0.0.1", String(redis.port)]);
    const through = await startProxy({ port: redis.port, token, replicaPort: follower.port });
    const replica = new ioredis.Redis({ port: follower.port, protocol: 2 });
    try {
      const [one, other] = [storeTo({}, through), storeTo({}, through)];
      const { ref, base } = await started(one);
      const plain = () => commandTo(serviceOf(through, redis))("GET", `plain-${ref.tenant}`);
      await commandTo(serviceOf(through, redis))("SET", `plain-${ref.tenant}`, "before");
      await expect.poll(plain, { timeout: 10_000 }).toBe("before");
      // From here on the replica hears nothing.
      await replica.call("REPLICAOF", "NO", "ONE");
      await commandTo(serviceOf(through, redis))("SET", `plain-${ref.tenant}`, "after");
      expect(await plain()).toBe("before");

      const commit = next(base, { change: { lifecycle: "Running" }, receipt: receipt("key"), take: ["surface:home"] });
      expect(await one.commit(ref, commit)).toEqual({ ok: true });
      expect(await other.load(ref, { receipt: "key" })).toMatchObject({
        head: after(commit).head,
        receipt: commit.receipt,
      });
      expect(await wholeHistory(other, ref)).toHaveLength(3);
      expect(await wholeList(other, ref, { states: ["Running"] })).toEqual([ref.experiment]);
      expect(await wholeList(other, ref, { surface: "home" })).toEqual([ref.experiment]);
    } finally {
      replica.disconnect();
      await through.close();
      await follower.stop();
    }
  });
});

describe("eviction", () => {
  const checked = async (options: readonly string[], user?: readonly string[]): Promise<unknown> => {
    const own = await startRedis(options);
    try {
      if (user !== undefined) {
        const operator = new ioredis.Redis({ port: own.port, protocol: 2 });
        await operator.call("ACL", "SETUSER", "guest", "on", ">word", "~*", "+@all", ...user);
        operator.disconnect();
      }
      const as = user === undefined ? {} : { user: { name: "guest", password: "word" } };
      const through = await startProxy({ port: own.port, token, ...as });
      try {
        return await storeTo(quickly, through, own)
          .check()
          .catch((error: unknown) => error);
      } finally {
        await through.close();
      }
    } finally {
      await own.stop();
    }
  };

  test("that is off is as it must be", async () => {
    expect(await checked([])).toBeUndefined();
  });

  test.each(["allkeys-lru", "allkeys-random", "volatile-ttl", "volatile-lru"])("of %s is refused", async (policy) => {
    const error = await checked(["--maxmemory-policy", policy]);
    expect(error).toMatchObject({ code: "store-unavailable" });
    expect(everythingOf(error)).toContain(policy);
  });

  test("that nobody may ask about is said to be unknown", async () => {
    const said: unknown = await checked(["--maxmemory-policy", "allkeys-lru"], ["-info"]);
    expect(said).toHaveLength(1);
    expect(String(said)).toContain("eviction");
  });
});
