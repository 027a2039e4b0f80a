/** One Durable Object per scope that knows its experiments and who holds which claim. Named by `scopeKey` of the scope. */
import { DurableObject } from "cloudflare:workers";
import type {
  Registry,
  Report,
  Reservation,
  Reserved,
  StandingQuestion,
} from "../adapters/store/durable-object-registry.ts";
import type { ListPage, ListQuery } from "../src/governance/store.ts";
import type { Scope } from "../src/scope.ts";
import { registryOf } from "./compose.ts";
import type { WorkerEnv } from "./env.ts";

export class RegistryObject extends DurableObject<WorkerEnv> implements Registry {
  readonly #registry: Registry;

  constructor(context: DurableObjectState, env: WorkerEnv) {
    super(context, env);
    this.#registry = registryOf(env, context.storage);
  }

  reserve(reservation: Reservation): Promise<Reserved> {
    return this.#registry.reserve(reservation);
  }

  cancel(reservation: Pick<Reservation, "ref" | "attempt">): Promise<void> {
    return this.#registry.cancel(reservation);
  }

  mark(question: StandingQuestion): Promise<boolean> {
    return this.#registry.mark(question);
  }

  report(report: Report): Promise<boolean> {
    return this.#registry.report(report);
  }

  list(scope: Scope, query?: ListQuery): Promise<ListPage> {
    return this.#registry.list(scope, query);
  }
}
