/**
 * The Worker in this process, on embedded storage: the one place that says what `wrangler.toml` says, for Miniflare.
 * A test compares the two.
 */
import { readFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import type * as MiniflareModule from "miniflare";
import type { Log, Miniflare, MiniflareOptions } from "miniflare";
import { d1Store, type D1DatabaseLike } from "../adapters/store/d1.ts";
import { type MigratableDatabase, migrate } from "../adapters/store/migrate.ts";
import { sqliteMigrations } from "../adapters/store/sqlite-migrations.ts";
import { type Dsl, loadDsl } from "../src/config/index.ts";
import { CliFailure, messageOf } from "./failure.ts";
import { dependencyVersion, packageRoot } from "./package-root.ts";

export const bindings = {
  name: "proviso",
  compatibilityDate: "2026-10-01",
  compatibilityFlags: ["nodejs_compat"],
  database: { binding: "DB", name: "proviso" },
  migrations: "adapters/store/migrations",
  objects: [
    { binding: "EXPERIMENTS", className: "ExperimentObject" },
    { binding: "LEDGERS", className: "LedgerObject" },
    { binding: "REGISTRIES", className: "RegistryObject" },
    { binding: "SCOPES", className: "ScopeObject" },
  ],
  producers: [
    { binding: "EVENTS", queue: "proviso-events" },
    { binding: "DEAD_LETTERS", queue: "proviso-events-dead-letters" },
  ],
  consumer: {
    queue: "proviso-events",
    maxBatchSize: 100,
    maxRetries: 10,
    deadLetterQueue: "proviso-events-dead-letters",
  },
} as const;

/** Lets the Worker believe the development headers. Nothing but this file sets it; a deployment has no such binding. */
const developmentFlag = "PROVISO_DEVELOPMENT";

/** Seconds; a deployment waits longer to fill its batches, here a person waits for the numbers. */
const maxBatchTimeout = 0.1;

export type LogLevel = "error" | "warn" | "info";

export interface EmbeddedOptions {
  /** 0: a free one. */
  readonly port: number;
  /** Where the database and the objects keep their files. */
  readonly stateDirectory: string;
  readonly dslText: string;
  /** What `${NAME}` in the DSL may refer to; only names that the text mentions reach the Worker. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly onLog: (level: LogLevel, message: string) => void;
}

export interface EmbeddedWorker {
  /** Origin without a slash at the end, e.g. `http://127.0.0.1:8787`. */
  readonly url: string;
  /** Names of the migrations that this start applied to the database. */
  readonly migrated: readonly string[];
  /** Starts the Worker anew with another DSL, on the same port and storage. Messages still in the queue are lost. */
  reload(dslText: string): Promise<void>;
  stop(): Promise<void>;
}

const host = "127.0.0.1";

const distinct = (names: readonly string[]): readonly string[] => [...new Set(names)];

/** Bindings that a deployment has where its DSL names them; `wrangler.toml` shows each, commented out. */
export const optionalBindings = (
  dslText: string,
  environment: EmbeddedOptions["environment"],
): Readonly<Record<"namespaces" | "queues" | "buckets" | "datasets", readonly string[]>> => {
  const loaded = loadDsl(dslText, { file: "proviso.yaml", environment });
  if (!loaded.ok) return { namespaces: [], queues: [], buckets: [], datasets: [] };
  const { rules, audit } = loaded.value.governance;
  const { sinks } = loaded.value.dataPlane;
  return {
    namespaces: rules.kv === undefined ? [] : [rules.kv],
    queues: distinct([...audit, ...sinks].flatMap((sink) => (sink.type === "queue" ? [sink.queue] : []))),
    buckets: distinct(sinks.flatMap((sink) => ("bucket" in sink ? [sink.bucket] : []))),
    datasets: distinct(sinks.flatMap((sink) => ("dataset" in sink ? [sink.dataset] : []))),
  };
};

/** The secrets of those who are told of what happens, and of those who get events. */
const deliverySecrets = ({
  governance: { notices, audit, telemetry },
  dataPlane: { sinks },
}: Dsl): readonly (string | undefined)[] => [
  ...sinks.flatMap((sink) => ("authorizationSecret" in sink ? [sink.authorizationSecret] : [])),
  ...notices.map((notice) => (notice.type === "slack" ? notice.urlSecret : notice.secret)),
  ...audit.flatMap((sink) => (sink.type === "webhook" ? [sink.secret, sink.authorizationSecret] : [])),
  telemetry.traces?.authorizationSecret,
];

/** The secrets that the DSL names: of tokens or keys, of stores, and of who is told of what happens. */
const namedSecrets = (dslText: string, environment: EmbeddedOptions["environment"]): readonly string[] => {
  const loaded = loadDsl(dslText, { file: "proviso.yaml", environment });
  if (!loaded.ok) return [];
  const { auth, persistence, history } = loaded.value.governance;
  const told = deliverySecrets(loaded.value).filter((name) => name !== undefined);
  const stores = persistence.type === "mirror" ? [persistence.primary, ...persistence.followers] : [persistence];
  const keys = history.signing === undefined ? [] : [history.signing];
  const others = [...(auth.type === "development" ? [] : [auth]), ...stores, ...keys].flatMap((named) =>
    "secret" in named && named.secret !== undefined ? [named.secret] : [],
  );
  return [...others, ...told];
};

/** Values of the environment that the DSL mentions, and no others: they become bindings of the Worker. */
export const mentionedValues = (
  dslText: string,
  environment: EmbeddedOptions["environment"],
): Readonly<Record<string, string>> => {
  const reserved = new Set<string>([
    developmentFlag,
    bindings.database.binding,
    ...[...bindings.objects, ...bindings.producers].map(({ binding }) => binding),
    ...Object.values(optionalBindings(dslText, environment)).flat(),
  ]);
  const names = new Set([
    ...[...dslText.matchAll(/\$\{([A-Za-z_][A-Za-z0-9_]*)/g)].map((match) => match[1] ?? ""),
    ...namedSecrets(dslText, environment),
  ]);
  return Object.fromEntries(
    [...names].flatMap((name) => {
      const value = environment[name];
      return value === undefined || reserved.has(name) ? [] : [[name, value] as const];
    }),
  );
};

export const loadMiniflare = async (): Promise<typeof MiniflareModule> => {
  try {
    return await import("miniflare");
  } catch (cause) {
    throw new CliFailure(
      `the local Worker needs the package miniflare, which npm leaves out where it cannot run: npm install miniflare@${dependencyVersion("miniflare")}`,
      { cause },
    );
  }
};

const readWorker = async (): Promise<string> => {
  const path = join(packageRoot(), "dist", "worker.mjs");
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw new CliFailure(`the Worker is not built (${path} is missing): npm run build`, { cause });
  }
};

/** @throws ProvisoError when the database is of a newer version than this one */
const bringUp = async (database: MigratableDatabase & D1DatabaseLike): Promise<readonly string[]> => {
  const applied = await migrate(database, sqliteMigrations);
  await d1Store({ database }).check();
  return applied;
};

/**
 * Brings the embedded database up without starting the Worker.
 *
 * @returns the names of the migrations that were applied
 * @throws CliFailure when Miniflare is not installed, or the database is of a newer version
 */
export const migrateEmbedded = async (stateDirectory: string): Promise<readonly string[]> => {
  const library = await loadMiniflare();
  const started = keepingSignals(
    () =>
      new library.Miniflare(
        library.convertV4MiniflareOptions({
          name: bindings.name,
          modules: true,
          script: "",
          cf: false,
          resourcePersistencePath: stateDirectory,
          compatibilityDate: bindings.compatibilityDate,
          d1Databases: { [bindings.database.binding]: bindings.database.name },
        }),
      ),
  );
  try {
    return await bringUp(await started.getD1Database(bindings.database.binding));
  } catch (cause) {
    throw new CliFailure(`the database could not be brought up: ${messageOf(cause)}`, { cause });
  } finally {
    await started.dispose();
  }
};

/** Fails for a port that somebody has, with a sentence that says so. */
const assertFree = (port: number): Promise<void> =>
  new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", (cause: NodeJS.ErrnoException) => {
      const inUse = `port ${port} is taken: stop what listens there, or choose another one with PORT=…`;
      const why = cause.code === "EADDRINUSE" ? inUse : `port ${port} cannot be used: ${cause.message}`;
      reject(new CliFailure(why, { cause }));
    });
    server.listen(port, host, () => server.close(() => resolve()));
  });

const createLog = (miniflare: typeof MiniflareModule, onLog: EmbeddedOptions["onLog"]): Log =>
  new (class extends miniflare.Log {
    constructor() {
      super(miniflare.LogLevel.WARN);
    }
    protected override log(message: string): void {
      onLog("warn", message);
    }
  })();

const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/**
 * Miniflare answers a signal by ending the process there and then, before anything of ours has been put away. Its
 * listeners are taken back; its hook on `exit`, which ends the runtime, stays.
 */
const keepingSignals = <Result>(work: () => Result): Result => {
  const before = new Set(signals.flatMap((name) => process.listeners(name)));
  const result = work();
  for (const name of signals) {
    for (const listener of process.listeners(name)) if (!before.has(listener)) process.off(name, listener);
  }
  return result;
};

/**
 * Starts the Worker and applies the migrations. It answers when this resolves.
 *
 * @throws CliFailure when the port is taken, the Worker is not built or Miniflare is not installed
 */
export const startEmbedded = async (options: EmbeddedOptions): Promise<EmbeddedWorker> => {
  const { stateDirectory, environment, onLog } = options;
  const script = await readWorker();
  if (options.port !== 0) await assertFree(options.port);
  const library = await loadMiniflare();
  const log = createLog(library, onLog);
  const settingsFor = (dslText: string, port: number): MiniflareOptions => {
    const optional = optionalBindings(dslText, environment);
    return library.convertV4MiniflareOptions({
      host,
      port,
      cf: false,
      log,
      logRequests: false,
      handleStructuredLogs: ({ level, message }) =>
        onLog(level === "error" || level === "warn" ? level : "info", message),
      resourcePersistencePath: stateDirectory,
      name: bindings.name,
      modulesRoot: "/",
      modules: [
        { type: "ESModule", path: "/worker.mjs", contents: script },
        { type: "Text", path: "/proviso.yaml", contents: dslText },
      ],
      compatibilityDate: bindings.compatibilityDate,
      compatibilityFlags: [...bindings.compatibilityFlags],
      bindings: { ...mentionedValues(dslText, environment), [developmentFlag]: "true" },
      d1Databases: { [bindings.database.binding]: bindings.database.name },
      durableObjects: Object.fromEntries(
        bindings.objects.map(({ binding, className }) => [binding, { className, useSQLite: true }]),
      ),
      kvNamespaces: Object.fromEntries(optional.namespaces.map((binding) => [binding, binding.toLowerCase()])),
      r2Buckets: Object.fromEntries(optional.buckets.map((binding) => [binding, binding.toLowerCase()])),
      analyticsEngineDatasets: Object.fromEntries(
        optional.datasets.map((binding) => [binding, { dataset: binding.toLowerCase() }]),
      ),
      queueProducers: Object.fromEntries([
        ...bindings.producers.map(({ binding, queue }): [string, string] => [binding, queue]),
        ...optional.queues.map((binding): [string, string] => [binding, binding.toLowerCase()]),
      ]),
      queueConsumers: {
        [bindings.consumer.queue]: {
          maxBatchSize: bindings.consumer.maxBatchSize,
          maxBatchTimeout,
          maxRetries: bindings.consumer.maxRetries,
          deadLetterQueue: bindings.consumer.deadLetterQueue,
        },
      },
    });
  };
  let runtime: Miniflare | undefined;
  try {
    const started = keepingSignals(() => new library.Miniflare(settingsFor(options.dslText, options.port)));
    runtime = started;
    const url = await started.ready;
    const migrated = await bringUp(await started.getD1Database(bindings.database.binding));
    return {
      url: url.origin,
      migrated,
      reload: async (dslText) => {
        await started.setOptions(settingsFor(dslText, Number(url.port)));
        await started.ready;
      },
      stop: () => started.dispose(),
    };
  } catch (cause) {
    await runtime?.dispose().catch(() => undefined);
    throw new CliFailure(`the local Worker did not start: ${messageOf(cause)}`, { cause });
  }
};
