/**
 * Tells an OpenFeature SDK what happens to the rules. The emitter of the server's SDK needs Node, and that of either SDK
 * would have to be imported at run time: this one is for both, wherever there is only fetch.
 */
import {
  type AnyProviderEvent,
  type EventContext,
  type EventHandler,
  type Logger,
  type ProviderEventEmitter,
  ServerProviderEvents,
} from "@openfeature/core";
import type { RulesEvent } from "./watch.ts";

/** Of both providers. */
export const providerName = "proviso";

/** Both SDKs call an event by the same text. */
const eventTypes = {
  PROVIDER_READY: ServerProviderEvents.Ready,
  PROVIDER_STALE: ServerProviderEvents.Stale,
  PROVIDER_CONFIGURATION_CHANGED: ServerProviderEvents.ConfigurationChanged,
} as const satisfies Record<RulesEvent["type"], AnyProviderEvent>;

class Emitter implements ProviderEventEmitter<AnyProviderEvent> {
  readonly #handlers = new Map<AnyProviderEvent, readonly EventHandler[]>();
  #logger: Logger | undefined;

  emit(eventType: AnyProviderEvent, context?: EventContext): void {
    for (const handler of this.getHandlers(eventType)) void this.#call(handler, context);
  }

  addHandler(eventType: AnyProviderEvent, handler: EventHandler): void {
    this.#handlers.set(eventType, [...this.getHandlers(eventType), handler]);
  }

  /** One that was added twice is there once more. */
  removeHandler(eventType: AnyProviderEvent, handler: EventHandler): void {
    const handlers = this.getHandlers(eventType);
    const last = handlers.lastIndexOf(handler);
    if (last >= 0) this.#handlers.set(eventType, handlers.toSpliced(last, 1));
  }

  removeAllHandlers(eventType?: AnyProviderEvent): void {
    if (eventType === undefined) this.#handlers.clear();
    else this.#handlers.delete(eventType);
  }

  getHandlers(eventType: AnyProviderEvent): EventHandler[] {
    return [...(this.#handlers.get(eventType) ?? [])];
  }

  setLogger(logger: Logger): this {
    this.#logger = logger;
    return this;
  }

  /** What a handler does wrong is nobody else's trouble. */
  async #call(handler: EventHandler, context: EventContext | undefined): Promise<void> {
    try {
      await handler({ ...context, providerName });
    } catch (error) {
      this.#logger?.error("Error running event handler:", error);
    }
  }
}

/** What an SDK listens to, and how it is told. */
export interface RulesEmitter {
  readonly events: ProviderEventEmitter<AnyProviderEvent>;
  readonly tell: (event: RulesEvent) => void;
}

export const createRulesEmitter = (): RulesEmitter => {
  const events = new Emitter();
  return {
    events,
    tell: ({ type, message, ...more }) =>
      events.emit(eventTypes[type], {
        message,
        ...("flagsChanged" in more ? { flagsChanged: [...more.flagsChanged] } : {}),
      }),
  };
};
