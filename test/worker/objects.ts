/** The Durable Object store of the `worker` project, on real objects. */
import { env } from "cloudflare:workers";
import type { HistoryStub } from "../../adapters/store/durable-object.ts";
import { durableObjectStore } from "../../adapters/store/durable-object.ts";
import type { Registry } from "../../adapters/store/durable-object-registry.ts";
import type { GovernanceStore } from "../../src/governance/store.ts";
import { type ExperimentRef, refKey, type Scope, scopeKey } from "../../src/scope.ts";
import type { ObjectNamespace } from "../../worker/env.ts";
import type { RegistryObject } from "../../worker/registry-object.ts";
import type { HistoryObject } from "./history-object.ts";

declare global {
  namespace Cloudflare {
    interface Env {
      EXPERIMENTS: DurableObjectNamespace<HistoryObject>;
      REGISTRIES: DurableObjectNamespace<RegistryObject>;
    }
  }
}

/** By what the objects can do: the generated stub types turn every `unknown` into `never`. */
const experiments: ObjectNamespace<HistoryStub & Pick<HistoryObject, "catchUp">> = env.EXPERIMENTS;
const registries: ObjectNamespace<Registry> = env.REGISTRIES;

export const experimentObject = (ref: ExperimentRef) => experiments.getByName(refKey(ref));
export const registryObject = (scope: Scope) => registries.getByName(scopeKey(scope));

export const objectStore = (): GovernanceStore =>
  durableObjectStore({ experiment: experimentObject, registry: registryObject });
