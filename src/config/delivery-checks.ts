/** Rules of notices, audit sinks and published rules that look at several members. */
import type { Check } from "./check.ts";
import { items, member } from "./path.ts";
import { persistenceTypeOf } from "./persistence.ts";

/** A position in the histories is kept for each name: two of one name would take each other's events. */
const distinct =
  (section: "notices" | "audit"): Check =>
  (dsl, { describe }) => {
    const seen = new Set<string>();
    return items(member(member(dsl, "governance"), section)).flatMap((entry, index) => {
      const written = member(entry, "name");
      const type = member(entry, "type");
      const name =
        typeof written === "string" ? written : section === "audit" && typeof type === "string" ? type : null;
      if (name === null || !seen.has(name)) {
        if (name !== null) seen.add(name);
        return [];
      }
      const path = ["governance", section, index, written === undefined ? "type" : "name"];
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

export const deliveryErrors: readonly Check[] = [distinct("notices"), distinct("audit"), lastingRules];
