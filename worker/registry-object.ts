/** One Durable Object per scope that knows its experiments and who holds which claim. Named by `scopeKey` of the scope. */
import { DurableObject } from "cloudflare:workers";
import {
  type Holding,
  type HoldingQuestion,
  openRegistry,
  type Registry,
  type Report,
  type Reservation,
  type Reserved,
} from "../adapters/store/durable-object-registry.ts";
import type { ListPage, ListQuery } from "../src/governance/store.ts";
import { refKey, type Scope } from "../src/scope.ts";

/** The part of the Worker's bindings that is used. */
interface Env {
  readonly EXPERIMENTS: { getByName(name: string): { holding(question: HoldingQuestion): Promise<Holding> } };
}

export class RegistryObject extends DurableObject<Env> implements Registry {
  readonly #registry: Registry;

  constructor(context: DurableObjectState, env: Env) {
    super(context, env);
    this.#registry = openRegistry({
      storage: context.storage,
      holding: (question) => env.EXPERIMENTS.getByName(refKey(question.ref)).holding(question),
    });
  }

  reserve(reservation: Reservation): Promise<Reserved> {
    return this.#registry.reserve(reservation);
  }

  cancel(reservation: Pick<Reservation, "ref" | "attempt">): Promise<void> {
    return this.#registry.cancel(reservation);
  }

  report(report: Report): Promise<boolean> {
    return this.#registry.report(report);
  }

  list(scope: Scope, query?: ListQuery): Promise<ListPage> {
    return this.#registry.list(scope, query);
  }
}
