/**
 * Rules between the parts of a configuration. They look at whatever could be understood, also when other parts are
 * wrong, so that one wrong number does not hide them.
 */
import { type MetricKind, metricKinds } from "../experiment.ts";
import { slotsNeeded } from "../governance/exclusion.ts";
import { parseExpression } from "../governance/policies/cel.ts";
import { errorMetric } from "../ledger/batch.ts";
import { limits } from "../limits.ts";
import { allowedTransitions, canTransition, type LifecycleState, parseState } from "../lifecycle.ts";
import type { Check, Context } from "./check.ts";
import { deliveryErrors } from "./delivery-checks.ts";
import { type Finding, quote, type Reading } from "./finding.ts";
import { nearest } from "./nearest.ts";
import { items, member, type Path, pointer } from "./path.ts";
import { persistenceErrors, persistenceWarnings } from "./persistence-checks.ts";

export interface CrossChecked {
  readonly errors: readonly Finding[];
  readonly warnings: readonly Finding[];
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

/** A policy's expression is parsed here, not in the schema: what the parser says may quote what must not be shown. */
const expressions: Check = (dsl, { isSecret }) =>
  items(member(member(dsl, "governance"), "policies")).flatMap((policy, index): readonly Finding[] => {
    const expression = text(member(policy, "expression"));
    if (member(policy, "type") !== "expression" || expression === undefined) return [];
    // The schema says what is wrong with these.
    if (expression === "" || expression.length > limits.expressionCharacters) return [];
    const parsed = parseExpression(expression);
    if (parsed.ok) return [];
    const path = ["governance", "policies", index, "expression"];
    const place = parsed.position === null ? "" : ` (character ${parsed.position})`;
    const problem = isSecret(path) ? "" : `: ${parsed.problem.replaceAll(/\s+/g, " ").slice(0, 200)}${place}`;
    return [
      {
        path,
        at: "value",
        what: `the expression cannot be understood${problem}`,
        allowed: "a CEL expression that yields true or false",
      },
    ];
  });

interface Holder {
  /** Of its place in the list of surfaces. */
  readonly path: Path;
  readonly name: string;
  readonly start: number;
  readonly end: number;
}

const instant = (value: unknown): number => Date.parse(text(value) ?? "");

/** Who declares each surface, in the order of the file. An experiment without a start has no time that is known. */
const holdersBySurface = (dsl: unknown, { describe }: Context): ReadonlyMap<string, readonly Holder[]> => {
  const holders = new Map<string, Holder[]>();
  items(member(dsl, "experiments")).forEach((experiment, index) => {
    const schedule = member(experiment, "schedule");
    const end = member(schedule, "end") === undefined ? Infinity : instant(member(schedule, "end"));
    const start = instant(member(schedule, "start"));
    const name = describe(["experiments", index, "name"]);
    const seen = new Set<string>();
    items(member(experiment, "surfaces")).forEach((surface, position) => {
      if (typeof surface !== "string" || seen.has(surface)) return;
      seen.add(surface);
      const path = ["experiments", index, "surfaces", position];
      holders.set(surface, [...(holders.get(surface) ?? []), { path, name, start, end }]);
    });
  });
  return holders;
};

const overlap = (one: Holder, other: Holder): boolean => one.start < other.end && other.start < one.end;

/** For each experiment but the first that declares a surface: an earlier one it meets there for sure, or may meet. */
const sharedSurfaces = (dsl: unknown, context: Context, wanted: "certain" | "possible"): readonly Finding[] =>
  [...holdersBySurface(dsl, context).values()].flatMap((holders) =>
    holders.slice(1).flatMap((later, index): readonly Finding[] => {
      const earlier = holders.slice(0, index + 1);
      const met = earlier.find((holder) => overlap(holder, later));
      const other = wanted === "certain" ? met : met === undefined ? earlier[0] : undefined;
      if (other === undefined) return [];
      const surface = context.describe(later.path);
      const both = `${later.name} and ${other.name}`;
      return [
        {
          path: later.path,
          at: "value",
          what:
            wanted === "certain"
              ? `${both} both hold the surface ${surface}, and their schedules overlap`
              : `${both} both hold the surface ${surface}, so they cannot run at the same time`,
          allowed: wanted === "certain" ? "schedules that follow each other" : "one after the other",
        },
      ];
    }),
  );

const overlappingSchedules: Check = (dsl, context) => sharedSurfaces(dsl, context, "certain");
const contestedSurfaces: Check = (dsl, context) => sharedSurfaces(dsl, context, "possible");

interface Sharer {
  readonly index: number;
  readonly path: Path;
  readonly name: string;
  /** Percent of the group that it takes. */
  readonly share: number;
  readonly start: number;
  readonly end: number;
  /** What its ids stand for; undefined where that cannot be read. */
  readonly subject: string | undefined;
}

/** Who shares each exclusion group, in the order of the file. */
const sharersByGroup = (dsl: unknown, { describe }: Context): ReadonlyMap<string, readonly Sharer[]> => {
  const sharers = new Map<string, Sharer[]>();
  items(member(dsl, "experiments")).forEach((experiment, index) => {
    const group = text(member(member(experiment, "exclusion"), "group"));
    const traffic = member(experiment, "traffic") ?? 100;
    if (group === undefined || typeof traffic !== "number") return;
    const schedule = member(experiment, "schedule");
    const subject = member(experiment, "subject");
    const sharer: Sharer = {
      index,
      path: ["experiments", index, "exclusion", "group"],
      name: describe(["experiments", index, "name"]),
      share: slotsNeeded({ traffic, exclusion: { group } }),
      start: instant(member(schedule, "start")),
      end: member(schedule, "end") === undefined ? Infinity : instant(member(schedule, "end")),
      subject: subject === undefined ? "user" : text(subject),
    };
    sharers.set(group, [...(sharers.get(group) ?? []), sharer]);
  });
  return sharers;
};

const shareOf = (sharers: readonly Sharer[]): number => sharers.reduce((sum, { share }) => sum + share, 0);

/** The most that is wanted of a group at one moment, with this one and those before it: shares only grow at a start. */
const crowd = (sharers: readonly Sharer[], last: Sharer): readonly Sharer[] =>
  sharers
    .map(({ start }) => sharers.filter((sharer) => sharer.start <= start && start < sharer.end))
    .filter((running) => running.includes(last))
    .toSorted((a, b) => shareOf(b) - shareOf(a))[0] ?? [];

/** Shares of a group that do not fit beside each other: for sure, by their schedules, or if they were to run together. */
const crowdedGroups = (dsl: unknown, context: Context, wanted: "certain" | "possible"): readonly Finding[] =>
  [...sharersByGroup(dsl, context).values()].flatMap((sharers) =>
    sharers.flatMap((last, index): readonly Finding[] => {
      const known = sharers.slice(0, index + 1);
      const meeting = crowd(known, last);
      const certain = shareOf(meeting) > 100;
      const found = certain ? meeting : known;
      // Once said, it need not be said of every further one.
      const saidBefore = !certain && shareOf(known.slice(0, -1)) > 100;
      if (certain !== (wanted === "certain") || shareOf(found) <= 100 || saidBefore) return [];
      const names = found.map(({ name, share }) => `${name} (${share} percent)`).join(", ");
      const group = context.describe(last.path);
      const what = certain
        ? `${names} share the exclusion group ${group}, and their schedules overlap`
        : `${names} share the exclusion group ${group}, so they cannot all run at the same time`;
      return [{ path: last.path, at: "value", what, allowed: "traffic of at most 100 percent together" }];
    }),
  );

const overfullGroups: Check = (dsl, context) => crowdedGroups(dsl, context, "certain");
const contestedGroups: Check = (dsl, context) => crowdedGroups(dsl, context, "possible");

/** Groups tell subjects apart by their ids, and a user's id says nothing of that user's device. */
const mixedGroups: Check = (dsl, context) =>
  [...sharersByGroup(dsl, context).values()].flatMap(([first, ...others]) =>
    others.flatMap(({ path, name, subject, index }): readonly Finding[] => {
      if (first === undefined || subject === undefined || first.subject === undefined) return [];
      if (subject === first.subject) return [];
      const own = context.isSecret(["experiments", index, "subject"]) ? "another subject" : `subject ${quote(subject)}`;
      const what = `${name} has ${own} and shares the exclusion group ${context.describe(path)} with ${first.name}`;
      return [{ path, at: "value", what, allowed: "experiments of one group with one type of subject" }];
    }),
  );

interface Watched {
  readonly path: Path;
  readonly metric: string;
  readonly kind: string;
  readonly kindIsDefault: boolean;
  /** Kinds by metric; undefined where what stands there is none. */
  readonly declared: ReadonlyMap<string, MetricKind | undefined>;
  /** Names of metrics that may be shown. */
  readonly shown: readonly string[];
}

const guardrails = (dsl: unknown, { isSecret }: Context): readonly Watched[] =>
  items(member(dsl, "experiments")).flatMap((experiment, index) => {
    const metrics = items(member(experiment, "metrics")).flatMap((metric, position) => {
      const name = text(member(metric, "name"));
      const kind = metricKinds.find((known) => known === member(metric, "kind"));
      const secret = isSecret(["experiments", index, "metrics", position, "name"]);
      return name === undefined ? [] : [{ name, kind, secret }];
    });
    // Error events are counted under this name, declared or not.
    const known = metrics.some(({ name }) => name === errorMetric)
      ? metrics
      : [...metrics, { name: errorMetric, kind: "binary" as const, secret: false }];
    const declared = new Map(known.map(({ name, kind }) => [name, kind]));
    const shown = known.flatMap(({ name, secret }) => (secret ? [] : [name]));
    return items(member(experiment, "guardrails")).flatMap((guardrail, position): readonly Watched[] => {
      const metric = text(member(guardrail, "metric"));
      const written = member(guardrail, "kind");
      const kind = written === undefined ? "binary" : text(written);
      const path = ["experiments", index, "guardrails", position];
      return metric === undefined || kind === undefined
        ? []
        : [{ path, metric, kind, kindIsDefault: written === undefined, declared, shown }];
    });
  });

/** Metrics need not be declared to be counted, but a misspelled one is never counted, and its guardrail never acts. */
const undeclaredGuardrails: Check = (dsl, context) =>
  guardrails(dsl, context).flatMap(({ path, metric, declared, shown }): readonly Finding[] => {
    if (declared.has(metric)) return [];
    const place = [...path, "metric"];
    const near = context.isSecret(place) ? undefined : nearest(metric, shown);
    return [
      {
        path: place,
        at: "value",
        what: `the guardrail's metric ${context.describe(place)} is not among the metrics of this experiment`,
        allowed: shown.map(quote).join(", "),
        suggestion: near === undefined ? undefined : { text: near, quoted: true },
      },
    ];
  });

/** A metric is counted by kind: a guardrail that watches another kind than is sent would never act. */
const contradictingGuardrails: Check = (dsl, context) =>
  guardrails(dsl, context).flatMap(({ path, metric, kind, kindIsDefault, declared }): readonly Finding[] => {
    const wanted = declared.get(metric);
    if (wanted === undefined || wanted === kind) return [];
    const shown = context.describe([...path, "metric"]);
    return [
      {
        path: [...path, kindIsDefault ? "metric" : "kind"],
        at: "value",
        what: kindIsDefault
          ? `found a guardrail on ${shown} without a kind, which is binary`
          : `found a guardrail on ${shown} of kind ${context.describe([...path, "kind"])}`,
        allowed: `kind: ${wanted}, as the metric is counted`,
      },
    ];
  });

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

const errorChecks: readonly Check[] = [
  ...persistenceErrors,
  ...deliveryErrors,
  experimentNames,
  policyNames,
  uselessGates,
  openCors,
  idleKinds,
  expressions,
  overlappingSchedules,
  contradictingGuardrails,
  overfullGroups,
  mixedGroups,
];
const warningChecks: readonly Check[] = [
  unreachableGates,
  unknownConflicts,
  ...persistenceWarnings,
  contestedSurfaces,
  contestedGroups,
  undeclaredGuardrails,
];

/** Runs every rule; the paths in what it returns are those of the file. */
export const crossCheck = (
  understood: unknown,
  reading: Pick<Reading, "describe" | "isSecret" | "isFile">,
  toSource: (path: Path) => Path,
): CrossChecked => {
  const context: Context = {
    isFile: reading.isFile,
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
