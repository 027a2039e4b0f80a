/** One Durable Object per experiment: the place where its changes are put in order. */
import { DurableObject } from "cloudflare:workers";
import dslText from "../.proviso/proviso.yaml";
import { memoryStore } from "../adapters/store/memory.ts";
import { ProvisoError } from "../src/errors.ts";
import { type CommandAnswer, type CommandRequest, createGovernor, type Governor } from "../src/governance/governor.ts";
import type { PersonalRef } from "../src/governance/events.ts";
import type { DryRun, DryRunRequest } from "../src/governance/dry-run.ts";
import type {
  Checkpoint,
  GovernanceStore,
  HistoryPage,
  HistoryQuery,
  ListPage,
  ListQuery,
  Loaded,
  LoadOptions,
  PersonalPage,
  PersonalQuery,
  RulesPage,
  RulesQuery,
} from "../src/governance/store.ts";
import type { ExperimentRef, Scope } from "../src/scope.ts";
import { createAlarms, type Alarms } from "./alarms.ts";
import { governorOptions, readDsl, storeOf } from "./compose.ts";
import type { ExperimentStub, WorkerEnv } from "./env.ts";
import { reportError } from "./report.ts";

/**
 * The object gives order, not exclusion: over D1 two commands could interleave at an `await`. The governor's lock
 * spares them the lost race, and the store refuses it.
 */
export class ExperimentObject extends DurableObject<WorkerEnv> implements ExperimentStub {
  readonly #store: GovernanceStore;
  readonly #governor: Governor;
  readonly #alarms: Alarms;

  constructor(context: DurableObjectState, env: WorkerEnv) {
    super(context, env);
    const read = readDsl(dslText, env);
    if (!read.ok) throw new ProvisoError("invalid-dsl", "the DSL of this deployment is not valid");
    this.#store = read.dsl.governance.persistence.type === "memory" ? memoryStore() : storeOf(env, read.dsl);
    this.#governor = createGovernor({
      ...governorOptions(env, read.dsl, this.#store),
      wake: (ref, at) => this.#alarms.wake(ref, at),
    });
    this.#alarms = createAlarms({
      storage: context.storage,
      now: Date.now,
      tick: (ref) => this.#governor.tick(ref),
      report: reportError,
    });
  }

  /** Scheduled changes, ramp steps and guardrails. It never rejects: the platform gives an alarm up after six failures. */
  override alarm(): Promise<void> {
    return this.#alarms.ring();
  }

  /** Errors lose their code on the way out of an object, so a failure leaves as a value, and its cause is reported here. */
  async execute(request: CommandRequest): Promise<CommandAnswer> {
    try {
      return await this.#governor.execute(request);
    } catch (error) {
      reportError(error);
      if (error instanceof ProvisoError)
        return { ok: false, code: error.code, message: error.message, details: error.details };
      return { ok: false, code: "internal", message: "an unexpected error; it has been reported", details: {} };
    }
  }

  evaluate(question: DryRunRequest): Promise<DryRun | null> {
    return this.#governor.evaluate(question);
  }

  load(ref: ExperimentRef, options?: LoadOptions): Promise<Loaded | null> {
    return this.#store.load(ref, options);
  }

  history(ref: ExperimentRef, query?: HistoryQuery): Promise<HistoryPage> {
    return this.#store.history(ref, query);
  }

  list(scope: Scope, query?: ListQuery): Promise<ListPage> {
    return this.#store.list(scope, query);
  }

  rules(ref: ExperimentRef, query?: RulesQuery): Promise<RulesPage> {
    return this.#store.rules(ref, query);
  }

  personal(ref: ExperimentRef, query?: PersonalQuery): Promise<PersonalPage> {
    return this.#store.personal(ref, query);
  }

  erase(ref: ExperimentRef, refs: readonly PersonalRef[]): Promise<void> {
    return this.#store.erase(ref, refs);
  }

  archive(ref: ExperimentRef, checkpoint: Checkpoint): Promise<boolean> {
    return this.#store.archive(ref, checkpoint);
  }

  checkpoint(ref: ExperimentRef): Promise<Checkpoint | null> {
    return this.#store.checkpoint(ref);
  }

  sweep(ref: ExperimentRef, now: string): Promise<void> {
    return this.#store.sweep(ref, now);
  }

  positions(ref: ExperimentRef): Promise<ReadonlyMap<string, number>> {
    return this.#store.positions(ref);
  }

  advance(ref: ExperimentRef, subscriber: string, seq: number): Promise<void> {
    return this.#store.advance(ref, subscriber, seq);
  }
}
