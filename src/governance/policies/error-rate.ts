import type * as v from "valibot";
import type { PolicyContext, PolicyVerdict } from "./policy.ts";
import type { ErrorRateSchema } from "./schema.ts";

/**
 * Errors as the ledger counted them, in the worst arm. An experiment that has served nobody has no errors; a ledger
 * that cannot be read is missing telemetry, which holds a change that widens traffic unless the policy says otherwise.
 */
export const judgeErrorRate = (
  policy: v.InferOutput<typeof ErrorRateSchema>,
  context: PolicyContext,
): PolicyVerdict => {
  const { telemetry: errors } = context.evidence;
  if (errors.status === "unavailable") {
    const widens = context.configuration.traffic > context.servedTraffic;
    const choice = policy.onMissing ?? (widens ? "hold" : "allow");
    const reason = `error telemetry is missing (${errors.reason}); onMissing: ${choice}`;
    const compliant = { allow: true, hold: null, deny: false }[choice];
    return { compliant, reason, evidence: { errorRate: { source: "ledger", at: errors.at, value: null } } };
  }
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
