/** What gates and policies would say of a move, now or in another state. Recorded nowhere. */
import { allowedTransitions, isServing, type LifecycleState } from "../lifecycle.ts";
import type { ExperimentRef } from "../scope.ts";
import type { Actor } from "./actor.ts";
import type { Evidence } from "./commands.ts";
import { judgeAll, policyContext } from "./decide-change.ts";
import type { ActorRecord, GateResult } from "./events.ts";
import type { GovernorOptions } from "./governor.ts";
import { lookUp } from "./look-up.ts";
import { type LedgerFigures, type PolicyEvaluation, presentPolicyResult } from "./policies/policy.ts";
import { approvalLacking, changeOf, judgeGates, openProposals, rulesFor, transitionTo } from "./proposals.ts";

export interface DryRunRequest {
  readonly ref: ExperimentRef;
  readonly actor: Actor;
  /** As if the experiment were in this state. */
  readonly currentState?: LifecycleState;
  /** Left out: the first state that it could go to. */
  readonly targetState?: LifecycleState;
  /** What the caller claims. It stands in for a ledger that cannot be read, and never overrides one that can. */
  readonly telemetry?: Partial<LedgerFigures>;
}

export interface DryRun {
  readonly currentState: LifecycleState;
  readonly targetState: LifecycleState | null;
  readonly gates: readonly GateResult[];
  /** Why the content may not serve; null when it may, or when it would not. */
  readonly unapproved: string | null;
  readonly isApproved: boolean;
  readonly policies: readonly PolicyEvaluation[];
}

type Parts = Required<
  Pick<GovernorOptions, "store" | "policySet" | "customGates" | "customPolicies" | "telemetry" | "now" | "report">
>;

const nothingClaimed: LedgerFigures = {
  exposed: 0,
  worstErrorRate: 0,
  worstVariant: null,
  subjects: {},
  sampleRatio: null,
};

const withClaims = (read: Evidence["telemetry"], claimed: DryRunRequest["telemetry"]): Evidence["telemetry"] =>
  claimed === undefined || read.status === "available"
    ? read
    : { ...nothingClaimed, ...claimed, status: "available", at: read.at };

/** @returns null when there is no such experiment */
export const evaluateMove = async (
  { ref, actor, currentState, targetState, telemetry: claimed }: DryRunRequest,
  parts: Parts,
): Promise<DryRun | null> => {
  const { store, policySet, now } = parts;
  const loaded = await store.load(ref, { actor: actor.id });
  if (loaded === null) return null;
  const stored = loaded.snapshot.state;
  const state = currentState === undefined ? stored : { ...stored, lifecycle: currentState };
  const target = targetState ?? allowedTransitions(state.lifecycle)[0];
  const empty = { currentState: state.lifecycle, gates: [], unapproved: null, policies: [] };
  if (target === undefined) return { ...empty, targetState: null, isApproved: false };
  const asker: ActorRecord = { ref: loaded.actor ?? "", kind: actor.kind, roles: actor.roles };
  const evidence = await lookUp({
    ...parts,
    ref,
    state,
    command: { type: "Transition", to: target },
    actor: asker,
    now: now(),
  });
  const aim = transitionTo(target);
  const set = rulesFor(policySet, state, aim);
  const change = changeOf(ref, state, aim, set);
  const proposal = openProposals(ref, state, policySet, evidence.now).find(
    (open) => open.kind === "transition" && open.to === target,
  );
  const judged = judgeGates(set.gates, state, proposal ?? null, asker, evidence.customGates);
  const unapproved = isServing(target) ? approvalLacking(state, change, policySet) : null;
  const context = policyContext(state, aim, asker, {
    ...evidence,
    telemetry: withClaims(evidence.telemetry, claimed),
    ref,
  });
  return {
    currentState: state.lifecycle,
    targetState: target,
    gates: judged.verdicts.map(({ rejected: _rejected, approvedBy: _approvedBy, ...result }) => result),
    unapproved,
    isApproved: judged.satisfied && unapproved === null,
    policies: judgeAll(state, set, context, evidence).map((result) => presentPolicyResult(result, evidence.now)),
  };
};
