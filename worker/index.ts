/** The deployable Worker: HTTP in, queue messages in, and the classes of its Durable Objects. */
import * as v from "valibot";
import dslText from "../.proviso/proviso.yaml";
import type { Dsl, LocatedError } from "../src/config/index.ts";
import { ProvisoError } from "../src/errors.ts";
import { createApp } from "../src/http/app.ts";
import { problemResponse } from "../src/http/problem.ts";
import { secured } from "../src/http/security-headers.ts";
import {
  appDependencies,
  applyDeclared,
  consumerDependencies,
  type Feed,
  feedOf,
  ledgerPlans,
  ledgerRouter,
  readDsl,
  storeOf,
} from "./compose.ts";
import { consume } from "./consumer.ts";
import type { WorkerEnv } from "./env.ts";
import type { PlanCache } from "./plans.ts";
import { reportError } from "./report.ts";

export { ExperimentObject } from "./experiment-object.ts";
export { LedgerObject } from "./ledger-object.ts";
export { RegistryObject } from "./registry-object.ts";
export { ScopeObject } from "./scope-object.ts";

interface Working {
  readonly app: ReturnType<typeof createApp>;
  readonly plans: PlanCache;
  readonly ledger: ReturnType<typeof ledgerRouter>;
  readonly events: Feed;
  readonly dsl: Dsl;
  /** When this isolate writes the declared experiments, if it still has to; ms since 1970. */
  declareAt: number | null;
}

/** Why this deployment can answer nothing: every request gets this. */
interface Broken {
  readonly message: string;
  readonly errors: readonly Pick<LocatedError, "path" | "message">[];
}

const ErrorsSchema = v.array(v.looseObject({ path: v.string(), message: v.string() }));

/** Eleven attempts this far apart are nearly an hour; after that the queue keeps the messages as dead letters. */
const brokenRetrySeconds = 300;

/** A store that was away is asked again, but not by every request. */
const declareAgainMs = 5_000;

/** Text and bindings do not change while an isolate lives, so what follows from them is made once. */
let composition: Working | Broken | undefined;

const compose = (env: WorkerEnv): Working | Broken => {
  const read = readDsl(dslText, env);
  if (!read.ok) {
    return {
      message: "the DSL of this deployment is not valid: every request is refused until it is",
      errors: read.errors,
    };
  }
  try {
    return {
      app: createApp(appDependencies(env, read.dsl)),
      plans: ledgerPlans(storeOf(env, read.dsl)),
      ledger: ledgerRouter(env, read.dsl),
      events: feedOf(env, read.dsl),
      dsl: read.dsl,
      declareAt: 0,
    };
  } catch (error) {
    if (!(error instanceof ProvisoError)) throw error;
    // What a host's store has said stands in the cause, for the log alone.
    if (error.cause !== undefined) reportError(error);
    return { message: error.message, errors: v.parse(v.fallback(ErrorsSchema, []), error.details["errors"]) };
  }
};

const handler: ExportedHandler<WorkerEnv> = {
  async fetch(request, env, context) {
    composition ??= compose(env);
    if ("message" in composition)
      return secured(request, problemResponse("invalid-dsl", composition.message, { errors: composition.errors }));
    const { declareAt } = composition;
    if (declareAt !== null && Date.now() >= declareAt && new URL(request.url).pathname.startsWith("/api/")) {
      // Every early request does it for itself: what another request has begun stops when that one is answered, and
      // whoever waits for its promise then waits for ever.
      composition.declareAt = await applyDeclared(env, composition.dsl).then(
        () => null,
        (error: unknown) => {
          reportError(error);
          return Date.now() + declareAgainMs;
        },
      );
    }
    return composition.app.fetch(request, env, context);
  },
  async queue(batch, env) {
    composition ??= compose(env);
    if ("message" in composition) {
      // Without the DSL nobody knows which store holds the experiments. The messages wait for one that is valid.
      reportError(new ProvisoError("invalid-dsl", composition.message));
      batch.retryAll({ delaySeconds: brokenRetrySeconds });
      return;
    }
    await consume(batch, consumerDependencies(env, composition));
  },
};

export default handler;
