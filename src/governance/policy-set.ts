/** The gates and policies in force, and which of them apply to one change. */
import { digestOf } from "../canonical.ts";
import type { LifecycleState } from "../lifecycle.ts";
import type { ChangeKind } from "./events.ts";
import type { Gate } from "./gates/schema.ts";
import { appliesTo } from "./policies/judge.ts";
import type { Policy } from "./policies/schema.ts";

export interface PolicySet {
  readonly gates: readonly Gate[];
  readonly policies: readonly Policy[];
}

/** The part of a policy set that decides one change, and its digest: approvals are bound to it. */
export interface ApplicablePolicySet extends PolicySet {
  readonly digest: string;
}

const isBrake = (to: LifecycleState): boolean => to === "Paused" || to === "RolledBack";

/**
 * What applies to a change from one state to another. Nothing ever applies to pausing and rolling back: a brake
 * that waits is no brake.
 */
export const applicable = (
  set: PolicySet,
  kind: ChangeKind,
  from: LifecycleState,
  to: LifecycleState,
): ApplicablePolicySet => {
  const gates = isBrake(to)
    ? []
    : set.gates.filter((gate) => gate.to === to && (gate.from === undefined || gate.from === from));
  const policies = isBrake(to) ? [] : set.policies.filter((policy) => appliesTo(policy, kind, to));
  return { gates, policies, digest: digestOf({ kind, gates, policies }) };
};
