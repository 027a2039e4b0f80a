import type * as v from "valibot";
import { holdsSurfaces } from "../../lifecycle.ts";
import type { PolicyContext, PolicyVerdict } from "./policy.ts";
import type { ConflictPreventionSchema } from "./schema.ts";

type ConflictPrevention = v.InferOutput<typeof ConflictPreventionSchema>;

/** Whether the policy keeps two experiments apart. It does not matter which of them asks. */
const keepsApart = (policy: ConflictPrevention, one: string, other: string): boolean => {
  const listed = (name: string): boolean => policy.conflictingExperiments.includes(name);
  const governed = (name: string): boolean => policy.experiments === undefined || policy.experiments.includes(name);
  return one !== other && ((listed(one) && governed(other)) || (listed(other) && governed(one)));
};

/** No experiment that this one is kept apart from may be Running, Ramping or Paused when it starts. */
export const judgeConflictPrevention = (policy: ConflictPrevention, context: PolicyContext): PolicyVerdict => {
  const at = new Date(context.evidence.now).toISOString();
  const { others } = context.evidence;
  if (others === null) {
    const evidence = { running: { source: "store", at, value: null } };
    return { compliant: null, reason: "which experiments run could not be read", evidence };
  }
  const found = others.filter(
    ({ name, state }) => holdsSurfaces(state) && keepsApart(policy, context.experiment, name),
  );
  const names = found.map(({ name, state }) => `${name} (${state})`).join(", ");
  const evidence = { running: { source: "store", at, value: names === "" ? null : names } };
  return found.length === 0
    ? { compliant: true, reason: "nothing that conflicts is running", evidence }
    : { compliant: false, reason: `conflicts with ${names}`, evidence };
};

/**
 * One claim for each pair, taken with the start: what runs is read before the commit, so two that start at one moment
 * see each other only here. Named are all that are listed, and all that could start now. JSON keeps pairs apart
 * whatever the names hold.
 */
export const conflictClaims = (
  policy: ConflictPrevention,
  experiment: string,
  others: readonly { readonly name: string }[],
): readonly string[] =>
  [...new Set([...policy.conflictingExperiments, ...(policy.experiments ?? []), ...others.map(({ name }) => name)])]
    .filter((other) => keepsApart(policy, experiment, other))
    .map((other) => `conflict:${JSON.stringify([experiment, other].toSorted())}`);
