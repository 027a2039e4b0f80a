import type * as v from "valibot";
import { judgeMissingTelemetry } from "./missing.ts";
import type { PolicyContext, PolicyVerdict } from "./policy.ts";
import type { ErrorRateSchema } from "./schema.ts";

/** Errors as the ledger counted them, in the worst arm. An experiment that has served nobody has no errors. */
export const judgeErrorRate = (
  policy: v.InferOutput<typeof ErrorRateSchema>,
  context: PolicyContext,
): PolicyVerdict => {
  const { telemetry: errors } = context.evidence;
  if (errors.status === "unavailable") return judgeMissingTelemetry(policy, context, errors, "error rate");
  const evidence = {
    errorRate: { source: "ledger", at: errors.at, value: errors.worstErrorRate },
    exposed: { source: "ledger", at: errors.at, value: errors.exposed },
  };
  if (errors.exposed === 0) return { compliant: true, reason: "nobody has been exposed yet", evidence };
  const where = errors.worstVariant === null ? "" : ` in ${errors.worstVariant}`;
  const compliant = errors.worstErrorRate <= policy.maxErrorRate;
  return {
    compliant,
    reason: `error rate ${errors.worstErrorRate}${where} is ${compliant ? "within" : "above"} ${policy.maxErrorRate}`,
    evidence,
  };
};
