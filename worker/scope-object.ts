/**
 * What a scope has besides its experiments: the rules that it publishes. One object of this class, under another name,
 * holds who of the whole deployment does not take what they are given.
 */
import { DurableObject } from "cloudflare:workers";
import dslText from "../.proviso/proviso.yaml";
import type { DeliveryTrouble } from "../src/delivery/outbox.ts";
import { ProvisoError } from "../src/errors.ts";
import type { Publication } from "../src/governance/publish.ts";
import { createPublishedRules, type PublishedRules } from "../src/governance/published-rules.ts";
import type { Scope } from "../src/scope.ts";
import { publishedRulesOptions, readDsl } from "./compose.ts";
import type { ScopeStub, WorkerEnv } from "./env.ts";
import { createTroubleBoard, type TroubleBoard } from "./troubles.ts";

export class ScopeObject extends DurableObject<WorkerEnv> implements ScopeStub {
  readonly #rules: PublishedRules;
  readonly #troubles: TroubleBoard;

  constructor(context: DurableObjectState, env: WorkerEnv) {
    super(context, env);
    const read = readDsl(dslText, env);
    if (!read.ok) throw new ProvisoError("invalid-dsl", "the DSL of this deployment is not valid");
    this.#troubles = createTroubleBoard(context.storage, Date.now);
    this.#rules = createPublishedRules({
      ...publishedRulesOptions(env, read.dsl, (work) => context.waitUntil(work)),
      storage: context.storage,
    });
  }

  publish(scope: Scope, publication: Publication): Promise<void> {
    return this.#rules.publish(scope, publication);
  }

  readRules(scope: Scope, known: readonly string[]): Promise<{ readonly etag: string; readonly text: string | null }> {
    return this.#rules.read(scope, known);
  }

  noteTrouble(trouble: DeliveryTrouble): Promise<void> {
    return this.#troubles.note(trouble);
  }

  troubled(): Promise<readonly string[]> {
    return this.#troubles.names();
  }

  /** It never rejects: the platform gives an alarm up after six failures. */
  override alarm(): Promise<void> {
    return this.#rules.ring();
  }
}
