/** The Worker that `bench/stores/cloudflare.ts` measures: each store beside the same statements sent raw to the same engine. */
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
import { after, type Base, creation, denial, denied, next, receipt } from "../../test/support/governance.ts";
import type { ObjectNamespace } from "../../worker/env.ts";

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
  async commit(ref, commit) {
    const result = await store.commit(ref, commit);
    if (!result.ok) throw new Error(`refused: ${result.conflict}`);
  },
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

/** Histories that have been grown, by engine and name, each as product and as raw. */
const bases = new Map<string, readonly [Base, Base]>();

const queriesOf = (ref: ExperimentRef, commit: Commit): readonly Query[] =>
  commitQueries(ref, storableCommit(ref, commit));

/** One experiment with so many events, for the product and beside it. */
const grow = async (env: Env, engine: string, name: string, length: number): Promise<void> => {
  const prepared = new Map<Commit, readonly Query[]>();
  const sides = sidesOf(env, engine, prepared);
  const grown: Base[] = [];
  for (const [index, ref] of twins(name).entries()) {
    let commit = creation(ref);
    let base: Base = after(commit);
    for (;;) {
      prepared.set(commit, queriesOf(ref, commit));
      await sides[index]?.commit(ref, commit);
      if (base.head.seq >= length) break;
      const drafts = Array.from({ length: Math.min(100, length - base.head.seq) }, () => denied());
      commit = denial(base, { drafts });
      base = after(commit, base);
    }
    grown.push(base);
  }
  const [product, raw] = grown;
  if (product !== undefined && raw !== undefined) bases.set(`${engine}:${name}`, [product, raw]);
};

/** Other experiments of the product's scope; on objects their registry has them, as if each had reported. */
const crowd = async (env: Env, engine: string, from: number, count: number): Promise<void> => {
  const store = d1Store({ database: env.DB });
  const scope = { tenant: "product", environment: "bench" };
  const add = async (index: number): Promise<void> => {
    const ref = { ...scope, experiment: `other-${String(index).padStart(6, "0")}` };
    const commit = creation(ref);
    const { snapshot } = storableCommit(ref, commit);
    if (snapshot === null) throw new TypeError("a creation has a snapshot");
    if (engine === "d1") {
      await store.commit(ref, commit);
      return;
    }
    const { lifecycle, revision, revisionHash, text: state } = snapshot;
    await env.REGISTRIES.getByName(scopeKey(scope)).report({
      ref,
      seq: 2,
      claimsSeq: 0,
      claims: null,
      snapshot: { lifecycle, revision, revisionHash, state },
      mark: null,
    });
  };
  for (let start = from; start < from + count; start += 20)
    await Promise.all(Array.from({ length: Math.min(20, from + count - start) }, (_, offset) => add(start + offset)));
};

const timed = async (work: () => Promise<unknown>): Promise<number> => {
  const began = Date.now();
  await work();
  return Date.now() - began;
};

/** Milliseconds of so many commits and of so many loads, product and raw. Everything is sealed and prepared beforehand. */
const measure = async (
  env: Env,
  engine: string,
  name: string,
  count: number,
): Promise<Readonly<Record<string, number>>> => {
  const prepared = new Map<Commit, readonly Query[]>();
  const sides = sidesOf(env, engine, prepared);
  const known = bases.get(`${engine}:${name}`);
  if (known === undefined) throw new TypeError("grow it first");
  const times: Record<string, number> = {};
  const reached: Base[] = [];
  for (const [index, ref] of twins(name).entries()) {
    const [side, base] = [sides[index], known[index]];
    if (side === undefined || base === undefined) throw new TypeError("two sides");
    let last = base;
    const commits = Array.from({ length: count }, (_, n) => {
      const commit = next(last, {
        change: { lifecycle: n % 2 === 0 ? "Running" : "Paused" },
        receipt: receipt(crypto.randomUUID()),
      });
      last = after(commit);
      if (index === 1) prepared.set(commit, queriesOf(ref, commit));
      return commit;
    });
    reached.push(last);
    const which = index === 0 ? "product" : "raw";
    times[`${which}Commit`] = await timed(async () => {
      for (const commit of commits) await side.commit(ref, commit);
    });
    times[`${which}Load`] = await timed(async () => {
      for (let n = 0; n < count; n += 1) await side.load(ref);
    });
  }
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
        await crowd(env, engine, number("from"), number("count"));
        return Response.json({});
      case "/measure":
        return Response.json(await measure(env, engine, name, number("count")));
      default:
        return new Response("unknown", { status: 404 });
    }
  },
};

export default handler;
