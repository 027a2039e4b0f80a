/** Rules of notices, audit sinks, event sinks and published rules that look at several members. */
import type { Check } from "./check.ts";
import { items, member } from "./path.ts";
import { persistenceTypeOf } from "./persistence.ts";
import { ownQueues } from "./sink-schema.ts";

/**
 * A position in the histories is kept for each name of a notice or audit sink: two of one name would take each other's
 * events. Event sinks are told apart by theirs in health and logs.
 */
const distinct =
  (part: "governance" | "dataPlane", section: "notices" | "audit" | "sinks"): Check =>
  (dsl, { describe }) => {
    const seen = new Set<string>();
    return items(member(member(dsl, part), section)).flatMap((entry, index) => {
      const written = member(entry, "name");
      const type = member(entry, "type");
      const name =
        typeof written === "string" ? written : section !== "notices" && typeof type === "string" ? type : null;
      if (name === null || !seen.has(name)) {
        if (name !== null) seen.add(name);
        return [];
      }
      const path = [part, section, index, written === undefined ? "type" : "name"];
      const shown = describe(path);
      return [
        {
          path,
          at: "value",
          what: written === undefined ? `found ${shown} again, without a name` : `found the name ${shown} again`,
          allowed: "names that differ",
        },
      ];
    });
  };

/** A memory that begins anew knows lower revisions than are published: nothing of it would be. */
const lastingRules: Check = (dsl) => {
  const governance = member(dsl, "governance");
  if (member(member(governance, "rules"), "kv") === undefined) return [];
  if (persistenceTypeOf(member(governance, "persistence")) !== "memory") return [];
  return [
    {
      path: ["governance", "rules", "kv"],
      at: "value",
      what: "found rules to be published from a store that forgets them",
      allowed: "kv beside a store that lasts",
    },
  ];
};

/** Its events would come back to the consumer, and go there again, for ever. */
const circularSinks: Check = (dsl, { describe }) =>
  items(member(member(dsl, "dataPlane"), "sinks")).flatMap((sink, index) => {
    const queue = member(sink, "queue");
    if (typeof queue !== "string" || !ownQueues.includes(queue)) return [];
    const path = ["dataPlane", "sinks", index, "queue"];
    const what = `found ${describe(path)}, a queue that the Worker itself feeds`;
    return [{ path, at: "value", what, allowed: "the binding of a queue that somebody else reads" }];
  });

export const deliveryErrors: readonly Check[] = [
  distinct("governance", "notices"),
  distinct("governance", "audit"),
  distinct("dataPlane", "sinks"),
  circularSinks,
  lastingRules,
];
