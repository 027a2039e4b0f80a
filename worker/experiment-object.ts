/** One Durable Object per experiment: the place where its changes are put in order. */
import { DurableObject } from "cloudflare:workers";
import dslText from "../.proviso/proviso.yaml";
import { answering, type History, type HistoryStub } from "../adapters/store/durable-object.ts";
import type { Holding, HoldingQuestion, Report, StandingQuestion } from "../adapters/store/durable-object-registry.ts";
import { memoryStore } from "../adapters/store/memory.ts";
import { ProvisoError } from "../src/errors.ts";
import { type CommandAnswer, type CommandRequest, createGovernor, type Governor } from "../src/governance/governor.ts";
import type { DryRun, DryRunRequest } from "../src/governance/dry-run.ts";
import type { GovernanceStore, ListPage, ListQuery } from "../src/governance/store.ts";
import type { ErasureRequest } from "../src/governance/erase.ts";
import type { ExperimentRef, Scope } from "../src/scope.ts";
import { createAlarms, type Alarms } from "./alarms.ts";
import { governorOptions, historyOf, observerOf, outboxOf, readDsl, storeOf } from "./compose.ts";
import type { Erasure, ExperimentStub, WorkerEnv } from "./env.ts";
import { createReceiptSweep, type ReceiptSweep } from "./receipt-sweep.ts";
import { reportError } from "./report.ts";

const failed = (error: unknown): Extract<CommandAnswer, { ok: false }> => {
  reportError(error);
  if (error instanceof ProvisoError)
    return { ok: false, code: error.code, message: error.message, details: error.details };
  return { ok: false, code: "internal", message: "an unexpected error; it has been reported", details: {} };
};

/**
 * The object gives order, not exclusion: over D1 two commands could interleave at an `await`. The governor's lock
 * spares them the lost race, and the store refuses it.
 */
export class ExperimentObject extends DurableObject<WorkerEnv> implements ExperimentStub {
  readonly #store: GovernanceStore;
  /** Where histories are kept in their own objects. */
  readonly #history: History | null;
  readonly #governor: Governor;
  readonly #alarms: Alarms;
  readonly #receipts: ReceiptSweep;

  constructor(context: DurableObjectState, env: WorkerEnv) {
    super(context, env);
    const read = readDsl(dslText, env);
    if (!read.ok) throw new ProvisoError("invalid-dsl", "the DSL of this deployment is not valid");
    const { type } = read.dsl.governance.persistence;
    this.#history =
      type === "durableObject" ? historyOf(env, context.storage, (ref, at) => this.#alarms.wake(ref, at)) : null;
    this.#store = this.#history ?? (type === "memory" ? memoryStore() : storeOf(env, read.dsl, "object"));
    const background = (work: Promise<unknown>): void => context.waitUntil(work);
    const observer = observerOf(env, read.dsl, background);
    const outbox = outboxOf(env, read.dsl, this.#store, background, observer);
    this.#governor = createGovernor({
      ...governorOptions(env, read.dsl, this.#store),
      ...(outbox === undefined ? {} : { outbox }),
      background,
      observer,
      wake: (ref, at) => this.#alarms.wake(ref, at),
    });
    this.#receipts = createReceiptSweep({
      sweep: (ref, now) => this.#store.sweep(ref, now),
      wake: (ref, at) => this.#alarms.wake(ref, at),
      now: Date.now,
      report: reportError,
    });
    this.#alarms = createAlarms({
      storage: context.storage,
      now: Date.now,
      tick: async (ref) => {
        const next = await this.#governor.tick(ref);
        await this.#history?.catchUp(ref);
        const again = await this.#receipts.look(ref);
        return next === null || again === null ? (next ?? again) : Math.min(next, again);
      },
      report: reportError,
    });
  }

  /** Scheduled changes, ramp steps, guardrails and expired receipts. It never rejects: the platform gives an alarm up after six failures. */
  override alarm(): Promise<void> {
    return this.#alarms.ring();
  }

  /** Errors lose their code on the way out of an object, so a failure leaves as a value, and its cause is reported here. */
  async execute(request: CommandRequest): Promise<CommandAnswer> {
    try {
      const answer = await this.#governor.execute(request);
      // After the answer has gone: what an object writes holds back whatever leaves it later.
      if (request.idempotencyKey !== undefined)
        this.ctx.waitUntil(scheduler.wait(0).then(() => this.#receipts.noted(request.ref)));
      return answer;
    } catch (error) {
      return failed(error);
    }
  }

  async erasePerson(request: ErasureRequest): Promise<Erasure> {
    try {
      return { ok: true, values: await this.#governor.erase(request) };
    } catch (error) {
      return failed(error);
    }
  }

  reload(ref: ExperimentRef): Promise<void> {
    return this.#governor.reload(ref);
  }

  evaluate(question: DryRunRequest): Promise<DryRun | null> {
    return this.#governor.evaluate(question);
  }

  /** Of the whole scope: this object's own memory, or what the registry says. */
  list(scope: Scope, query?: ListQuery): Promise<ListPage> {
    return this.#store.list(scope, query);
  }

  async holding(question: HoldingQuestion): Promise<Holding> {
    return this.#ownHistory().holding(question);
  }

  async standing(question: StandingQuestion): Promise<Report> {
    return this.#ownHistory().standing(question);
  }

  #ownHistory(): History {
    if (this.#history === null) throw new TypeError("this object keeps no history of its own");
    return this.#history;
  }

  load(...args: Parameters<HistoryStub["load"]>): ReturnType<HistoryStub["load"]> {
    return answering(() => this.#store.load(...args), reportError);
  }

  commit(...args: Parameters<HistoryStub["commit"]>): ReturnType<HistoryStub["commit"]> {
    return answering(() => this.#store.commit(...args), reportError);
  }

  history(...args: Parameters<HistoryStub["history"]>): ReturnType<HistoryStub["history"]> {
    return answering(() => this.#store.history(...args), reportError);
  }

  rules(...args: Parameters<HistoryStub["rules"]>): ReturnType<HistoryStub["rules"]> {
    return answering(() => this.#store.rules(...args), reportError);
  }

  personal(...args: Parameters<HistoryStub["personal"]>): ReturnType<HistoryStub["personal"]> {
    return answering(() => this.#store.personal(...args), reportError);
  }

  erase(...args: Parameters<HistoryStub["erase"]>): ReturnType<HistoryStub["erase"]> {
    return answering(() => this.#store.erase(...args), reportError);
  }

  archive(...args: Parameters<HistoryStub["archive"]>): ReturnType<HistoryStub["archive"]> {
    return answering(() => this.#store.archive(...args), reportError);
  }

  checkpoint(...args: Parameters<HistoryStub["checkpoint"]>): ReturnType<HistoryStub["checkpoint"]> {
    return answering(() => this.#store.checkpoint(...args), reportError);
  }

  receipts(...args: Parameters<HistoryStub["receipts"]>): ReturnType<HistoryStub["receipts"]> {
    return answering(() => this.#store.receipts(...args), reportError);
  }

  keepReceipts(...args: Parameters<HistoryStub["keepReceipts"]>): ReturnType<HistoryStub["keepReceipts"]> {
    return answering(() => this.#store.keepReceipts(...args), reportError);
  }

  sweep(...args: Parameters<HistoryStub["sweep"]>): ReturnType<HistoryStub["sweep"]> {
    return answering(() => this.#store.sweep(...args), reportError);
  }

  positions(...args: Parameters<HistoryStub["positions"]>): ReturnType<HistoryStub["positions"]> {
    return answering(() => this.#store.positions(...args), reportError);
  }

  advance(...args: Parameters<HistoryStub["advance"]>): ReturnType<HistoryStub["advance"]> {
    return answering(() => this.#store.advance(...args), reportError);
  }
}
