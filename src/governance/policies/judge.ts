/** The list of policies: which states each is asked on, and who judges it. A new policy is a file and a line here. */
import type { LifecycleState } from "../../lifecycle.ts";
import { judgeConflictPrevention } from "./conflict-prevention.ts";
import { judgeErrorRate } from "./error-rate.ts";
import type { PolicyContext, PolicyResult, PolicyVerdict } from "./policy.ts";
import type { Policy } from "./schema.ts";
import { judgeTimeWindow } from "./time-window.ts";
import { judgeTrafficLimit } from "./traffic-limit.ts";

const widening: readonly LifecycleState[] = ["Running", "Ramping"];

/** Where a policy is asked when its configuration does not say: traffic rules where traffic grows, the clock everywhere. */
const defaultTargets: Readonly<Record<Policy["type"], readonly LifecycleState[] | "all">> = {
  trafficLimit: widening,
  errorRate: widening,
  conflictPrevention: widening,
  timeWindow: "all",
};

export const appliesTo = (policy: Policy, to: LifecycleState): boolean => {
  const targets = policy.to ?? defaultTargets[policy.type];
  return targets === "all" || targets.includes(to);
};

export const policyName = (policy: Policy): string => policy.name ?? policy.type;

const judge = (policy: Policy, context: PolicyContext): PolicyVerdict => {
  switch (policy.type) {
    case "trafficLimit":
      return judgeTrafficLimit(policy, context);
    case "errorRate":
      return judgeErrorRate(policy, context);
    case "timeWindow":
      return judgeTimeWindow(policy, context);
    case "conflictPrevention":
      return judgeConflictPrevention(policy, context);
    default:
      return policy satisfies never;
  }
};

/** Judges one policy. One that throws counts as a Critical violation: a broken rule must not pass by accident. Its message
 * stays out of the record, which is kept for ever: nobody knows what it holds. */
export const judgePolicy = (policy: Policy, context: PolicyContext): PolicyResult => {
  try {
    return { policy: policyName(policy), severity: policy.severity, ...judge(policy, context) };
  } catch (cause) {
    const reason = `the policy failed (${cause instanceof Error ? cause.name : typeof cause})`;
    return { policy: policyName(policy), severity: "Critical", compliant: false, reason, evidence: {} };
  }
};
