/** `proviso/openfeature/web`: a provider for `@openfeature/web-sdk`. Each flag is an experiment. */
import type { JsonValue, Provider } from "@openfeature/web-sdk";
import { createRulesEmitter, providerName } from "./emitter.ts";
import { createProviderCore, type ProviderOptions } from "./provider.ts";

export type { ProviderOptions } from "./provider.ts";

/**
 * Evaluates by the rules in memory, so a change of context needs no request.
 *
 * @example
 * await OpenFeature.setContext({ targetingKey: "user-42" });
 * await OpenFeature.setProviderAndWait(provisoWebProvider({ experiments }));
 * OpenFeature.getClient().getBooleanValue("checkout-redesign", false);
 */
export const provisoWebProvider = (options: ProviderOptions): Provider => {
  const { events, tell } = createRulesEmitter();
  const core = createProviderCore(options, tell);
  return {
    metadata: { name: providerName },
    events,
    runsOn: "client",
    initialize: () => core.initialize(),
    onClose: () => core.onClose(),
    track: (name, context, details) => core.track(name, context, details),
    resolveBooleanEvaluation: (key, otherwise, context) => core.resolve("boolean", key, otherwise, context),
    resolveStringEvaluation: (key, otherwise, context) => core.resolve("string", key, otherwise, context),
    resolveNumberEvaluation: (key, otherwise, context) => core.resolve("number", key, otherwise, context),
    resolveObjectEvaluation: <T extends JsonValue>(
      key: string,
      otherwise: T,
      context: Parameters<Provider["resolveObjectEvaluation"]>[2],
    ) => core.resolve("object", key, otherwise, context),
  };
};
