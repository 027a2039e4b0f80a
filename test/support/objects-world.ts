/**
 * Experiments' objects and their registry in one process, on real SQLite, with everything that can happen to messages and
 * to the objects themselves: a request or its answer is lost, a request arrives long after its sender has given up, an
 * object dies at any `await` and a new one wakes up on the same storage. Dying is dying: nothing of the old object runs on.
 */
import { DatabaseSync } from "node:sqlite";
import type { Holding, HoldingQuestion, Registry } from "../../adapters/store/durable-object-registry.ts";
import { openRegistry } from "../../adapters/store/durable-object-registry.ts";
import { type History, openHistory } from "../../adapters/store/durable-object.ts";
import type { ObjectStorage } from "../../adapters/store/object-storage.ts";
import type { Scope } from "../../src/scope.ts";

/** What can go wrong with one message. */
export const faults = [
  "requestLost",
  "requestLate",
  "answerLost",
  "callerDies",
  "callerDiesAnswered",
  "calleeDies",
  "calleeDiesDone",
] as const;
export type Fault = (typeof faults)[number];

export interface World {
  readonly scope: Scope;
  readonly history: (experiment: string) => Pick<History, "commit" | "load">;
  readonly registry: Registry;
  /** Steps that were taken so far: places where something can go wrong. */
  readonly steps: () => number;
  /** Rows of an experiment's own database, or (`null`) of the registry's. */
  readonly rows: (experiment: string | null, sql: string) => readonly Readonly<Record<string, unknown>>[];
  readonly experiments: () => readonly string[];
  /** Runs until everything that was started has come to an end, or can come to none. */
  readonly settle: () => Promise<void>;
  /** From here on nothing goes wrong. Alarms that were set ring. */
  readonly recover: () => Promise<void>;
}

export interface WorldOptions {
  readonly scope: Scope;
  /** What goes wrong at this step, if anything. */
  readonly fault: (step: number) => Fault | null;
  /** Which of so many waiting messages goes on next. */
  readonly pick: (count: number) => number;
  /** Called after every step: looks at what must hold at any moment. */
  readonly watch: (world: World) => void;
}

/** The storage of an object, in memory. */
export const openStorage = (): ObjectStorage & { readonly database: DatabaseSync } => {
  const database = new DatabaseSync(":memory:");
  return {
    database,
    sql: {
      exec(sql, ...bindings) {
        const rows = database.prepare(sql).all(...bindings);
        return { toArray: () => rows };
      },
    },
    transactionSync(closure) {
      database.exec("BEGIN");
      try {
        const result = closure();
        database.exec("COMMIT");
        return result;
      } catch (error) {
        database.exec("ROLLBACK");
        throw error;
      }
    },
  };
};

/** One life of an object. Whoever waits for it learns when it ends; it itself learns nothing. */
interface Life<Api> {
  alive: boolean;
  readonly api: Api;
  readonly dies: () => void;
  readonly death: Promise<never>;
}

const never = (): Promise<never> => new Promise(() => undefined);

export const objectsWorld = ({ scope, fault, pick, watch }: WorldOptions): World => {
  let step = 0;
  let faulty = true;
  let ids = 0;
  const waiting: (() => void)[] = [];
  const storages = new Map<string | null, ReturnType<typeof openStorage>>();
  const armed = new Set<string>();

  const storageOf = (name: string | null) => {
    const known = storages.get(name);
    if (known !== undefined) return known;
    const opened = openStorage();
    storages.set(name, opened);
    return opened;
  };

  const born = <Api>(make: (life: { readonly alive: boolean; readonly dies: () => void }) => Api): Life<Api> => {
    const { promise, reject } = Promise.withResolvers<never>();
    promise.catch(() => undefined);
    const life = {
      alive: true,
      death: promise,
      dies: (): void => {
        life.alive = false;
        reject(new Error("the object has died"));
      },
    };
    return Object.assign(life, { api: make(life) });
  };

  const turn = (): Promise<void> => new Promise((resolve) => waiting.push(resolve));
  const goesWrong = (): Fault | null => {
    step += 1;
    return faulty ? fault(step) : null;
  };

  /** A message from one object to another and back. `from` is null for a client that does not die. */
  const send = async <Api, Value>(
    from: { readonly alive: boolean; readonly dies: () => void } | null,
    to: () => Life<Api>,
    work: (api: Api) => Promise<Value>,
  ): Promise<Value> => {
    await turn();
    if (from !== null && !from.alive) return never();
    const wrong = goesWrong();
    if (wrong === "callerDies" && from !== null) {
      from.dies();
      return never();
    }
    if (wrong === "requestLost") throw new Error("the request was lost");
    if (wrong === "requestLate") {
      void (async () => {
        for (let turns = 0; turns < 12; turns += 1) await turn();
        await work(to().api).catch(() => undefined);
      })();
      throw new Error("no answer in time");
    }
    const callee = to();
    if (wrong === "calleeDies") {
      callee.dies();
      throw new Error("the object has died");
    }
    let value: Value;
    try {
      value = await Promise.race([work(callee.api), callee.death]);
    } finally {
      await turn();
      if (from !== null && !from.alive) await never();
    }
    if (wrong === "calleeDiesDone") {
      callee.dies();
      throw new Error("the object has died");
    }
    if (wrong === "answerLost") throw new Error("the answer was lost");
    if (wrong === "callerDiesAnswered" && from !== null) {
      from.dies();
      return never();
    }
    return value;
  };

  const historyLives = new Map<string, Life<History>>();
  const historyOf = (experiment: string): Life<History> => {
    const known = historyLives.get(experiment);
    if (known?.alive === true) return known;
    const storage = storageOf(experiment);
    const life = born<History>((self) =>
      openHistory({
        storage,
        registry: () => ({
          reserve: (reservation) => send(self, registryOf, (api) => api.reserve(reservation)),
          cancel: (reservation) => send(self, registryOf, (api) => api.cancel(reservation)),
          mark: (question) => send(self, registryOf, (api) => api.mark(question)),
          report: (report) => send(self, registryOf, (api) => api.report(report)),
          list: (where, query) => send(self, registryOf, (api) => api.list(where, query)),
        }),
        id: () => `attempt-${(ids += 1)}`,
        wake: async () => {
          armed.add(experiment);
          await turn();
          if (!self.alive) await never();
          if (goesWrong() === "callerDies") {
            self.dies();
            await never();
          }
        },
      }),
    );
    historyLives.set(experiment, life);
    return life;
  };

  let registryLife: Life<Registry> | null = null;
  const registryOf = (): Life<Registry> => {
    if (registryLife?.alive === true) return registryLife;
    const storage = storageOf(null);
    registryLife = born<Registry>((self) =>
      openRegistry({
        storage,
        holding: (question: HoldingQuestion): Promise<Holding> =>
          send(
            self,
            () => historyOf(question.ref.experiment),
            (api) => api.holding(question),
          ),
        standing: (question) =>
          send(
            self,
            () => historyOf(question.ref.experiment),
            (api) => api.standing(question),
          ),
      }),
    );
    return registryLife;
  };

  const settle = async (): Promise<void> => {
    for (;;) {
      await new Promise(setImmediate);
      const next = waiting.splice(pick(waiting.length), 1)[0];
      if (next === undefined) return;
      next();
      await new Promise(setImmediate);
      watch(world);
    }
  };

  const world: World = {
    scope,
    history: (experiment) => ({
      commit: (ref, commit) =>
        send(
          null,
          () => historyOf(experiment),
          (api) => api.commit(ref, commit),
        ),
      load: (ref) =>
        send(
          null,
          () => historyOf(experiment),
          (api) => api.load(ref),
        ),
    }),
    registry: {
      reserve: (reservation) => send(null, registryOf, (api) => api.reserve(reservation)),
      cancel: (reservation) => send(null, registryOf, (api) => api.cancel(reservation)),
      mark: (question) => send(null, registryOf, (api) => api.mark(question)),
      report: (report) => send(null, registryOf, (api) => api.report(report)),
      list: (where, query) => send(null, registryOf, (api) => api.list(where, query)),
    },
    steps: () => step,
    rows: (name, sql) => storageOf(name).database.prepare(sql).all(),
    experiments: () => [...historyLives.keys()],
    settle,
    async recover() {
      await settle();
      faulty = false;
      const ringing = [...armed].map((experiment) =>
        send(
          null,
          () => historyOf(experiment),
          (api) => api.catchUp({ ...scope, experiment }),
        ),
      );
      const done = Promise.all(ringing);
      done.catch(() => undefined);
      await settle();
      await done;
    },
  };
  return world;
};
