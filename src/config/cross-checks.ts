/**
 * Rules between the parts of a configuration. They look at whatever could be understood, also when other parts are
 * wrong, so that one wrong number does not hide them.
 */
import { allowedTransitions, canTransition, type LifecycleState, parseState } from "../lifecycle.ts";
import { type Finding, quote, type Reading } from "./finding.ts";
import { nearest } from "./nearest.ts";
import { items, member, type Path, pointer } from "./path.ts";

export interface CrossChecked {
  readonly errors: readonly Finding[];
  readonly warnings: readonly Finding[];
}

/** Paths in these findings are those of the understood value. */
type Check = (dsl: unknown, context: Context) => readonly Finding[];

interface Context {
  /** From a path in the understood value to the path in the file. */
  readonly toSource: (path: Path) => Path;
  /** What may be shown of the value at a path. */
  readonly describe: (path: Path) => string;
  readonly isSecret: (path: Path) => boolean;
}

const text = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined);

/** The later of two equal names, each where it stands. */
const repeated = (names: readonly (string | undefined)[]): readonly number[] => {
  const seen = new Set<string>();
  return names.flatMap((name, index) => {
    if (name === undefined) return [];
    if (seen.has(name)) return [index];
    seen.add(name);
    return [];
  });
};

const experimentNames: Check = (dsl, { describe }) => {
  const names = items(member(dsl, "experiments")).map((experiment) => text(member(experiment, "name")));
  return repeated(names).map((index) => {
    const path = ["experiments", index, "name"];
    const what = `found the experiment ${describe(path)} again`;
    return { path, at: "value", what, allowed: "names that differ" };
  });
};

/** A policy without a name is called by its type, so two of one type need names to be told apart in the history. */
const policyNames: Check = (dsl, { describe }) => {
  const policies = items(member(member(dsl, "governance"), "policies"));
  const names = policies.map((policy) => text(member(policy, "name")) ?? text(member(policy, "type")));
  return repeated(names).map((index) => {
    const named = text(member(policies[index], "name")) !== undefined;
    const path = ["governance", "policies", index, named ? "name" : "type"];
    const shown = describe(path);
    return {
      path,
      at: "value",
      what: named ? `found the policy ${shown} again` : `found ${shown} again, without a name`,
      allowed: "policies whose names differ; the default name is the type",
    };
  });
};

interface GatePlace {
  readonly path: Path;
  readonly type: string;
  /** null: any. */
  readonly from: LifecycleState | null;
  readonly to: LifecycleState;
}

const gatePlaces = (dsl: unknown): readonly GatePlace[] =>
  items(member(member(dsl, "governance"), "approvalGates")).flatMap((gate, index) => {
    const type = text(member(gate, "type"));
    const to = parseState(text(member(gate, "to")) ?? "");
    const written = member(gate, "from");
    const from = written === undefined ? null : parseState(text(written) ?? "");
    return type === undefined || to === undefined || from === undefined
      ? []
      : [{ path: ["governance", "approvalGates", index], type, from, to }];
  });

/** All gates of a change must agree, so an automatic one beside a stricter one opens nothing: it only looks as if. */
const uselessGates: Check = (dsl, { toSource }) => {
  const gates = gatePlaces(dsl);
  return gates.flatMap((gate): readonly Finding[] => {
    if (gate.type !== "automatic") return [];
    const stricter = gates.find(
      (other) =>
        other.type !== "automatic" && other.to === gate.to && (other.from === null || other.from === gate.from),
    );
    if (stricter === undefined) return [];
    const change = `${gate.from ?? "any state"} → ${gate.to}`;
    return [
      {
        path: [...gate.path, "type"],
        at: "value",
        what: `found an automatic gate on ${change} beside the ${stricter.type} gate ${pointer(toSource(stricter.path))}`,
        allowed: "one or the other: all gates of a change must agree, so the automatic one has no effect",
      },
    ];
  });
};

/** A gate on a move that the lifecycle does not have guards nothing, and may be meant to guard something. */
const unreachableGates: Check = (dsl) =>
  gatePlaces(dsl).flatMap((gate): readonly Finding[] => {
    if (gate.from === null || canTransition(gate.from, gate.to)) return [];
    const targets = allowedTransitions(gate.from);
    return [
      {
        path: [...gate.path, "to"],
        at: "value",
        what: `found a gate on ${gate.from} → ${gate.to}, which is no transition`,
        allowed: targets.length === 0 ? `none from ${gate.from}` : targets.join(", "),
      },
    ];
  });

/**
 * Experiments made over HTTP are not in the file, so an unknown name may be right; where the file lists none at all
 * there is nothing to compare with.
 */
const unknownConflicts: Check = (dsl, { describe, isSecret }) => {
  const known = items(member(dsl, "experiments")).flatMap((experiment, index) => {
    const name = text(member(experiment, "name"));
    return name === undefined ? [] : [{ name, secret: isSecret(["experiments", index, "name"]) }];
  });
  if (known.length === 0) return [];
  const shown = known.flatMap(({ name, secret }) => (secret ? [] : [name]));
  return items(member(member(dsl, "governance"), "policies")).flatMap((policy, index) =>
    items(member(policy, "conflictingExperiments")).flatMap((name, position): readonly Finding[] => {
      if (typeof name !== "string" || known.some((experiment) => experiment.name === name)) return [];
      const path = ["governance", "policies", index, "conflictingExperiments", position];
      const near = isSecret(path) ? undefined : nearest(name, shown);
      const suggestion = near === undefined ? undefined : { text: near, quoted: true };
      const what = `${describe(path)} is not among the experiments of this file`;
      return [{ path, at: "value", what, allowed: shown.map(quote).join(", "), suggestion }];
    }),
  );
};

const idleDatabase: Check = (dsl, { describe }) => {
  const persistence = member(member(dsl, "governance"), "persistence");
  const type = text(member(persistence, "type"))?.toLowerCase();
  const path = ["governance", "persistence", "database"];
  return (type === "memory" || type === "inmemory") && member(persistence, "database") !== undefined
    ? [
        {
          path,
          at: "value",
          what: `found the database ${describe(path)} beside type memory`,
          allowed: "only with type d1",
        },
      ]
    : [];
};

/** Any page, with its visitor's cookies, would act as the visitor. */
const openCors: Check = (dsl) => {
  const governance = member(dsl, "governance");
  const cors = member(governance, "cors");
  const index = items(member(cors, "origins")).indexOf("*");
  if (index === -1) return [];
  const beside =
    member(cors, "credentials") === true
      ? "credentials: true"
      : member(member(governance, "auth"), "type") === "cloudflareAccess"
        ? "auth of type cloudflareAccess, which goes by cookies"
        : undefined;
  if (beside === undefined) return [];
  const path = ["governance", "cors", "origins", index];
  return [{ path, at: "value", what: `found "*" beside ${beside}`, allowed: "exact origins" }];
};

const idleKinds: Check = (dsl) => {
  const claims = member(member(member(dsl, "governance"), "auth"), "claims");
  if (member(claims, "kindMap") === undefined || member(claims, "kind") !== undefined) return [];
  const path = ["governance", "auth", "claims", "kindMap"];
  return [
    { path, at: "key", what: "found kindMap without kind", allowed: "kindMap beside kind, which names the claim" },
  ];
};

const errorChecks: readonly Check[] = [experimentNames, policyNames, uselessGates, openCors, idleKinds];
const warningChecks: readonly Check[] = [unreachableGates, unknownConflicts, idleDatabase];

/** Runs every rule; the paths in what it returns are those of the file. */
export const crossCheck = (
  understood: unknown,
  reading: Pick<Reading, "describe" | "isSecret">,
  toSource: (path: Path) => Path,
): CrossChecked => {
  const context: Context = {
    toSource,
    describe: (path) => reading.describe(toSource(path)),
    isSecret: (path) => reading.isSecret(toSource(path)),
  };
  const run = (checks: readonly Check[]): readonly Finding[] =>
    checks.flatMap((check) =>
      check(understood, context).map((finding) => ({ ...finding, path: toSource(finding.path) })),
    );
  return { errors: run(errorChecks), warnings: run(warningChecks) };
};
