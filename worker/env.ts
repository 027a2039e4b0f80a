/** The bindings of the Worker, as `wrangler.toml` names them. Only `compose.ts` reads them. */
import type { HistoryStub } from "../adapters/store/durable-object.ts";
import type {
  Holding,
  HoldingQuestion,
  Registry,
  Report,
  StandingQuestion,
} from "../adapters/store/durable-object-registry.ts";
import type { ErrorCode } from "../src/errors.ts";
import type { ErasureRequest } from "../src/governance/erase.ts";
import type { DeliveryTrouble } from "../src/delivery/outbox.ts";
import type { ExperimentRef, Scope } from "../src/scope.ts";
import type { CommandAnswer, CommandRequest } from "../src/governance/governor.ts";
import type { DryRun, DryRunRequest } from "../src/governance/dry-run.ts";
import type { Publication } from "../src/governance/publish.ts";
import type { ListPage, ListQuery } from "../src/governance/store.ts";
import type { CountsOptions, PageOptions } from "../src/http/dependencies.ts";
import type { LedgerCounts } from "../src/ledger/counts.ts";
import type { CrossoverPage } from "../src/ledger/crossover.ts";
import type { Watch, WatchCounts } from "../src/ledger/watch.ts";
import type { Share } from "./hand-over.ts";
import type { ShardWriter } from "./ledger-router.ts";
import type { ShardPlace } from "./ledger-schema.ts";
import type { OtherShard } from "./ledger-shards.ts";

/** Errors lose their code on the way out of an object. */
export type Erasure =
  | { readonly ok: true; readonly values: number }
  | {
      readonly ok: false;
      readonly code: ErrorCode;
      readonly message: string;
      readonly details: Readonly<Record<string, unknown>>;
    };

/** What the rest of the Worker may ask of an experiment's object. */
export interface ExperimentStub extends HistoryStub {
  /** On the memory store, whose one object has all of them. */
  list(scope: Scope, query?: ListQuery): Promise<ListPage>;
  /** For the registry of the scope, as is `standing`. */
  holding(question: HoldingQuestion): Promise<Holding>;
  standing(question: StandingQuestion): Promise<Report>;
  execute(request: CommandRequest): Promise<CommandAnswer>;
  evaluate(question: DryRunRequest): Promise<DryRun | null>;
  erasePerson(request: ErasureRequest): Promise<Erasure>;
  reload(ref: ExperimentRef): Promise<void>;
}

/** What the rest of the Worker, and its other shards, may ask of a ledger's object. */
export interface LedgerStub extends OtherShard, ShardWriter {
  counts(options?: CountsOptions): Promise<LedgerCounts>;
  watched(watch: Watch): Promise<WatchCounts>;
  crossovers(page: PageOptions): Promise<CrossoverPage>;
  receive(ref: ExperimentRef, place: ShardPlace, share: Share): Promise<void>;
  stir(): Promise<void>;
}

/** What the rest of the Worker may ask of a scope's object. */
export interface ScopeStub {
  publish(scope: Scope, publication: Publication): Promise<void>;
  readRules(scope: Scope, known: readonly string[]): Promise<{ readonly etag: string; readonly text: string | null }>;
  noteTrouble(trouble: DeliveryTrouble): Promise<void>;
  troubled(): Promise<readonly string[]>;
}

/**
 * A namespace by what its objects can do. The generated stub types turn every `unknown` in a signature into `never`,
 * although structured clone carries it.
 */
export interface ObjectNamespace<Stub> {
  getByName(name: string): Stub;
}

/** What a ledger needs: the namespace of its own shards. */
export interface LedgerEnv {
  readonly LEDGERS: ObjectNamespace<LedgerStub>;
}

export interface WorkerEnv extends LedgerEnv {
  readonly DB: D1Database;
  readonly EXPERIMENTS: ObjectNamespace<ExperimentStub>;
  readonly SCOPES: ObjectNamespace<ScopeStub>;
  readonly REGISTRIES: ObjectNamespace<Registry>;
  readonly EVENTS: Queue<string>;
  readonly DEAD_LETTERS: Queue;
  /** Set by the dev command and by nothing else. */
  readonly PROVISO_DEVELOPMENT?: string;
}
