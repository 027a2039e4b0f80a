import type * as v from "valibot";
import type { PolicyContext, PolicyVerdict } from "./policy.ts";
import type { ConflictPreventionSchema } from "./schema.ts";

type ConflictPrevention = v.InferOutput<typeof ConflictPreventionSchema>;

const others = (policy: ConflictPrevention, experiment: string): readonly string[] =>
  policy.conflictingExperiments.filter((name) => name !== experiment);

/** None of the listed experiments may be Running, Ramping or Paused when this one starts. */
export const judgeConflictPrevention = (policy: ConflictPrevention, context: PolicyContext): PolicyVerdict => {
  const at = new Date(context.evidence.now).toISOString();
  const conflicting = others(policy, context.experiment);
  const found = context.evidence.running.filter((running) => conflicting.includes(running.name));
  const names = found.map((running) => `${running.name} (${running.state})`).join(", ");
  const evidence = { running: { source: "store", at, value: names === "" ? null : names } };
  return found.length === 0
    ? { compliant: true, reason: `none of ${conflicting.join(", ")} is running`, evidence }
    : { compliant: false, reason: `conflicts with ${names}`, evidence };
};

/**
 * One claim for each pair, taken with the start: the list of running experiments is read before the commit, so two
 * that start at one moment see each other only here. JSON keeps pairs apart whatever the names hold.
 */
export const conflictClaims = (policy: ConflictPrevention, experiment: string): readonly string[] =>
  others(policy, experiment).map((other) => `conflict:${JSON.stringify([experiment, other].toSorted())}`);
