/** Puts the parts together. The only file that reads the environment's bindings. */
import { uuidv7 } from "uuidv7";
import { d1Store, type D1DatabaseLike } from "../adapters/store/d1.ts";
import { type Dsl, loadDsl, type LocatedError } from "../src/config/index.ts";
import { parseDuration } from "../src/duration.ts";
import { ProvisoError } from "../src/errors.ts";
import { plannedShares } from "../src/evaluation/allocation.ts";
import type { DataPlaneSettings } from "../src/evaluation/rule-set.ts";
import { writeDeclared } from "../src/governance/declared.ts";
import type { Telemetry } from "../src/governance/evidence.ts";
import type { Governor, GovernorOptions } from "../src/governance/governor.ts";
import type { GovernanceStore } from "../src/governance/store.ts";
import type { AppDependencies } from "../src/http/dependencies.ts";
import { developmentIdentity } from "../src/http/development-identity.ts";
import type { Identity } from "../src/http/identity.ts";
import { parseTokens, tokenIdentity } from "../src/http/token-identity.ts";
import { defaultScope, type ExperimentRef, refKey } from "../src/scope.ts";
import { ledgerFigures } from "../src/ledger/figures.ts";
import type { ConsumerDependencies } from "./consumer.ts";
import type { ExperimentStub, LedgerStub, WorkerEnv } from "./env.ts";
import { reportError } from "./report.ts";

export type ReadDsl =
  | { readonly ok: true; readonly dsl: Dsl }
  | { readonly ok: false; readonly errors: readonly LocatedError[] };

/** Reads the bundled text; `${NAME}` takes the values of the environment's variables and secrets. */
export const readDsl = (text: string, env: WorkerEnv): ReadDsl => {
  const variables = Object.fromEntries(
    Object.entries(env).filter((entry): entry is [string, string] => typeof entry[1] === "string"),
  );
  const loaded = loadDsl(text, { file: "proviso.yaml", environment: variables });
  return loaded.ok ? { ok: true, dsl: loaded.value } : { ok: false, errors: loaded.errors };
};

const isDatabase = (binding: unknown): binding is D1DatabaseLike =>
  typeof binding === "object" && binding !== null && "prepare" in binding && "batch" in binding;

const databaseOf = (env: WorkerEnv, name: string): D1DatabaseLike => {
  const binding: unknown = Reflect.get(env, name);
  if (isDatabase(binding)) return binding;
  throw new ProvisoError(
    "invalid-dsl",
    `governance.persistence.database names ${name}, which is not a D1 binding of this Worker`,
  );
};

/** Every experiment has its object; on the memory store one object has them all, because only it holds the memory. */
const objectName = (dsl: Dsl, ref: ExperimentRef): string =>
  dsl.governance.persistence.type === "memory" ? memoryObject : refKey(ref);

const memoryObject = "memory";

export const storeOf = (env: WorkerEnv, dsl: Dsl): GovernanceStore => {
  const { type, database } = dsl.governance.persistence;
  switch (type) {
    case "d1":
      return d1Store({ database: databaseOf(env, database) });
    case "memory": {
      // A stub belongs to the request that made it, and this store serves many: each call makes its own.
      const object = (): ExperimentStub => env.EXPERIMENTS.getByName(memoryObject);
      return {
        name: "memory",
        load: (ref, options) => object().load(ref, options),
        history: (ref, query) => object().history(ref, query),
        list: (scope, query) => object().list(scope, query),
        commit: () => Promise.reject(new TypeError("memory store: only its own object commits to it")),
        check: async () => {
          await object().list(defaultScope, { limit: 1 });
        },
      };
    }
    default:
      return type satisfies never;
  }
};

const ledgerOf = (env: WorkerEnv, ref: ExperimentRef): LedgerStub => env.LEDGERS.getByName(refKey(ref));

/** Figures of the live epoch, from the experiment's ledger and the plan that its state holds. */
const ledgerTelemetry = (env: WorkerEnv, store: GovernanceStore): Telemetry => ({
  async read(ref) {
    const loaded = await store.load(ref);
    if (loaded === null) throw new ProvisoError("experiment-not-found", `there is no experiment ${ref.experiment}`);
    const { epoch, live, latest, earlierPlans } = loaded.snapshot.state;
    const planned = plannedShares((live ?? latest).configuration.variants);
    const earlier = earlierPlans.map((plan) => ({ epoch: plan.epoch, arms: plannedShares(plan.variants) }));
    const counts = await ledgerOf(env, ref).counts({ plans: [...earlier, { epoch, arms: planned }] });
    return ledgerFigures({ counts, epoch, planned, earlier });
  },
});

const hexDigits = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

export const governorOptions = (env: WorkerEnv, dsl: Dsl, store: GovernanceStore): GovernorOptions => ({
  store,
  policySet: { gates: dsl.governance.approvalGates, policies: dsl.governance.policies },
  telemetry: ledgerTelemetry(env, store),
  now: Date.now,
  report: reportError,
  id: uuidv7,
  salt: () => hexDigits(crypto.getRandomValues(new Uint8Array(16))),
});

/** The governor inside an experiment's object. A broken connection leaves the outcome open, and the answer says so. */
const remoteGovernor = (env: WorkerEnv, dsl: Dsl, ref: ExperimentRef): Governor => ({
  async execute(request) {
    try {
      return await env.EXPERIMENTS.getByName(objectName(dsl, ref)).execute(request);
    } catch (cause) {
      throw new ProvisoError(
        "store-unavailable",
        "the experiment's object did not answer: ask again with the same Idempotency-Key to learn what became of it",
        { retryAfterSeconds: 1 },
        { cause },
      );
    }
  },
});

const dataPlaneOf = ({ dataPlane: { batching, sampling } }: Dsl): DataPlaneSettings => ({
  flushEvents: batching.maxEvents,
  flushBytes: batching.maxBytes,
  flushIntervalMs: parseDuration(batching.interval) ?? 0,
  sampling: sampling.rate,
});

const identityOf = (env: WorkerEnv, dsl: Dsl): Identity => {
  const { type, secret } = dsl.governance.auth;
  switch (type) {
    case "development":
      return developmentIdentity({ enabled: env.PROVISO_DEVELOPMENT === "true" });
    case "token": {
      const value: unknown = Reflect.get(env, secret);
      if (typeof value === "string") return tokenIdentity(parseTokens(value));
      throw new ProvisoError(
        "invalid-dsl",
        `governance.auth.secret names ${secret}, which is not set in this deployment`,
      );
    }
    default:
      return type satisfies never;
  }
};

/** What the HTTP app needs, from the bindings of this Worker. */
export const appDependencies = (env: WorkerEnv, dsl: Dsl): AppDependencies => ({
  store: storeOf(env, dsl),
  governor: (ref) => remoteGovernor(env, dsl, ref),
  policySet: { gates: dsl.governance.approvalGates, policies: dsl.governance.policies },
  identity: identityOf(env, dsl),
  ledger: (ref) => ledgerOf(env, ref),
  sendMessages: async (messages) => {
    await env.EVENTS.sendBatch(messages.map((body) => ({ body, contentType: "text" as const })));
  },
  now: Date.now,
  report: reportError,
  dataPlane: dataPlaneOf(dsl),
  requireIfMatch: dsl.governance.requireIfMatch,
  requireIdempotencyKey: dsl.governance.requireIdempotencyKey,
});

/** What the queue consumer needs. It counts whatever the DSL says. */
export const consumerDependencies = (env: WorkerEnv): ConsumerDependencies => ({
  ledger: (ref) => ledgerOf(env, ref),
  deadLetters: env.DEAD_LETTERS,
  now: Date.now,
  report: reportError,
});

/** Writes what the DSL declares under `experiments`, in the default scope. */
export const applyDeclared = async (env: WorkerEnv, dsl: Dsl): Promise<void> => {
  const refused = await writeDeclared({
    store: storeOf(env, dsl),
    governor: (ref) => remoteGovernor(env, dsl, ref),
    scope: defaultScope,
    experiments: dsl.experiments,
    enableAutoVersioning: dsl.governance.enableAutoVersioning,
  });
  for (const { code, message, details } of refused) reportError(new ProvisoError(code, message, details));
};
