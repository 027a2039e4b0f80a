/** Deciding a move of the lifecycle: all gates, then all policies, then the claims. */
import { allowedTransitions, canTransition, holdsSurfaces, isServing } from "../lifecycle.ts";
import { limits } from "../limits.ts";
import { type Command, type Decision, deny, type Evidence } from "./commands.ts";
import type { Change, DomainEvent, GateResult, PersonalRef } from "./events.ts";
import { conflictClaims } from "./policies/conflict-prevention.ts";
import { judgePolicy } from "./policies/judge.ts";
import { type PolicyResult, presentPolicyResult } from "./policies/policy.ts";
import { applicable, type ApplicablePolicySet } from "./policy-set.ts";
import {
  approvalLacking,
  endStaleProposals,
  judgeGates,
  openProposal,
  openProposals,
  subjectVersion,
  transitionChange,
} from "./proposals.ts";
import type { ExperimentState, Proposal } from "./state.ts";
import { surfaceClaim } from "./store.ts";

type Transition = Extract<Command, { type: "Transition" }>;

/** The free text of a command, where it has any. */
const textsOf = ({
  reason,
  metadata,
}: Transition): { readonly reason?: PersonalRef; readonly metadata?: PersonalRef } => ({
  ...(reason === undefined ? {} : { reason }),
  ...(metadata === undefined ? {} : { metadata }),
});

type DenialCode = "gate-rejected" | "approval-stale" | "policy-violation" | "evidence-inconclusive" | "surface-claimed";

export const decideTransition = (state: ExperimentState, command: Transition, evidence: Evidence): Decision => {
  const { to } = command;
  const from = state.lifecycle;
  if (!canTransition(from, to)) {
    const allowed = allowedTransitions(from);
    return deny("invalid-transition", `from ${from} an experiment cannot go to ${to}`, {
      currentState: from,
      allowedTransitions: allowed,
    });
  }
  const set = applicable(evidence.policySet, "transition", from, to);
  const change = transitionChange(evidence.ref, state, to, set);
  const proposal = openProposals(evidence.ref, state, evidence.policySet, evidence.now).find(
    (open) => open.changeDigest === change.changeDigest,
  );
  const judged = judgeGates(set.gates, state, proposal ?? null, evidence.actor);
  const gates: readonly GateResult[] = judged.verdicts.map(({ rejected: _rejected, ...result }) => result);
  const denied = (code: DenialCode, policies: readonly PolicyResult[]): DomainEvent => ({
    type: "ChangeDenied",
    data: { ...change, attempt: "make", code, gates, policies, ...textsOf(command) },
  });

  const rejections = judged.verdicts.filter((verdict) => verdict.rejected);
  if (rejections.length > 0) {
    const missing = rejections.map((verdict) => `${verdict.gate}: ${verdict.missing ?? ""}`);
    return deny("gate-rejected", `${from} → ${to} wants ${missing.join("; ")}`, { gates }, denied("gate-rejected", []));
  }
  const unapproved = isServing(to) ? approvalLacking(state, change, evidence.policySet) : null;
  if (unapproved !== null) {
    const details = { version: change.version, digest: change.digest };
    return deny("approval-stale", unapproved, details, denied("approval-stale", []));
  }
  if (!judged.satisfied) return holdOrRefuse(state, command, evidence, proposal, judged);

  const policies = judgePolicies(state, change, set, evidence);
  const shown = (results: readonly PolicyResult[]) =>
    results.map((result) => presentPolicyResult(result, evidence.now));
  const critical = policies.filter((result) => result.severity === "Critical");
  const violations = critical.filter((result) => result.compliant === false);
  if (violations.length > 0) {
    const reasons = violations.map((result) => `${result.policy}: ${result.reason}`).join("; ");
    return deny("policy-violation", reasons, { violations: shown(violations) }, denied("policy-violation", policies));
  }
  const inconclusive = critical.filter((result) => result.compliant === null);
  if (inconclusive.length > 0) {
    const reasons = inconclusive.map((result) => `${result.policy}: ${result.reason}`).join("; ");
    return deny(
      "evidence-inconclusive",
      reasons,
      { inconclusive: shown(inconclusive) },
      denied("evidence-inconclusive", policies),
    );
  }
  if (evidence.claimed !== null) {
    const { claim, holder } = evidence.claimed;
    return deny(
      "surface-claimed",
      `${claim} is held by ${holder}`,
      { claim, holder },
      denied("surface-claimed", policies),
    );
  }
  return commitTransition(state, command, evidence, { change, set, proposal, gates, policies });
};

const judgePolicies = (
  state: ExperimentState,
  change: Change,
  set: ApplicablePolicySet,
  evidence: Evidence,
): readonly PolicyResult[] => {
  const context = {
    experiment: evidence.ref.experiment,
    kind: change.kind,
    parameters: {},
    actor: evidence.actor,
    trafficAfter: subjectVersion(state).configuration.traffic,
    from: change.from,
    to: change.to,
    configuration: subjectVersion(state).configuration,
    servingSince: state.servingSince === null ? null : Date.parse(state.servingSince),
    servedTraffic: state.live !== null && isServing(state.lifecycle) ? state.live.configuration.traffic : 0,
    evidence,
  };
  return set.policies.map((policy) => judgePolicy(policy, context));
};

/** A change that approvals are missing for becomes a proposal; asking again while it waits is refused. */
const holdOrRefuse = (
  state: ExperimentState,
  command: Transition,
  evidence: Evidence,
  proposal: Proposal | undefined,
  judged: ReturnType<typeof judgeGates>,
): Decision => {
  if (proposal !== undefined) {
    const declinedBy = judged.declinedBy.map((actor) => actor.ref);
    const why = declinedBy.length > 0 ? "it was declined" : judged.missing.join("; ");
    return deny("approval-required", `${proposal.from} → ${proposal.to} waits for approval: ${why}`, {
      proposal: proposal.id,
      missing: judged.missing,
      declinedBy,
    });
  }
  const ended = endStaleProposals(evidence.ref, state, evidence.policySet, evidence.now);
  if (state.proposals.length - ended.length >= limits.openProposals) {
    return deny("invalid-request", `at most ${limits.openProposals} proposals of one experiment may be open`);
  }
  return {
    outcome: "hold",
    events: [...ended, openProposal(state, command.to, evidence, textsOf(command))],
    proposalId: evidence.proposalId,
  };
};

interface Decided {
  readonly change: Change;
  readonly set: ApplicablePolicySet;
  readonly proposal: Proposal | undefined;
  readonly gates: readonly GateResult[];
  readonly policies: readonly PolicyResult[];
}

const commitTransition = (
  state: ExperimentState,
  command: Transition,
  evidence: Evidence,
  decided: Decided,
): Decision => {
  const { change, proposal, gates, policies } = decided;
  const startsServing = isServing(change.to) && !holdsSurfaces(change.from);
  const live = startsServing ? state.latest : state.live;
  const claims = claimsAfter(state, change, decided.set, evidence);
  const transitioned: DomainEvent = {
    type: "Transitioned",
    data: {
      ...change,
      gates,
      policies,
      liveVersion: live?.version ?? null,
      claims,
      ...textsOf(command),
    },
  };
  const after: ExperimentState = { ...state, lifecycle: change.to, live };
  const overtaken = endStaleProposals(evidence.ref, after, evidence.policySet, evidence.now);
  const ended = overtaken.map((event): DomainEvent =>
    event.type === "ProposalEnded" && event.data.proposal === proposal?.id
      ? { type: "ProposalEnded", data: { proposal: proposal.id, end: "committed" } }
      : event.type === "ProposalEnded" && change.to === "Rejected"
        ? { type: "ProposalEnded", data: { proposal: event.data.proposal, end: "rejected" } }
        : event,
  );
  const opened = change.to === "PendingApproval" ? [openProposal(after, "Approved", evidence, textsOf(command))] : [];
  return {
    outcome: "commit",
    events: [transitioned, ...ended, ...opened],
    claims: {
      take: claims.filter((claim) => !state.claims.includes(claim)),
      release: state.claims.filter((claim) => !claims.includes(claim)),
    },
  };
};

/**
 * What the experiment holds after the change: its surfaces from the start of serving until it cannot go on without a
 * new start, and the pairs that the policies of this move keep apart.
 */
const claimsAfter = (
  state: ExperimentState,
  change: Change,
  set: ApplicablePolicySet,
  { ref, others }: Evidence,
): readonly string[] => {
  if (!holdsSurfaces(change.to)) return [];
  const held = holdsSurfaces(change.from)
    ? state.claims
    : (state.latest.configuration.surfaces ?? []).map((surface) => surfaceClaim(surface));
  // A policy that only warns must not lock anybody out either.
  const pairs = set.policies.flatMap((policy) =>
    policy.type === "conflictPrevention" && policy.severity === "Critical"
      ? conflictClaims(policy, ref.experiment, others ?? [])
      : [],
  );
  return [...new Set([...held, ...pairs])];
};
