/** An experiment's object without a governor: only its history, as the product's object opens it. */
import { DurableObject } from "cloudflare:workers";
import type {
  Holding,
  HoldingQuestion,
  Report,
  StandingQuestion,
} from "../../adapters/store/durable-object-registry.ts";
import { answering, type History, type HistoryStub, openHistory } from "../../adapters/store/durable-object.ts";
import { type ExperimentRef, scopeKey } from "../../src/scope.ts";
import { type Alarms, createAlarms } from "../../worker/alarms.ts";
import { reportError } from "../../worker/report.ts";
import type { RegistryObject } from "../../worker/registry-object.ts";

interface Env {
  readonly REGISTRIES: DurableObjectNamespace<RegistryObject>;
}

/** The answers say what was refused. */
const unheard = (): void => undefined;

export class HistoryObject extends DurableObject<Env> implements HistoryStub {
  readonly #history: History;
  readonly #alarms: Alarms;

  constructor(context: DurableObjectState, env: Env) {
    super(context, env);
    this.#history = openHistory({
      storage: context.storage,
      registry: (scope) => env.REGISTRIES.getByName(scopeKey(scope)),
      id: () => crypto.randomUUID(),
      wake: (ref) => this.#alarms.wake(ref, Date.now() + 30_000),
      report: reportError,
    });
    this.#alarms = createAlarms({
      storage: context.storage,
      now: Date.now,
      tick: async (ref) => {
        await this.#history.catchUp(ref);
        return null;
      },
      report: reportError,
    });
  }

  override alarm(): Promise<void> {
    return this.#alarms.ring();
  }

  holding(question: HoldingQuestion): Promise<Holding> {
    return this.#history.holding(question);
  }

  standing(question: StandingQuestion): Promise<Report> {
    return this.#history.standing(question);
  }

  /** As the alarm would, now. */
  catchUp(ref: ExperimentRef): Promise<void> {
    return this.#history.catchUp(ref);
  }

  load(...args: Parameters<HistoryStub["load"]>): ReturnType<HistoryStub["load"]> {
    return answering(() => this.#history.load(...args), unheard);
  }

  commit(...args: Parameters<HistoryStub["commit"]>): ReturnType<HistoryStub["commit"]> {
    return answering(() => this.#history.commit(...args), unheard);
  }

  history(...args: Parameters<HistoryStub["history"]>): ReturnType<HistoryStub["history"]> {
    return answering(() => this.#history.history(...args), unheard);
  }

  rules(...args: Parameters<HistoryStub["rules"]>): ReturnType<HistoryStub["rules"]> {
    return answering(() => this.#history.rules(...args), unheard);
  }

  personal(...args: Parameters<HistoryStub["personal"]>): ReturnType<HistoryStub["personal"]> {
    return answering(() => this.#history.personal(...args), unheard);
  }

  erase(...args: Parameters<HistoryStub["erase"]>): ReturnType<HistoryStub["erase"]> {
    return answering(() => this.#history.erase(...args), unheard);
  }

  positions(...args: Parameters<HistoryStub["positions"]>): ReturnType<HistoryStub["positions"]> {
    return answering(() => this.#history.positions(...args), unheard);
  }

  advance(...args: Parameters<HistoryStub["advance"]>): ReturnType<HistoryStub["advance"]> {
    return answering(() => this.#history.advance(...args), unheard);
  }

  archive(...args: Parameters<HistoryStub["archive"]>): ReturnType<HistoryStub["archive"]> {
    return answering(() => this.#history.archive(...args), unheard);
  }

  checkpoint(...args: Parameters<HistoryStub["checkpoint"]>): ReturnType<HistoryStub["checkpoint"]> {
    return answering(() => this.#history.checkpoint(...args), unheard);
  }

  receipts(...args: Parameters<HistoryStub["receipts"]>): ReturnType<HistoryStub["receipts"]> {
    return answering(() => this.#history.receipts(...args), unheard);
  }

  keepReceipts(...args: Parameters<HistoryStub["keepReceipts"]>): ReturnType<HistoryStub["keepReceipts"]> {
    return answering(() => this.#history.keepReceipts(...args), unheard);
  }

  sweep(...args: Parameters<HistoryStub["sweep"]>): ReturnType<HistoryStub["sweep"]> {
    return answering(() => this.#history.sweep(...args), unheard);
  }
}
