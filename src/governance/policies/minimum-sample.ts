import type * as v from "valibot";
import { concludesNothing } from "./concluding.ts";
import { judgeMissingTelemetry } from "./missing.ts";
import type { PolicyContext, PolicyVerdict } from "./policy.ts";
import type { MinimumSampleSchema } from "./schema.ts";

/** Enough distinct subjects were exposed, in all or in every variant that is planned to have any. */
export const judgeMinimumSample = (
  policy: v.InferOutput<typeof MinimumSampleSchema>,
  context: PolicyContext,
): PolicyVerdict => {
  const exempt = concludesNothing(context);
  if (exempt !== null) return { compliant: true, reason: exempt, evidence: {} };
  const { telemetry } = context.evidence;
  if (telemetry.status === "unavailable") return judgeMissingTelemetry(policy, context, telemetry, "sample");
  const { at, exposed, subjects } = telemetry;
  const { minSubjects } = policy;
  if (!policy.perVariant) {
    const evidence = { exposed: { source: "ledger", at, value: exposed } };
    const compliant = exposed >= minSubjects;
    return { compliant, reason: `${exposed} of ${minSubjects} subjects have been exposed`, evidence };
  }
  const counts = new Map(Object.entries(subjects));
  const [smallest] = context.configuration.variants
    .filter(({ weight }) => weight > 0)
    .map(({ key }) => ({ key, count: counts.get(key) ?? 0 }))
    .toSorted((a, b) => a.count - b.count);
  if (smallest === undefined) throw new TypeError("minimumSample: no variant has a weight");
  return {
    compliant: smallest.count >= minSubjects,
    reason: `${smallest.count} of ${minSubjects} subjects have been exposed to ${smallest.key}, the smallest arm`,
    evidence: {
      smallestArm: { source: "ledger", at, value: smallest.key },
      exposed: { source: "ledger", at, value: smallest.count },
    },
  };
};
