/** The gates and policies in force, and which of them apply to one change. */
import { canonicalJson, sha256Hex } from "../canonical.ts";
import type { LifecycleState } from "../lifecycle.ts";
import type { ChangeKind, EventRecord } from "./events.ts";
import type { Gate } from "./gates/schema.ts";
import { appliesTo } from "./policies/judge.ts";
import type { Policy } from "./policies/schema.ts";
import type { RuleSet } from "./store.ts";

export interface PolicySet {
  readonly gates: readonly Gate[];
  readonly policies: readonly Policy[];
  /** Who may go past gates and policies, with a reason; nobody when it is left out. */
  readonly breakGlass?: { readonly roles: readonly string[] };
}

/** The part of a policy set that decides one change, and its digest: approvals are bound to it. */
export interface ApplicablePolicySet extends RuleSet {
  readonly gates: readonly Gate[];
  readonly policies: readonly Policy[];
}

const isBrake = (to: LifecycleState): boolean => to === "Paused" || to === "RolledBack";

const gatesOn = (set: PolicySet, kind: ChangeKind, from: LifecycleState, to: LifecycleState): readonly Gate[] =>
  set.gates.filter(
    (gate) =>
      gate.on === kind && (kind !== "transition" || gate.to === to) && (gate.from === undefined || gate.from === from),
  );

/** Those that a kind of change has, or those of what it amounts to. */
const gatesOf = (set: PolicySet, kind: ChangeKind, from: LifecycleState, to: LifecycleState): readonly Gate[] => {
  switch (kind) {
    case "transition":
      return isBrake(to) ? [] : gatesOn(set, kind, from, to);
    case "rampStep":
      return gatesOn(set, kind, from, to);
    case "publish": {
      const own = gatesOn(set, kind, from, to);
      return own.length > 0 ? own : gatesOn(set, "transition", "PendingApproval", "Approved");
    }
    case "rollback": {
      const own = gatesOn(set, kind, from, to);
      return own.length > 0 ? own : gatesOf(set, "publish", from, to);
    }
    case "revive":
      return gatesOn(set, "transition", "Paused", to);
    default:
      return kind satisfies never;
  }
};

const applicableNow = (
  set: PolicySet,
  kind: ChangeKind,
  from: LifecycleState,
  to: LifecycleState,
): ApplicablePolicySet => {
  const gates = gatesOf(set, kind, from, to);
  // Serving again after a kill switch is judged as resuming is.
  const asked = kind === "revive" ? "transition" : kind;
  const policies =
    kind === "transition" && isBrake(to) ? [] : set.policies.filter((policy) => appliesTo(policy, asked, to));
  const text = canonicalJson({ kind, gates, policies });
  return { gates, policies, digest: sha256Hex(text), text };
};

/** Rules do not change while a policy set lives, and their digest costs more than the rest of a decision. */
const known = new WeakMap<PolicySet, Map<string, ApplicablePolicySet>>();

/**
 * What applies to a change. Nothing ever applies to pausing and rolling back: a brake that waits is no brake.
 */
export const applicable = (
  set: PolicySet,
  kind: ChangeKind,
  from: LifecycleState,
  to: LifecycleState,
): ApplicablePolicySet => {
  const moves = known.get(set) ?? new Map<string, ApplicablePolicySet>();
  known.set(set, moves);
  const move = `${kind} ${from} ${to}`;
  const found = moves.get(move) ?? applicableNow(set, kind, from, to);
  moves.set(move, found);
  return found;
};

const forApproving = (set: PolicySet): ApplicablePolicySet =>
  applicable(set, "transition", "PendingApproval", "Approved");

/** The rules for approving content: what is approved is approved under these. */
export const approvalRules = (set: PolicySet): string => forApproving(set).digest;

/**
 * The definitions behind the digests that events name, each once. Rules that were in force once and are no longer, as
 * content that comes back by a rollback was approved under, are not among them: they were written when they were.
 */
export const rulesNamed = (set: PolicySet, events: readonly EventRecord[]): readonly RuleSet[] => {
  const found = new Map<string, RuleSet>();
  const note = (named: string, { digest, text }: ApplicablePolicySet): void => {
    if (digest === named) found.set(digest, { digest, text });
  };
  for (const { data } of events) {
    if ("policySetDigest" in data) note(data.policySetDigest, applicable(set, data.kind, data.from, data.to));
    if ("approvedUnder" in data) note(data.approvedUnder, forApproving(set));
  }
  return [...found.values()];
};
