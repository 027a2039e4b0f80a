/** The Worker that `bench/stores/` measures: each store beside the same statements sent raw to the same engine. */
import { DurableObject } from "cloudflare:workers";
import { d1Store } from "../../adapters/store/d1.ts";
import {
  answering,
  durableObjectStore,
  type History,
  type HistoryStub,
  openHistory,
} from "../../adapters/store/durable-object.ts";
import {
  type Holding,
  type HoldingQuestion,
  openRegistry,
  type Registry,
  type Report,
  type StandingQuestion,
} from "../../adapters/store/durable-object-registry.ts";
import {
  commitQueries,
  headQuery,
  type Query,
  snapshotPeopleQuery,
  snapshotQuery,
} from "../../adapters/store/sqlite.ts";
import { sqliteMigrations } from "../../adapters/store/sqlite-migrations.ts";
import { splitStatements } from "../../adapters/store/migrate.ts";
import { storableCommit } from "../../src/governance/storable-commit.ts";
import type { Commit, GovernanceStore } from "../../src/governance/store.ts";
import { type ExperimentRef, refKey, scopeKey } from "../../src/scope.ts";
import { after, type Base, creation } from "../../test/support/governance.ts";
import type { ObjectNamespace } from "../../worker/env.ts";
import { chainOf, crowd, expectOk, growth } from "../stores/histories.ts";

type ExperimentStub = HistoryStub & {
  holding(question: HoldingQuestion): Promise<Holding>;
  standing(question: StandingQuestion): Promise<Report>;
};

interface Env {
  readonly DB: D1Database;
  readonly EXPERIMENTS: ObjectNamespace<ExperimentStub>;
  readonly REGISTRIES: ObjectNamespace<Registry>;
  readonly RAW: DurableObjectNamespace<RawObject>;
}

const unheard = (error: unknown): void => {
  throw new Error("the benchmark failed", { cause: error });
};

export class HistoryObject extends DurableObject<Env> {
  readonly #history: History;

  constructor(context: DurableObjectState, env: Env) {
    super(context, env);
    this.#history = openHistory({
      storage: context.storage,
      registry: (scope) => env.REGISTRIES.getByName(scopeKey(scope)),
      id: () => crypto.randomUUID(),
      // As the product's alarms: one that is set stays.
      wake: async () => {
        if ((await context.storage.getAlarm()) === null) await context.storage.setAlarm(Date.now() + 600_000);
      },
      report: unheard,
    });
  }

  override async alarm(): Promise<void> {
    // Nothing that is measured comes to it.
  }

  load(...args: Parameters<HistoryStub["load"]>): ReturnType<HistoryStub["load"]> {
    return answering(() => this.#history.load(...args), unheard);
  }

  commit(...args: Parameters<HistoryStub["commit"]>): ReturnType<HistoryStub["commit"]> {
    return answering(() => this.#history.commit(...args), unheard);
  }

  holding(question: HoldingQuestion): Promise<Holding> {
    return this.#history.holding(question);
  }

  standing(question: StandingQuestion): Promise<Report> {
    return this.#history.standing(question);
  }
}

export class RegistryObject extends DurableObject<Env> {
  readonly #registry: Registry;

  constructor(context: DurableObjectState, env: Env) {
    super(context, env);
    const { EXPERIMENTS } = env;
    this.#registry = openOver(context, EXPERIMENTS);
  }

  reserve(...args: Parameters<Registry["reserve"]>): ReturnType<Registry["reserve"]> {
    return this.#registry.reserve(...args);
  }

  cancel(...args: Parameters<Registry["cancel"]>): ReturnType<Registry["cancel"]> {
    return this.#registry.cancel(...args);
  }

  mark(...args: Parameters<Registry["mark"]>): ReturnType<Registry["mark"]> {
    return this.#registry.mark(...args);
  }

  report(...args: Parameters<Registry["report"]>): ReturnType<Registry["report"]> {
    return this.#registry.report(...args);
  }

  list(...args: Parameters<Registry["list"]>): ReturnType<Registry["list"]> {
    return this.#registry.list(...args);
  }
}

const openOver = (context: DurableObjectState, experiments: Env["EXPERIMENTS"]): Registry =>
  openRegistry({
    storage: context.storage,
    holding: (question) => experiments.getByName(refKey(question.ref)).holding(question),
    standing: (question) => experiments.getByName(refKey(question.ref)).standing(question),
  });

/** A database inside an object that runs what it is sent, as one transaction. */
export class RawObject extends DurableObject<Env> {
  constructor(context: DurableObjectState, env: Env) {
    super(context, env);
    const { sql } = context.storage;
    if (sql.exec("SELECT 1 FROM sqlite_master WHERE name = 'events'").toArray().length > 0) return;
    for (const migration of sqliteMigrations) for (const one of splitStatements(migration.sql)) sql.exec(one);
  }

  run(queries: readonly Query[]): readonly unknown[] {
    return this.ctx.storage.transactionSync(() =>
      queries.map(([sql, ...values]) => this.ctx.storage.sql.exec(sql, ...values).toArray()),
    );
  }
}

interface Side {
  readonly commit: (ref: ExperimentRef, commit: Commit) => Promise<unknown>;
  readonly load: (ref: ExperimentRef) => Promise<unknown>;
}

const loadQueries = (ref: ExperimentRef): readonly Query[] => [
  snapshotQuery(ref),
  headQuery(ref),
  snapshotPeopleQuery(ref),
];

const storeSide = (store: GovernanceStore): Side => ({
  commit: (ref, commit) => expectOk(store, ref, commit),
  load: (ref) => store.load(ref),
});

/** What is sent is made beforehand: only sending it is measured. */
const rawSide = (
  send: (ref: ExperimentRef, queries: readonly Query[]) => Promise<unknown>,
  prepared: Map<Commit, readonly Query[]>,
): Side => ({
  commit: (ref, commit) => send(ref, prepared.get(commit) ?? []),
  load: (ref) => send(ref, loadQueries(ref)),
});

const sidesOf = (env: Env, engine: string, prepared: Map<Commit, readonly Query[]>): readonly [Side, Side] => {
  if (engine === "d1") {
    const batch = (_ref: ExperimentRef, queries: readonly Query[]) =>
      env.DB.batch(queries.map(([sql, ...values]) => env.DB.prepare(sql).bind(...values)));
    return [storeSide(d1Store({ database: env.DB })), rawSide(batch, prepared)];
  }
  const store = durableObjectStore({
    experiment: (ref) => env.EXPERIMENTS.getByName(refKey(ref)),
    registry: (scope) => env.REGISTRIES.getByName(scopeKey(scope)),
  });
  return [storeSide(store), rawSide((ref, queries) => env.RAW.getByName(refKey(ref)).run(queries), prepared)];
};

const twins = (experiment: string): readonly [ExperimentRef, ExperimentRef] => [
  { tenant: "product", environment: "bench", experiment },
  { tenant: "raw", environment: "bench", experiment },
];

/** Whether raw goes first. */
let flips = false;

/** Histories that have been grown, by engine and name, each as product and as raw. */
const bases = new Map<string, readonly [Base, Base]>();

const queriesOf = (ref: ExperimentRef, commit: Commit): readonly Query[] =>
  commitQueries(ref, storableCommit(ref, commit));

/** One experiment with so many events, for the product and beside it. */
const grow = async (env: Env, engine: string, name: string, length: number): Promise<void> => {
  const prepared = new Map<Commit, readonly Query[]>();
  const sides = sidesOf(env, engine, prepared);
  const reached: Base[] = [];
  for (const [index, ref] of twins(name).entries()) {
    const { commits, base } = growth(ref, length);
    for (const commit of commits) {
      prepared.set(commit, queriesOf(ref, commit));
      await sides[index]?.commit(ref, commit);
    }
    reached.push(base);
  }
  const [product, raw] = reached;
  if (product !== undefined && raw !== undefined) bases.set(`${engine}:${name}`, [product, raw]);
};

/** Other experiments of the product's scope; on objects their registry has them, as if each had reported. */
const addCrowd = async (env: Env, engine: string, from: number, count: number): Promise<void> => {
  const store = d1Store({ database: env.DB });
  const scope = { tenant: "product", environment: "bench" };
  await crowd(from, from + count, 20, async (experiment) => {
    const ref = { ...scope, experiment };
    const commit = creation(ref);
    if (engine === "d1") return expectOk(store, ref, commit);
    const { snapshot } = storableCommit(ref, commit);
    if (snapshot === null) throw new TypeError("a creation has a snapshot");
    const { lifecycle, revision, revisionHash, text: state } = snapshot;
    await env.REGISTRIES.getByName(scopeKey(scope)).report({
      ref,
      seq: 2,
      claimsSeq: 0,
      claims: null,
      snapshot: { lifecycle, revision, revisionHash, state },
      mark: null,
    });
  });
};

const timed = async (work: () => Promise<unknown>): Promise<number> => {
  const began = Date.now();
  await work();
  return Date.now() - began;
};

/** Operations before it is the other side's turn. */
const block = 10;

/**
 * Milliseconds of so many commits and of so many loads, product and raw in turns; which one goes first changes each time.
 * Everything is sealed and prepared beforehand.
 */
const measure = async (
  env: Env,
  engine: string,
  name: string,
  counts: { readonly commits: number; readonly loads: number },
): Promise<Readonly<Record<string, number>>> => {
  const prepared = new Map<Commit, readonly Query[]>();
  const sides = sidesOf(env, engine, prepared);
  const known = bases.get(`${engine}:${name}`);
  if (known === undefined) throw new TypeError("grow it first");
  const label = crypto.randomUUID();
  const times: Record<string, number> = {};
  const reached: Base[] = [];
  const works = twins(name).map((ref, index) => {
    const [side, base] = [sides[index], known[index]];
    if (side === undefined || base === undefined) throw new TypeError("two sides");
    const commits = chainOf(base, counts.commits, label);
    if (index === 1) for (const commit of commits) prepared.set(commit, queriesOf(ref, commit));
    const last = commits.at(-1);
    reached.push(last === undefined ? base : after(last, base));
    return { which: index === 0 ? "product" : "raw", side, ref, commits };
  });
  const add = async (key: string, work: () => Promise<unknown>): Promise<void> => {
    times[key] = (times[key] ?? 0) + (await timed(work));
  };
  const inOrder = flips ? works.toReversed() : works;
  flips = !flips;
  for (let start = 0; start < counts.commits; start += block)
    for (const { which, side, ref, commits } of inOrder)
      await add(`${which}Commit`, async () => {
        for (const commit of commits.slice(start, start + block)) await side.commit(ref, commit);
      });
  for (let start = 0; start < counts.loads; start += block)
    for (const { which, side, ref } of inOrder)
      await add(`${which}Load`, async () => {
        for (let n = start; n < Math.min(counts.loads, start + block); n += 1) await side.load(ref);
      });
  const [product, raw] = reached;
  if (product !== undefined && raw !== undefined) bases.set(`${engine}:${name}`, [product, raw]);
  return times;
};

const handler: ExportedHandler<Env> = {
  async fetch(request, env) {
    const { pathname, searchParams } = new URL(request.url);
    const engine = searchParams.get("engine") ?? "";
    const name = searchParams.get("name") ?? "";
    const number = (key: string): number => Number(searchParams.get(key));
    switch (pathname) {
      case "/grow":
        await grow(env, engine, name, number("length"));
        return Response.json({});
      case "/crowd":
        await addCrowd(env, engine, number("from"), number("count"));
        return Response.json({});
      case "/measure":
        return Response.json(await measure(env, engine, name, { commits: number("commits"), loads: number("loads") }));
      default:
        return new Response("unknown", { status: 404 });
    }
  },
};

export default handler;
