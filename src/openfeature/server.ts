/** `proviso/openfeature`: a provider for `@openfeature/server-sdk`. Each flag is an experiment. */
import { type JsonValue, OpenFeatureEventEmitter, type Provider, ProviderEvents } from "@openfeature/server-sdk";
import { createProviderCore, type ProviderOptions } from "./provider.ts";

export type { ProviderOptions } from "./provider.ts";

/**
 * @example
 * await OpenFeature.setProviderAndWait(provisoProvider({ experiments }));
 * const client = OpenFeature.getClient();
 * await client.getBooleanValue("checkout-redesign", false, { targetingKey: "user-42", country: "US" });
 */
export const provisoProvider = (options: ProviderOptions): Provider => {
  const events = new OpenFeatureEventEmitter();
  const core = createProviderCore(options, (event) => {
    switch (event.type) {
      case "PROVIDER_READY":
        return events.emit(ProviderEvents.Ready, { message: event.message });
      case "PROVIDER_STALE":
        return events.emit(ProviderEvents.Stale, { message: event.message });
      case "PROVIDER_CONFIGURATION_CHANGED":
        return events.emit(ProviderEvents.ConfigurationChanged, {
          message: event.message,
          flagsChanged: [...event.flagsChanged],
        });
      default:
        return event satisfies never;
    }
  });
  return {
    metadata: { name: "proviso" },
    events,
    runsOn: "server",
    initialize: () => core.initialize(),
    onClose: () => core.onClose(),
    track: (name, context, details) => core.track(name, context, details),
    resolveBooleanEvaluation: async (key, otherwise, context) => core.resolve("boolean", key, otherwise, context),
    resolveStringEvaluation: async (key, otherwise, context) => core.resolve("string", key, otherwise, context),
    resolveNumberEvaluation: async (key, otherwise, context) => core.resolve("number", key, otherwise, context),
    resolveObjectEvaluation: async <T extends JsonValue>(
      key: string,
      otherwise: T,
      context: Parameters<Provider["resolveObjectEvaluation"]>[2],
    ) => core.resolve("object", key, otherwise, context),
  };
};
