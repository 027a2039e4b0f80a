/** What the HTTP app is given. It knows no platform: a Worker, Node or a test hands these in. */
import { ProvisoError } from "../errors.ts";
import type { Sender } from "../events/message.ts";
import type { Actor } from "../governance/actor.ts";
import { withCurrentShape } from "../governance/current-shape.ts";
import type { Governor } from "../governance/governor.ts";
import type { DataPlaneSettings } from "../evaluation/rule-set.ts";
import type { PolicySet } from "../governance/policy-set.ts";
import type { Signer } from "../governance/signing.ts";
import type { GovernanceStore } from "../governance/store.ts";
import type { LedgerCounts } from "../ledger/counts.ts";
import type { CrossoverPage } from "../ledger/crossover.ts";
import type { EpochPlan } from "../ledger/ground.ts";
import type { Observer } from "../observe/observer.ts";
import type { ExperimentRef, Scope } from "../scope.ts";
import type { CorsOptions } from "./cors.ts";
import type { Identity, ScopePin } from "./identity.ts";
import type { RateLimits } from "./rate-limit.ts";

export interface CountsOptions {
  /** `subject`: run the sequential test with a look after every subject, which reads all of them. */
  readonly looks?: "subject";
  /** What the sequential test of each epoch is run against; an epoch without a plan is counted and not tested. */
  readonly plans?: readonly EpochPlan[];
  /** Also by day, dimension and closed window, crossovers apart, and the looks themselves. */
  readonly parts?: boolean;
}

export interface PageOptions {
  readonly after: number;
  readonly limit: number;
}

/** One experiment's ledger, to read. */
export interface LedgerReader {
  counts(options?: CountsOptions): Promise<LedgerCounts>;
  /** Crossovers as Assignment events, `limit` subjects at a time. */
  crossovers(page: PageOptions): Promise<CrossoverPage>;
}

export interface AppDependencies {
  /** For reading. Everything that changes goes through `governor`. */
  readonly store: GovernanceStore;
  /** The governor that serialises this experiment's changes. */
  readonly governor: (ref: ExperimentRef) => Governor;
  readonly policySet: PolicySet;
  readonly identity: Identity;
  /** Left out: this host counts nothing, and results are not there. */
  readonly ledger?: (ref: ExperimentRef) => LedgerReader;
  /** Signs heads and exports; left out: nothing is signed. */
  readonly signer?: () => Promise<Signer>;
  /** Puts messages of encoded events on their way to the ledger; rejects when the sender should try again. */
  readonly sendMessages?: (messages: readonly string[]) => Promise<void>;
  /** What publishing tells the applications of a scope about sending events. */
  readonly dataPlane?: DataPlaneSettings;
  /**
   * The rules of a scope as JSON text, merged beforehand; text is null for a reader who knows the ETag. Left out, or
   * where it fails: the store is listed.
   */
  readonly publishedRules?: (
    scope: Scope,
    known: readonly string[],
  ) => Promise<{ readonly etag: string; readonly text: string | null }>;
  /** Names of subscribers that do not take what they are given: `notices:team`. Health shows them. */
  readonly troubled?: () => Promise<readonly string[]>;
  /** Watches requests. */
  readonly observer?: Observer;
  /** What `GET /metrics` answers, and whether to everybody; left out: the route is not there. */
  readonly metrics?: { readonly text: () => string; readonly public: boolean };
  /** Milliseconds since the epoch; default: the clock. */
  readonly now?: () => number;
  /** Gets what the caller must not see. */
  readonly report?: (error: unknown) => void;
  /** Refuse changes without `If-Match`, or without `Idempotency-Key`. */
  readonly requireIfMatch?: boolean;
  readonly requireIdempotencyKey?: boolean;
  /** Pages of which origins may speak to this API; left out: of none but its own. */
  readonly cors?: CorsOptions;
  /** How often who may ask; left out: without a limit. */
  readonly rateLimits?: RateLimits;
}

/** With everything that may be left out filled in: what routes are given. */
export type Dependencies = AppDependencies &
  Required<Pick<AppDependencies, "ledger" | "sendMessages" | "now" | "report">>;

const countsNothing = (): never => {
  throw new ProvisoError("not-found", "this host counts no exposures: it was given no ledger");
};

export const withDefaults = (dependencies: AppDependencies): Dependencies => ({
  ledger: countsNothing,
  sendMessages: () => Promise.resolve().then(countsNothing),
  now: Date.now,
  report: () => undefined,
  ...dependencies,
  store: withCurrentShape(dependencies.store),
});

/** What middleware has established by the time a route runs. */
export interface AppEnvironment {
  Variables: {
    readonly actor: Actor;
    readonly pin: ScopePin;
    readonly scope: Scope;
    /** Of a data-plane request: whose key it came with. */
    readonly sender: Sender;
  };
}
