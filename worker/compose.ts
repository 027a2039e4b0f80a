/** Puts the parts together. The only file that reads the environment's bindings. */
import { waitUntil } from "cloudflare:workers";
import { AsyncLocalStorage } from "node:async_hooks";
import { uuidv7 } from "uuidv7";
import type { AuditQueue } from "../adapters/audit/queue.ts";
import type { AnalyticsEngineBinding } from "../adapters/sink/analytics-engine.ts";
import type { ParquetBucket } from "../adapters/sink/parquet.ts";
import type { R2BucketBinding } from "../adapters/sink/r2.ts";
import { d1Store, type D1DatabaseLike } from "../adapters/store/d1.ts";
import { durableObjectStore, type History, openHistory } from "../adapters/store/durable-object.ts";
import { openRegistry, type Registry } from "../adapters/store/durable-object-registry.ts";
import type { ObjectStorage } from "../adapters/store/object-storage.ts";
import { isMirror, mirrorStore } from "../adapters/store/mirror.ts";
import { type CustomStores, openCustomStore } from "../src/config/custom-stores.ts";
import { type Dsl, loadDsl, type LocatedError } from "../src/config/index.ts";
import type { Persistence } from "../src/config/persistence.ts";
import { createMetrics } from "../src/observe/metrics.ts";
import { type Observer, observers } from "../src/observe/observer.ts";
import { otlpObserver } from "../src/observe/otlp.ts";
import { createOutbox, type DeliveryTrouble, type Outbox } from "../src/delivery/outbox.ts";
import { parseDuration } from "../src/duration.ts";
import { ProvisoError } from "../src/errors.ts";
import type { EnvelopeType } from "../src/events/envelope.ts";
import type { DataPlaneSettings } from "../src/evaluation/rule-set.ts";
import { rulesKey } from "../src/evaluation/rules-key.ts";
import { withCurrentShape } from "../src/governance/current-shape.ts";
import { writeDeclared } from "../src/governance/declared.ts";
import type { Governor, GovernorOptions } from "../src/governance/governor.ts";
import { withHostFunctions } from "../src/governance/host-rules.ts";
import type { PolicySet } from "../src/governance/policy-set.ts";
import { createSigner, type Signer } from "../src/governance/signing.ts";
import { listPublications } from "../src/governance/publish.ts";
import type { PublishedRulesOptions } from "../src/governance/published-rules.ts";
import { rulePublisher, type RulePublisherOptions } from "../src/governance/rule-publisher.ts";
import type { GovernanceStore } from "../src/governance/store.ts";
import type { AppDependencies } from "../src/http/dependencies.ts";
import { developmentIdentity } from "../src/http/development-identity.ts";
import type { Identity } from "../src/http/identity.ts";
import { cloudflareAccessIdentity, jwtIdentity } from "../src/http/jwt-identity.ts";
import { createRateLimiter, type RateLimiter, type RateLimits } from "../src/http/rate-limit.ts";
import { parseTokens, tokenIdentity } from "../src/http/token-identity.ts";
import { defaultScope, type ExperimentRef, refKey, scopeKey } from "../src/scope.ts";
import { planOf } from "../src/ledger/plan.ts";
import type { ConsumerDependencies } from "./consumer.ts";
import { customStores, type StoreHost } from "./custom-stores.ts";
import type { ExperimentStub, LedgerEnv, LedgerStub, WorkerEnv } from "./env.ts";
import { createRouter } from "./ledger-router.ts";
import { ledgerTelemetry } from "./ledger-telemetry.ts";
import { createPlanCache, type PlanCache } from "./plans.ts";
import { openPostgres, type StorePlace } from "./postgres.ts";
import { openUpstash } from "./upstash.ts";
import { reportError, writeLine } from "./report.ts";
import { sinkWatch } from "./sink-watch.ts";
import { eventSinksOf, type FedSink, type SinkDeployment } from "./sinks.ts";
import { checked, type Deployment, subscribersOf } from "./subscribers.ts";

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

/** A binding. @param path the member of the DSL that names it @param what in words, what `is` looks for */
const bindingOf = <Binding>(
  env: WorkerEnv,
  name: string,
  path: string,
  is: (binding: unknown) => binding is Binding,
  what: string,
): Binding => {
  const binding: unknown = Reflect.get(env, name);
  if (is(binding)) return binding;
  throw new ProvisoError("invalid-dsl", `${path} names ${name}, which is not ${what} of this Worker`);
};

/** Every experiment has its object; on the memory store one object has them all, because only it holds the memory. */
const objectName = (dsl: Dsl, ref: ExperimentRef): string =>
  dsl.governance.persistence.type === "memory" ? memoryObject : refKey(ref);

const memoryObject = "memory";

/** The value of a secret or variable. @param path the member of the DSL that names it */
const secretOf = (env: WorkerEnv, name: string, path: string): string => {
  const value: unknown = Reflect.get(env, name);
  if (typeof value === "string" && value !== "") return value;
  throw new ProvisoError("invalid-dsl", `${path} names ${name}, which is not set in this deployment`);
};

const isHyperdrive = (binding: unknown): binding is { readonly connectionString: string } =>
  typeof binding === "object" &&
  binding !== null &&
  "connectionString" in binding &&
  typeof binding.connectionString === "string";

/** @param at the place of `persistence` in the DSL */
const postgresAddress = (
  env: WorkerEnv,
  persistence: Extract<Persistence, { readonly type: "postgres" }>,
  at: string,
): string => {
  const { connectionString, secret, hyperdrive } = persistence;
  if (connectionString !== undefined) return connectionString;
  if (secret !== undefined) return secretOf(env, secret, `${at}.secret`);
  return bindingOf(env, hyperdrive ?? "", `${at}.hyperdrive`, isHyperdrive, "a Hyperdrive binding").connectionString;
};

/** @param stores of type `custom`, by name */
export const storeOf = (
  env: WorkerEnv,
  dsl: Dsl,
  place: StorePlace = "request",
  stores: CustomStores<StoreHost> = customStores,
): GovernanceStore =>
  withCurrentShape(openStore(dsl.governance.persistence, "governance.persistence", { env, place, stores }));

interface Opening extends StoreHost {
  readonly stores: CustomStores<StoreHost>;
}

/** @param at the place of `persistence` in the DSL */
const openStore = (persistence: Persistence, at: string, opening: Opening): GovernanceStore => {
  const { env, place, stores } = opening;
  switch (persistence.type) {
    case "d1":
      return d1Store({
        database: bindingOf(env, persistence.database, `${at}.database`, isDatabase, "a D1 binding"),
      });
    case "memory":
      return durableObjectStore({
        name: "memory",
        experiment: () => env.EXPERIMENTS.getByName(memoryObject),
        registry: () => env.EXPERIMENTS.getByName(memoryObject),
      });
    case "postgres":
      return openPostgres(postgresAddress(env, persistence, at), persistence.schema, place);
    case "durableObject":
      // A stub belongs to the request that made it, and this store serves many: each call makes its own.
      return durableObjectStore({
        experiment: (ref) => env.EXPERIMENTS.getByName(refKey(ref)),
        registry: (scope) => env.REGISTRIES.getByName(scopeKey(scope)),
      });
    case "mirror":
      return mirrorStore({
        primary: openStore(persistence.primary, `${at}.primary`, opening),
        followers: persistence.followers.map((part, index) => openStore(part, `${at}.followers[${index}]`, opening)),
        mode: persistence.mode,
        // Objects decide, and what they decide on is the primary's.
        reads: place === "object" ? "primary" : persistence.reads,
        report: reportError,
      });
    case "upstash": {
      const { url, token, secret, prefix } = persistence;
      return openUpstash({ url, token: token ?? secretOf(env, secret ?? "", `${at}.secret`), prefix });
    }
    case "custom":
      return openCustomStore(persistence, stores, { env, place }, at);
    default:
      return persistence satisfies never;
  }
};

/** How soon an object looks whether its registry knows everything, should it have died before it could say so. */
const catchUpAfterMs = 30_000;

/** The history of an experiment, inside its object. */
export const historyOf = (
  env: WorkerEnv,
  storage: ObjectStorage,
  wake: (ref: ExperimentRef, at: number) => Promise<void>,
): History =>
  openHistory({
    storage,
    registry: (scope) => env.REGISTRIES.getByName(scopeKey(scope)),
    id: () => crypto.randomUUID(),
    wake: (ref) => wake(ref, Date.now() + catchUpAfterMs),
    report: reportError,
  });

/** The registry of a scope, inside its object. */
export const registryOf = (env: Pick<WorkerEnv, "EXPERIMENTS">, storage: ObjectStorage): Registry =>
  openRegistry({
    storage,
    holding: (question) => env.EXPERIMENTS.getByName(refKey(question.ref)).holding(question),
    standing: (question) => env.EXPERIMENTS.getByName(refKey(question.ref)).standing(question),
  });

/** Shards of ledgers by name. */
export const ledgersOf = (env: LedgerEnv): LedgerEnv["LEDGERS"] => env.LEDGERS;

const ledgerOf = (env: LedgerEnv, ref: ExperimentRef): LedgerStub => env.LEDGERS.getByName(refKey(ref));

const hexDigits = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** A deployment from a file has no functions of a host: a rule that names one is an error of the file. */
const policySetOf = ({ governance }: Dsl): PolicySet =>
  withHostFunctions(
    {
      gates: governance.approvalGates,
      policies: governance.policies,
      ...(governance.breakGlass === undefined ? {} : { breakGlass: governance.breakGlass }),
    },
    {},
    {},
  );

/** Of this isolate: its objects and its requests add to one. */
const metrics = createMetrics();

/** Who watches the work, as the DSL says it: nobody, metrics, a collector of spans. */
export const observerOf = (
  env: WorkerEnv,
  { governance: { telemetry } }: Dsl,
  background: (work: Promise<unknown>) => void,
): Observer => {
  const { traces } = telemetry;
  const kept = telemetry.metrics === "off" ? [] : [metrics];
  if (traces === undefined) return observers(...kept);
  const { url, authorizationSecret, service, sampling } = traces;
  const path = "governance.telemetry.traces";
  const headers =
    authorizationSecret === undefined
      ? {}
      : { authorization: secretOf(env, authorizationSecret, `${path}.authorizationSecret`) };
  const development = env.PROVISO_DEVELOPMENT === "true";
  const scope = new AsyncLocalStorage<unknown>();
  const spans = checked(path, () =>
    otlpObserver({ url, headers, service, sampling, scope, background, report: reportError, development }),
  );
  return observers(...kept, spans);
};

export const governorOptions = (env: WorkerEnv, dsl: Dsl, store: GovernanceStore): GovernorOptions => ({
  store,
  policySet: policySetOf(dsl),
  guardrailIntervalMs: parseDuration(dsl.governance.guardrailInterval) ?? 60_000,
  telemetry: ledgerTelemetry({ store, ledger: (ref) => ledgerOf(env, ref), now: Date.now }),
  now: Date.now,
  report: reportError,
  id: uuidv7,
  salt: () => hexDigits(crypto.getRandomValues(new Uint8Array(16))),
});

/** Rules are published from stores that last: what a memory forgets would stay published. */
const publishesRules = ({ governance }: Dsl): boolean => governance.persistence.type !== "memory";

const isQueue = (binding: unknown): binding is AuditQueue =>
  typeof binding === "object" && binding !== null && "sendBatch" in binding;

const isBucket = (binding: unknown): binding is R2BucketBinding & ParquetBucket =>
  typeof binding === "object" && binding !== null && "put" in binding && "createMultipartUpload" in binding;

const isDataset = (binding: unknown): binding is AnalyticsEngineBinding =>
  typeof binding === "object" && binding !== null && "writeDataPoint" in binding;

/** What notices, audit sinks and event sinks are made of here. */
const deploymentOf = (env: WorkerEnv): Deployment & SinkDeployment => ({
  bucket: (name, path) => bindingOf(env, name, path, isBucket, "an R2 bucket"),
  dataset: (name, path) => bindingOf(env, name, path, isDataset, "an Analytics Engine dataset"),
  secret: (name, path) => secretOf(env, name, path),
  queue: (name, path) => bindingOf(env, name, path, isQueue, "a queue"),
  development: env.PROVISO_DEVELOPMENT === "true",
  writeLine,
});

/** One object of the whole deployment. Its name is no scope's: those are lists of two. */
const healthObject = "health";

/** What an experiment's object delivers to, and by what. */
export const outboxOf = (
  env: WorkerEnv,
  dsl: Dsl,
  store: GovernanceStore,
  background: (work: Promise<unknown>) => void,
  observer: Observer,
): Outbox | undefined => {
  const publish: RulePublisherOptions["publish"] = (ref, publication) => {
    const { tenant, environment } = ref;
    return env.SCOPES.getByName(scopeKey(ref)).publish({ tenant, environment }, publication);
  };
  const subscribers = [
    ...(isMirror(store) ? [store.subscriber] : []),
    ...(publishesRules(dsl) ? [rulePublisher({ store, publish })] : []),
    ...subscribersOf(dsl, deploymentOf(env)),
  ];
  if (subscribers.length === 0) return undefined;
  return createOutbox({
    store,
    subscribers,
    now: Date.now,
    random: Math.random,
    report: reportError,
    observer,
    onTrouble: (trouble) => background(env.SCOPES.getByName(healthObject).noteTrouble(trouble).catch(reportError)),
  });
};

interface RulesKv {
  put(key: string, value: string): Promise<void>;
}

const isKv = (found: unknown): found is RulesKv => typeof found === "object" && found !== null && "put" in found;

const kvOf = (env: WorkerEnv, dsl: Dsl): RulesKv | undefined => {
  const { kv } = dsl.governance.rules;
  return kv === undefined ? undefined : bindingOf(env, kv, "governance.rules.kv", isKv, "a KV binding");
};

/** The published rules of a scope, inside its object. */
export const publishedRulesOptions = (
  env: WorkerEnv,
  dsl: Dsl,
  background: (work: Promise<unknown>) => void,
): Omit<PublishedRulesOptions, "storage"> => {
  const kv = kvOf(env, dsl);
  return {
    list: (scope) => listPublications(storeOf(env, dsl, "object"), scope),
    write: kv === undefined ? undefined : (scope, text) => kv.put(rulesKey(scope), text),
    dataPlane: dataPlaneOf(dsl),
    now: Date.now,
    random: Math.random,
    report: reportError,
    onTrouble: ({ tenant, environment }, failures, error, nextAt) => {
      const ref = { tenant, environment, experiment: "" };
      const trouble = { subscriber: "rules:kv", ref, failures, since: 0, nextAt, error };
      background(env.SCOPES.getByName(healthObject).noteTrouble(trouble).catch(reportError));
    },
  };
};

/** Asked by everybody who watches this deployment; the answer of a moment ago will do. */
const troubledFor = (env: WorkerEnv): (() => Promise<readonly string[]>) => {
  let known: { readonly until: number; readonly names: readonly string[] } | undefined;
  return async () => {
    if (known !== undefined && known.until > Date.now()) return known.names;
    const names = await env.SCOPES.getByName(healthObject).troubled();
    known = { until: Date.now() + 2_000, names };
    return names;
  };
};

/** Every secret and binding that notices, audit sinks and rules name is asked for here: a missing one is said at once. */
const checkedDeployment = (
  env: WorkerEnv,
  dsl: Dsl,
): Pick<AppDependencies, "publishedRules" | "troubled" | "observer" | "metrics"> => {
  subscribersOf(dsl, deploymentOf(env));
  kvOf(env, dsl);
  const { metrics: kept } = dsl.governance.telemetry;
  return {
    troubled: troubledFor(env),
    // Sent as long as the platform lets it: of a request that is answered already, some spans may be lost.
    observer: observerOf(env, dsl, waitUntil),
    ...(kept === "off" ? {} : { metrics: { text: () => metrics.text(), public: kept === "public" } }),
    ...(publishesRules(dsl)
      ? { publishedRules: (scope, known) => env.SCOPES.getByName(scopeKey(scope)).readRules(scope, known) }
      : {}),
  };
};

/** The governor inside an experiment's object. A broken connection leaves the outcome open, and the answer says so. */
const remoteGovernor = (env: WorkerEnv, dsl: Dsl, ref: ExperimentRef): Governor => {
  const asking = async <Answer>(ask: (object: ExperimentStub) => Promise<Answer>): Promise<Answer> => {
    try {
      return await ask(env.EXPERIMENTS.getByName(objectName(dsl, ref)));
    } catch (cause) {
      throw new ProvisoError(
        "store-unavailable",
        "the experiment's object did not answer: ask again with the same Idempotency-Key to learn what became of it",
        { retryAfterSeconds: 1 },
        { cause },
      );
    }
  };
  return {
    execute: (request) => asking((object) => object.execute(request)),
    evaluate: (question) => asking((object) => object.evaluate(question)),
    erase: async (request) => {
      const outcome = await asking((object) => object.erasePerson(request));
      if (outcome.ok) return outcome.values;
      throw new ProvisoError(outcome.code, outcome.message, outcome.details);
    },
    reload: (target) => asking((object) => object.reload(target)),
    // Its object has an alarm of its own.
    tick: () => Promise.resolve(null),
  };
};

const categories = {
  exposures: "Exposure",
  outcomes: "Outcome",
  assignments: "Assignment",
  errors: "Error",
  signals: "AnalysisSignal",
} as const satisfies Record<keyof Dsl["dataPlane"]["events"], EnvelopeType>;

const switchedOff = (events: Dsl["dataPlane"]["events"]): readonly EnvelopeType[] =>
  (["exposures", "outcomes", "assignments", "errors", "signals"] as const)
    .filter((category) => !events[category])
    .map((category) => categories[category]);

const dataPlaneOf = ({ dataPlane: { batching, sampling, events } }: Dsl): DataPlaneSettings => ({
  ...(switchedOff(events).length > 0 && { off: switchedOff(events) }),
  flushEvents: batching.maxEvents,
  flushBytes: batching.maxBytes,
  flushIntervalMs: parseDuration(batching.interval) ?? 0,
  sampling: sampling.rate,
});

const tokensOf = (env: WorkerEnv, secret: string): Identity =>
  tokenIdentity(parseTokens(secretOf(env, secret, "governance.auth.secret")));

/** What signed tokens of every issuer have in common. Nothing is fetched here. */
const signedOf = (env: WorkerEnv, auth: Extract<Dsl["governance"]["auth"], { readonly audience: unknown }>) => ({
  audience: auth.audience,
  clockSkewSeconds: (parseDuration(auth.clockSkew) ?? 0) / 1_000,
  claims: auth.claims,
  header: auth.header,
  ...(auth.secret === undefined ? {} : { keys: tokensOf(env, auth.secret) }),
  // Bare: the platform's fetch must not be called as a method of something else.
  fetch: (url: string, init: RequestInit) => fetch(url, init),
  now: Date.now,
});

export const identityOf = (env: WorkerEnv, dsl: Dsl): Identity => {
  const { auth } = dsl.governance;
  switch (auth.type) {
    case "development":
      return developmentIdentity({ enabled: env.PROVISO_DEVELOPMENT === "true" });
    case "token":
      return tokensOf(env, auth.secret);
    case "jwt": {
      const { issuer, jwks, algorithms } = auth;
      return jwtIdentity({ ...signedOf(env, auth), issuer, jwksUri: jwks, algorithms });
    }
    case "cloudflareAccess":
      return cloudflareAccessIdentity({ ...signedOf(env, auth), team: auth.team });
    default:
      return auth satisfies never;
  }
};

const limiterOf = ({ perMinute, burst }: { readonly perMinute: number; readonly burst: number }): RateLimiter =>
  createRateLimiter({ now: Date.now, capacity: burst, refillPerSecond: perMinute / 60 });

const rateLimitsOf = ({ governance: { auth, rateLimits } }: Dsl): RateLimits => {
  if (auth.type === "development") return {};
  const { governance, dataPlane, failures } = rateLimits;
  return {
    governance: limiterOf(governance),
    ...(dataPlane === undefined ? {} : { dataPlane: limiterOf(dataPlane) }),
    failures: {
      limiter: limiterOf(failures),
      // Cloudflare sets this one itself and lets no caller do so.
      addressOf: (request) => request.headers.get("cf-connecting-ip") ?? undefined,
    },
  };
};

const corsOf = ({ governance: { cors } }: Dsl): Pick<AppDependencies, "cors"> => {
  if (cors === undefined) return {};
  const { origins, credentials, maxAge } = cors;
  return { cors: { origins, credentials, maxAgeSeconds: Math.round((parseDuration(maxAge) ?? 0) / 1_000) } };
};

/** Made when something is first to be signed, and once. */
const signerOf = (env: WorkerEnv, { governance: { history } }: Dsl): Pick<AppDependencies, "signer"> => {
  const { signing } = history;
  if (signing === undefined) return {};
  const value = secretOf(env, signing.secret, "governance.history.signing.secret");
  let made: Promise<Signer> | undefined;
  return { signer: () => (made ??= createSigner(value, signing.keyId)) };
};

/** What the HTTP app needs, from the bindings of this Worker. */
export const appDependencies = (env: WorkerEnv, dsl: Dsl): AppDependencies => ({
  ...checkedDeployment(env, dsl),
  store: storeOf(env, dsl),
  governor: (ref) => remoteGovernor(env, dsl, ref),
  policySet: policySetOf(dsl),
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
  ...corsOf(dsl),
  rateLimits: rateLimitsOf(dsl),
  ...signerOf(env, dsl),
});

/** The plans that the consumer judges events by: what the experiments' own states say. */
export const ledgerPlans = (store: GovernanceStore): PlanCache =>
  createPlanCache(async (ref) => {
    const loaded = await store.load(ref);
    return loaded === null ? null : planOf(loaded.snapshot);
  }, Date.now);

/** Writes to ledgers, whatever the number of their shards. */
export const ledgerRouter = (env: LedgerEnv, dsl: Dsl): ConsumerDependencies["ledger"] =>
  createRouter({ ledger: (name) => ledgersOf(env).getByName(name), shards: dsl.dataPlane.ledger.shards });

/** Where events go besides the ledger. Every binding and secret that is named is asked for here. */
export const feedOf = (env: WorkerEnv, dsl: Dsl): Feed => {
  const note = (trouble: DeliveryTrouble): void =>
    waitUntil(env.SCOPES.getByName(healthObject).noteTrouble(trouble).catch(reportError));
  return {
    off: switchedOff(dsl.dataPlane.events),
    sinks: eventSinksOf(dsl, deploymentOf(env)),
    onFed: sinkWatch({ note, report: reportError, now: Date.now }),
  };
};

/** What of the consumer's dependencies is made once, because it remembers how its sinks did. */
export type Feed = Required<Pick<ConsumerDependencies, "off" | "onFed">> & { readonly sinks: readonly FedSink[] };

/** What the queue consumer needs. */
export const consumerDependencies = (
  env: WorkerEnv,
  {
    plans,
    ledger,
    events,
  }: Pick<ConsumerDependencies, "ledger"> & { readonly plans: PlanCache; readonly events: Feed },
): ConsumerDependencies => ({
  ...events,
  ledger,
  plans,
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
