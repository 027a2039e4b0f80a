/** The list of policies: where each is asked, what it needs to see, and who judges it. A new policy is a file and three lines here. */
import type { LifecycleState } from "../../lifecycle.ts";
import type { ChangeKind } from "../events.ts";
import { parseExpression } from "./cel.ts";
import { judgeConflictPrevention } from "./conflict-prevention.ts";
import { judgeCustom } from "./custom.ts";
import { judgeErrorRate } from "./error-rate.ts";
import { judgeExpression } from "./expression.ts";
import { judgeMaxDuration } from "./max-duration.ts";
import { judgeMinimumSample } from "./minimum-sample.ts";
import { type PolicyContext, PolicyFailure, type PolicyResult, type PolicyVerdict } from "./policy.ts";
import { judgeRequireFields } from "./require-fields.ts";
import { judgeSampleRatio } from "./sample-ratio.ts";
import type { Policy } from "./schema.ts";
import { judgeTimeWindow } from "./time-window.ts";
import { judgeTrafficLimit } from "./traffic-limit.ts";

type Targets = readonly LifecycleState[] | "all";
/** Target states by kind of change; a kind that is not here is not asked about. */
type Places = Readonly<Partial<Record<ChangeKind, Targets>>>;

const widening = ["Running", "Ramping"] as const;
const wherePeopleWait = { transition: "all", rampStep: "all", publish: "all" } as const;

/**
 * Where a policy is asked when its configuration does not say. Going back to a version that ran before is the way out of
 * trouble, so by default only the limit on traffic stands in it.
 */
const defaultPlaces: Readonly<Record<Policy["type"], Places>> = {
  trafficLimit: { transition: widening, rampStep: widening, publish: widening, rollback: widening },
  errorRate: { transition: widening, rampStep: widening, publish: widening },
  conflictPrevention: { transition: widening, rampStep: widening },
  timeWindow: wherePeopleWait,
  minimumSample: { transition: ["Archived"] },
  // A new version may be what mends the ratio.
  sampleRatio: { transition: [...widening, "Archived"], rampStep: widening },
  maxDuration: { transition: widening, rampStep: widening, publish: widening },
  requireFields: { transition: ["PendingApproval", "Approved"], publish: "all" },
  expression: wherePeopleWait,
  custom: wherePeopleWait,
};

/** Whether a policy is asked about a change of this kind into this state. `on` and `to` of the policy come first. */
export const appliesTo = (policy: Policy, kind: ChangeKind, to: LifecycleState): boolean => {
  const places = defaultPlaces[policy.type];
  if (policy.on === undefined ? places[kind] === undefined : !policy.on.includes(kind)) return false;
  const targets = policy.to ?? places[kind] ?? "all";
  return targets === "all" || targets.includes(to);
};

/** What must be read before the policy can be judged. */
export interface Needs {
  readonly telemetry: boolean;
  readonly others: boolean;
}

const nothing: Needs = { telemetry: false, others: false };
const figures: Needs = { telemetry: true, others: false };

export const needsOf = (policy: Policy): Needs => {
  switch (policy.type) {
    case "errorRate":
    case "minimumSample":
    case "sampleRatio":
      return figures;
    case "conflictPrevention":
      return { telemetry: false, others: true };
    case "expression": {
      const parsed = parseExpression(policy.expression);
      if (!parsed.ok) return nothing;
      const { telemetry, running } = parsed.expression.uses;
      return { telemetry, others: running };
    }
    case "trafficLimit":
    case "timeWindow":
    case "maxDuration":
    case "requireFields":
    case "custom":
      return nothing;
    default:
      return policy satisfies never;
  }
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
    case "minimumSample":
      return judgeMinimumSample(policy, context);
    case "sampleRatio":
      return judgeSampleRatio(policy, context);
    case "maxDuration":
      return judgeMaxDuration(policy, context);
    case "requireFields":
      return judgeRequireFields(policy, context);
    case "expression":
      return judgeExpression(policy, context);
    case "custom":
      return judgeCustom(policyName(policy), context);
    default:
      return policy satisfies never;
  }
};

/** What the record says of a failure: our own words, or the name alone. Nobody knows what other messages hold. */
const wordsOf = (cause: unknown): string => {
  if (cause instanceof PolicyFailure) return `the policy failed: ${cause.message}`;
  return `the policy failed (${cause instanceof Error ? cause.name : typeof cause})`;
};

/** Judges one policy. One that throws counts as a Critical violation: a broken rule must not pass by accident. */
export const judgePolicy = (policy: Policy, context: PolicyContext): PolicyResult => {
  try {
    const { compliant, reason, evidence } = judge(policy, context);
    return { policy: policyName(policy), severity: policy.severity, compliant, reason, evidence };
  } catch (cause) {
    const reason = wordsOf(cause);
    return { policy: policyName(policy), severity: "Critical", compliant: false, reason, evidence: {} };
  }
};
