/** `proviso/openfeature`: a provider for `@openfeature/server-sdk`. Each flag is an experiment. */
import type { JsonValue, Provider } from "@openfeature/server-sdk";
import { createRulesEmitter, providerName } from "./emitter.ts";
import { createProviderCore, type ProviderOptions } from "./provider.ts";

export type { ProviderOptions } from "./provider.ts";

/**
 * @example
 * await OpenFeature.setProviderAndWait(provisoProvider({ experiments }));
 * const client = OpenFeature.getClient();
 * await client.getBooleanValue("checkout-redesign", false, { targetingKey: "user-42", country: "US" });
 */
export const provisoProvider = (options: ProviderOptions): Provider => {
  const { events, tell } = createRulesEmitter();
  const core = createProviderCore(options, tell);
  return {
    metadata: { name: providerName },
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
