/** Changes and the proposals that wait for them: digests, who is missing, and what has been overtaken. */
import { digestOf } from "../canonical.ts";
import { isServing, type LifecycleState } from "../lifecycle.ts";
import type { ExperimentRef } from "../scope.ts";
import type { Evidence } from "./commands.ts";
import type { ActorRecord, Change, DomainEvent, PersonalRef } from "./events.ts";
import { type GateVerdict, judgeGate } from "./gates/judge.ts";
import type { Gate } from "./gates/schema.ts";
import { parseDuration } from "../duration.ts";
import { type ApplicablePolicySet, applicable, type PolicySet } from "./policy-set.ts";
import type { ExperimentState, Proposal, VersionState } from "./state.ts";

/**
 * The version a move is about. Between Running, Ramping, Paused and out of them it is the live one: a draft that
 * waits beside it neither blocks the move nor is approved by it.
 */
export const subjectVersion = (state: ExperimentState): VersionState =>
  state.live !== null && (isServing(state.lifecycle) || state.lifecycle === "Paused") ? state.live : state.latest;

/**
 * Names one change exactly. Whoever approves it approves this content, from here to there, under these rules; edit
 * the configuration, aim elsewhere or change the rules, and the digest is another one.
 */
export const transitionChange = (
  ref: ExperimentRef,
  state: ExperimentState,
  to: LifecycleState,
  set: ApplicablePolicySet,
): Change => {
  const { version, digest } = subjectVersion(state);
  const from = state.lifecycle;
  const changeDigest = digestOf({
    ref: { tenant: ref.tenant, environment: ref.environment, experiment: ref.experiment },
    kind: "transition",
    from,
    to,
    digest,
    liveDigest: state.live?.digest ?? null,
    parameters: {},
    policySetDigest: set.digest,
  });
  return { kind: "transition", from, to, version, digest, changeDigest, policySetDigest: set.digest };
};

/** Why an open proposal no longer stands, or null while it does. */
export const proposalEnd = (
  ref: ExperimentRef,
  state: ExperimentState,
  policySet: PolicySet,
  proposal: Proposal,
  now: number,
): "expired" | "overtaken" | null => {
  const change = transitionChange(
    ref,
    state,
    proposal.to,
    applicable(policySet, "transition", state.lifecycle, proposal.to),
  );
  if (change.changeDigest !== proposal.changeDigest) return "overtaken";
  return proposal.expiresAt !== undefined && Date.parse(proposal.expiresAt) <= now ? "expired" : null;
};

/** Proposals that still stand, under the rules and the content of this moment. */
export const openProposals = (
  ref: ExperimentRef,
  state: ExperimentState,
  policySet: PolicySet,
  now: number,
): readonly Proposal[] =>
  state.proposals.filter((proposal) => proposalEnd(ref, state, policySet, proposal, now) === null);

/** Records what became of proposals that no longer stand; found by whichever command comes next. */
export const endStaleProposals = (
  ref: ExperimentRef,
  state: ExperimentState,
  policySet: PolicySet,
  now: number,
): readonly DomainEvent[] =>
  state.proposals.flatMap((proposal): readonly DomainEvent[] => {
    const end = proposalEnd(ref, state, policySet, proposal, now);
    return end === null ? [] : [{ type: "ProposalEnded", data: { proposal: proposal.id, end } }];
  });

/** The shortest life that a gate gives to the proposals it holds. */
export const proposalExpiry = (gates: readonly Gate[], now: number): string | undefined => {
  const lives = gates.flatMap((gate) =>
    "expiresAfter" in gate && gate.expiresAfter !== undefined ? [parseDuration(gate.expiresAfter) ?? 0] : [],
  );
  return lives.length === 0 ? undefined : new Date(now + Math.min(...lives)).toISOString();
};

/**
 * Why the content of a change may not serve, or null when it may. It must have been approved; and from Approved, where
 * it starts, under the rules for approving that are in force now. What is paused goes on under those of its start.
 */
export const approvalLacking = (state: ExperimentState, change: Change, policySet: PolicySet): string | null => {
  const approved = state.approved.filter(({ digest }) => digest === change.digest);
  if (approved.length === 0) return `version ${change.version} is not what was approved: it needs approval anew`;
  if (change.from !== "Approved") return null;
  const rules = applicable(policySet, "transition", "PendingApproval", "Approved").digest;
  return approved.some(({ policySetDigest }) => policySetDigest === rules)
    ? null
    : "the rules for approving have changed since it was approved: it needs approval anew";
};

export interface GateJudgement {
  readonly verdicts: readonly GateVerdict[];
  readonly missing: readonly string[];
  readonly declinedBy: readonly ActorRecord[];
  readonly satisfied: boolean;
}

/** All gates of a change together. A standing decline blocks, whatever the gates would say. */
export const judgeGates = (
  gates: readonly Gate[],
  state: ExperimentState,
  proposal: Proposal | null,
  asker: ActorRecord,
): GateJudgement => {
  const approvals = proposal?.approvals ?? [];
  const context = { asker, proposer: proposal?.proposedBy.ref ?? null, authors: state.authorsSinceApproval, approvals };
  const verdicts = gates.map((gate) => judgeGate(gate, context));
  const declinedBy = approvals.filter((approval) => approval.decision === "decline").map((approval) => approval.actor);
  const missing = verdicts.flatMap((verdict) =>
    verdict.missing === undefined ? [] : [`${verdict.gate}: ${verdict.missing}`],
  );
  return { verdicts, missing, declinedBy, satisfied: missing.length === 0 && declinedBy.length === 0 };
};

/** Opens the proposal for a move, as of this state and these rules. */
export const openProposal = (
  state: ExperimentState,
  to: LifecycleState,
  evidence: Evidence,
  texts: { readonly reason?: PersonalRef; readonly metadata?: PersonalRef } = {},
): DomainEvent => {
  const set = applicable(evidence.policySet, "transition", state.lifecycle, to);
  const expiresAt = proposalExpiry(set.gates, evidence.now);
  return {
    type: "ProposalOpened",
    data: {
      ...transitionChange(evidence.ref, state, to, set),
      proposal: evidence.proposalId,
      ...(expiresAt === undefined ? {} : { expiresAt }),
      ...texts,
    },
  };
};
