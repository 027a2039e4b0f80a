import type * as v from "valibot";
import { parseDuration } from "../../duration.ts";
import { isServing } from "../../lifecycle.ts";
import type { PolicyContext, PolicyVerdict } from "./policy.ts";
import type { TrafficLimitSchema } from "./schema.ts";

/**
 * Traffic at or under `maxTrafficPercentage` is always fine. More is allowed only when the experiment has served
 * without a break, at or under the limit, for `minStableTime`; without `minStableTime` it is never allowed.
 */
export const judgeTrafficLimit = (
  policy: v.InferOutput<typeof TrafficLimitSchema>,
  context: PolicyContext,
): PolicyVerdict => {
  const at = new Date(context.evidence.now).toISOString();
  // On the way to serving, what counts is what the content would serve.
  const wanted = isServing(context.to) ? context.trafficAfter : context.configuration.traffic;
  const evidence = { traffic: { source: "configuration", at, value: wanted } };
  if (wanted <= policy.maxTrafficPercentage) {
    return { compliant: true, reason: `traffic ${wanted} % is within ${policy.maxTrafficPercentage} %`, evidence };
  }
  const over = `traffic ${wanted} % is above ${policy.maxTrafficPercentage} %`;
  if (policy.minStableTime === undefined) return { compliant: false, reason: over, evidence };
  const stableMs =
    context.servingSince === null || context.servedTraffic > policy.maxTrafficPercentage
      ? 0
      : context.evidence.now - context.servingSince;
  const withStability = { ...evidence, stableMs: { source: "lifecycle", at, value: stableMs } };
  return stableMs >= (parseDuration(policy.minStableTime) ?? Infinity)
    ? { compliant: true, reason: `${over}, after ${policy.minStableTime} of stable serving`, evidence: withStability }
    : {
        compliant: false,
        reason: `${over}, and it has not served at or under it for ${policy.minStableTime}`,
        evidence: withStability,
      };
};
