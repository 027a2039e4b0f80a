/** Stores of your own, under the names by which `persistence: { type: custom, name }` finds them (adapters/README.md). */
import type { CustomStores } from "../src/config/custom-stores.ts";
import type { WorkerEnv } from "./env.ts";
import type { StorePlace } from "./postgres.ts";

export interface StoreHost {
  /** All bindings of the Worker: what is not in its type, `Reflect.get(env, "NAME")` reads. */
  readonly env: WorkerEnv;
  /** A connection belongs to the request that opened it; an object may keep its own. */
  readonly place: StorePlace;
}

export const customStores: CustomStores<StoreHost> = {};
