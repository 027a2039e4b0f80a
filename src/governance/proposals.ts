/** Changes and the proposals that wait for them: digests, who is missing, and what has been overtaken. */
import { digestOf } from "../canonical.ts";
import { parseDuration } from "../duration.ts";
import { isServing, type LifecycleState } from "../lifecycle.ts";
import type { ExperimentRef } from "../scope.ts";
import type { Evidence } from "./commands.ts";
import type { ActorRecord, Change, ChangeKind, ChangeParameters, DomainEvent, PersonalRef } from "./events.ts";
import { type CustomGateVerdict, type GateVerdict, judgeGate } from "./gates/judge.ts";
import type { Gate } from "./gates/schema.ts";
import { type ApplicablePolicySet, applicable, approvalRules, type PolicySet } from "./policy-set.ts";
import type { ExperimentState, Proposal, VersionState } from "./state.ts";

/** What a change is aimed at, before the state says from where and with what content. */
export interface Aim {
  readonly kind: ChangeKind;
  readonly to: LifecycleState;
  readonly parameters: ChangeParameters;
}

export const transitionTo = (to: LifecycleState, parameters: ChangeParameters = {}): Aim => ({
  kind: "transition",
  to,
  parameters,
});

/** The newest version going live where the experiment stands. Content that a rollback brought back has gates of its own. */
export const publishing = (state: ExperimentState): Aim => ({
  kind: state.latest.provenance?.kind === "rollback" ? "rollback" : "publish",
  to: state.lifecycle,
  parameters: {},
});

const goesOnLive = (state: ExperimentState): boolean => isServing(state.lifecycle) || state.lifecycle === "Paused";

/**
 * The version a change is about. Between Running, Ramping, Paused and out of them it is the live one: a draft that
 * waits beside it neither blocks the move nor is approved by it. Publishing is about that draft.
 */
export const subjectVersion = (state: ExperimentState, kind: ChangeKind): VersionState =>
  kind !== "publish" && kind !== "rollback" && state.live !== null && goesOnLive(state) ? state.live : state.latest;

/**
 * Names one change exactly. Whoever approves it approves this content, from here to there, under these rules; edit
 * the configuration, aim elsewhere or change the rules, and the digest is another one.
 */
export const changeOf = (ref: ExperimentRef, state: ExperimentState, aim: Aim, set: ApplicablePolicySet): Change => {
  const { kind, to, parameters } = aim;
  const { version, digest } = subjectVersion(state, kind);
  const from = state.lifecycle;
  const changeDigest = digestOf({
    ref: { tenant: ref.tenant, environment: ref.environment, experiment: ref.experiment },
    kind,
    from,
    to,
    digest,
    liveDigest: state.live?.digest ?? null,
    parameters,
    policySetDigest: set.digest,
  });
  return { kind, from, to, version, digest, changeDigest, policySetDigest: set.digest, parameters };
};

/** The rules that decide an aim from where the experiment stands. */
export const rulesFor = (policySet: PolicySet, state: ExperimentState, { kind, to }: Aim): ApplicablePolicySet =>
  applicable(policySet, kind, state.lifecycle, to);

/** Why an open proposal no longer stands, or null while it does. */
export const proposalEnd = (
  ref: ExperimentRef,
  state: ExperimentState,
  policySet: PolicySet,
  proposal: Proposal,
  now: number,
): "expired" | "overtaken" | null => {
  const change = changeOf(ref, state, proposal, rulesFor(policySet, state, proposal));
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
  const rules = approvalRules(policySet);
  return approved.some(({ policySetDigest }) => policySetDigest === rules)
    ? null
    : "the rules for approving have changed since it was approved: it needs approval anew";
};

/** Content that may come back at once: it has served before, or is approved under the rules of today. */
export const mayComeBack = (state: ExperimentState, digest: string, policySet: PolicySet): boolean => {
  const rules = approvalRules(policySet);
  return state.approved.some(
    (content) => content.digest === digest && (content.served === true || content.policySetDigest === rules),
  );
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
  custom: Readonly<Record<string, CustomGateVerdict>> = {},
): GateJudgement => {
  const approvals = proposal?.approvals ?? [];
  const proposer = proposal?.proposedBy.ref ?? null;
  const context = { asker, proposer, authors: state.authorsSinceApproval, approvals, custom };
  const verdicts = gates.map((gate) => judgeGate(gate, context));
  const declinedBy = approvals.filter((approval) => approval.decision === "decline").map((approval) => approval.actor);
  const missing = verdicts.flatMap((verdict) =>
    verdict.missing === undefined ? [] : [`${verdict.gate}: ${verdict.missing}`],
  );
  return { verdicts, missing, declinedBy, satisfied: missing.length === 0 && declinedBy.length === 0 };
};

/** Opens the proposal for a change, as of this state and these rules. */
export const openProposal = (
  state: ExperimentState,
  aim: Aim,
  evidence: Pick<Evidence, "ref" | "policySet" | "now" | "proposalId">,
  more: { readonly reason?: PersonalRef; readonly metadata?: PersonalRef; readonly held?: readonly string[] } = {},
): DomainEvent => {
  const set = rulesFor(evidence.policySet, state, aim);
  const expiresAt = proposalExpiry(set.gates, evidence.now);
  return {
    type: "ProposalOpened",
    data: {
      ...changeOf(evidence.ref, state, aim, set),
      proposal: evidence.proposalId,
      ...(expiresAt === undefined ? {} : { expiresAt }),
      ...more,
    },
  };
};
