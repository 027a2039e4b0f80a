/** Stores of type `custom`: functions of the host's code, by the names that `persistence` calls them. */
import { ProvisoError } from "../errors.ts";
import type { GovernanceStore } from "../governance/store.ts";
import { quote } from "./finding.ts";
import { nearest } from "./nearest.ts";
import type { Persistence } from "./persistence.ts";

type Custom = Extract<Persistence, { readonly type: "custom" }>;

/** `parameters` of the configuration, as they stand there: the function checks them. */
export type CustomStoreParameters = NonNullable<Custom["parameters"]>;

/**
 * Opens one store. It is called whenever a store is needed, so what may be shared between stores the host keeps itself.
 *
 * @param host what the host opens its stores from: in a Worker its bindings, elsewhere whatever was given
 */
export type OpenCustomStore<Host = undefined> = (parameters: CustomStoreParameters, host: Host) => GovernanceStore;

export type CustomStores<Host = undefined> = Readonly<Record<string, OpenCustomStore<Host>>>;

/**
 * The host's own store that a configuration names.
 *
 * @param persistence `governance.persistence`, or a part of a mirror
 * @param registered by the names that configurations call them
 * @param place of `persistence` in the configuration, for errors
 * @throws ProvisoError `invalid-dsl` for another type and for a name that nobody has registered, with those that are; and,
 * with the `cause`, when the host's function throws
 *
 * @example
 * const store = openCustomStore(dsl.governance.persistence, { bucket: ({ prefix }) => bucketStore(bucket, prefix) }, undefined);
 */
export const openCustomStore = <Host>(
  persistence: Persistence,
  registered: CustomStores<Host>,
  host: Host,
  place = "governance.persistence",
): GovernanceStore => {
  const { type } = persistence;
  if (type !== "custom") throw new ProvisoError("invalid-dsl", `${place}.type is ${type}; allowed here: custom`);
  const { name, parameters = {} } = persistence;
  const open = Object.hasOwn(registered, name) ? registered[name] : undefined;
  if (open === undefined) {
    const names = Object.keys(registered).toSorted();
    const meant = nearest(name, names);
    throw new ProvisoError(
      "invalid-dsl",
      `${place}.name names the store ${quote(name)}, which is not registered; registered: ` +
        `${names.length === 0 ? "none" : names.join(", ")}${meant === undefined ? "" : `; did you mean ${quote(meant)}?`}`,
    );
  }
  try {
    return open(parameters, host);
  } catch (cause) {
    if (cause instanceof ProvisoError) throw cause;
    // Its own words stay in the cause: they may repeat a secret among the parameters.
    throw new ProvisoError("invalid-dsl", `${place}: the store ${quote(name)} could not be opened`, {}, { cause });
  }
};
