/**
 * `decide(state, command, evidence) → decision`. No clock, no randomness, no I/O and no `await`: what a decision
 * rests on comes in, so the same history and the same evidence always give the same answer.
 */
import { configurationDigest, type SettledConfiguration } from "../experiment.ts";
import { allowedTransitions, canTransition, holdsSurfaces, isServing, type LifecycleState } from "../lifecycle.ts";
import { limits } from "../limits.ts";
import { type Command, type Decision, deny, type Evidence, noClaims } from "./commands.ts";
import type { Change, DomainEvent, GateResult } from "./events.ts";
import { approvalObjection } from "./gates/judge.ts";
import { conflictClaims } from "./policies/conflict-prevention.ts";
import { judgePolicy } from "./policies/judge.ts";
import type { PolicyResult } from "./policies/policy.ts";
import { applicable, type ApplicablePolicySet } from "./policy-set.ts";
import {
  endStaleProposals,
  judgeGates,
  openProposals,
  proposalExpiry,
  subjectVersion,
  transitionChange,
} from "./proposals.ts";
import type { ExperimentState, Proposal } from "./state.ts";
import { surfaceClaim } from "./store.ts";

type WriteVersion = Extract<Command, { type: "WriteVersion" }>;
type Transition = Extract<Command, { type: "Transition" }>;
type Say = Extract<Command, { type: "Say" }>;

export const decide = (state: ExperimentState | null, command: Command, evidence: Evidence): Decision => {
  if (command.type === "WriteVersion") return decideWriteVersion(state, command, evidence);
  if (state === null) return deny("experiment-not-found", `there is no experiment ${evidence.ref.experiment}`);
  switch (command.type) {
    case "Transition":
      return decideTransition(state, command, evidence);
    case "Say":
      return decideSay(state, command, evidence);
    default:
      return command satisfies never;
  }
};

const decideWriteVersion = (state: ExperimentState | null, command: WriteVersion, evidence: Evidence): Decision => {
  const { configuration: written, changeDescription } = command;
  if (state !== null && command.createOnly) {
    return deny("experiment-exists", `the experiment ${state.name} exists already`, {
      state: state.lifecycle,
      latestVersion: state.latest.version,
    });
  }
  const reopens = state?.lifecycle === "Archived";
  // A version that names no salt keeps the one before it, so that editing a text moves nobody to another variant.
  // A reopened experiment gets a new one: who was in a variant last time would bias who is in it this time.
  const inherited = reopens ? undefined : state?.latest.configuration.salt;
  const configuration: SettledConfiguration = { ...written, salt: written.salt ?? inherited ?? evidence.randomSalt };
  const digest = configurationDigest(configuration);
  const version = (state?.latest.version ?? 0) + 1;
  const versionWritten: DomainEvent = {
    type: "VersionWritten",
    data: { version, digest, configuration, ...(changeDescription === undefined ? {} : { changeDescription }) },
  };
  if (state === null) {
    const { tenant, environment, experiment } = evidence.ref;
    return {
      outcome: "commit",
      events: [{ type: "Created", data: { tenant, environment, experiment } }, versionWritten],
      claims: noClaims,
    };
  }
  const reopened: readonly DomainEvent[] = reopens ? [{ type: "Reopened", data: { from: state.lifecycle } }] : [];
  const after: ExperimentState = { ...state, latest: { version, digest, configuration } };
  const ended = reopens ? [] : endStaleProposals(evidence.ref, after, evidence.policySet, evidence.now);
  // What waits for approval is always on the approvers' list: new content under review replaces the overtaken proposal.
  const stillWaits = openProposals(evidence.ref, after, evidence.policySet, evidence.now).some(
    (proposal) => proposal.to === "Approved",
  );
  const opened =
    state.lifecycle === "PendingApproval" && !stillWaits ? [openProposal(after, "Approved", evidence)] : [];
  return { outcome: "commit", events: [...reopened, versionWritten, ...ended, ...opened], claims: noClaims };
};

const openProposal = (state: ExperimentState, to: LifecycleState, evidence: Evidence, reason?: string): DomainEvent => {
  const set = applicable(evidence.policySet, "transition", state.lifecycle, to);
  const expiresAt = proposalExpiry(set.gates, evidence.now);
  return {
    type: "ProposalOpened",
    data: {
      ...transitionChange(evidence.ref, state, to, set),
      proposal: evidence.proposalId,
      ...(expiresAt === undefined ? {} : { expiresAt }),
      ...(reason === undefined ? {} : { reason }),
    },
  };
};

const decideTransition = (state: ExperimentState, command: Transition, evidence: Evidence): Decision => {
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
  const denied = (
    code: "gate-rejected" | "approval-stale" | "policy-violation" | "evidence-inconclusive",
    policies: readonly PolicyResult[],
  ): DomainEvent => ({
    type: "ChangeDenied",
    data: { ...change, code, gates, policies, ...(command.reason === undefined ? {} : { reason: command.reason }) },
  });

  const rejections = judged.verdicts.filter((verdict) => verdict.rejected);
  if (rejections.length > 0) {
    const missing = rejections.map((verdict) => `${verdict.gate}: ${verdict.missing ?? ""}`);
    return deny("gate-rejected", `${from} → ${to} wants ${missing.join("; ")}`, { gates }, denied("gate-rejected", []));
  }
  if (isServing(to) && !state.approvedDigests.includes(change.digest)) {
    const details = { version: change.version, digest: change.digest };
    return deny(
      "approval-stale",
      `version ${change.version} is not what was approved: it needs approval anew`,
      details,
      denied("approval-stale", []),
    );
  }
  if (!judged.satisfied) return holdOrRefuse(state, command, evidence, proposal, judged);

  const policies = judgePolicies(state, change, set, evidence);
  const critical = policies.filter((result) => result.severity === "Critical");
  const violations = critical.filter((result) => result.compliant === false);
  if (violations.length > 0) {
    const reasons = violations.map((result) => `${result.policy}: ${result.reason}`).join("; ");
    return deny("policy-violation", reasons, { violations }, denied("policy-violation", policies));
  }
  const inconclusive = critical.filter((result) => result.compliant === null);
  if (inconclusive.length > 0) {
    const reasons = inconclusive.map((result) => `${result.policy}: ${result.reason}`).join("; ");
    return deny("evidence-inconclusive", reasons, { inconclusive }, denied("evidence-inconclusive", policies));
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
    events: [...ended, openProposal(state, command.to, evidence, command.reason)],
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
  const claims = claimsAfter(state, change, decided.set, evidence.ref.experiment);
  const transitioned: DomainEvent = {
    type: "Transitioned",
    data: {
      ...change,
      gates,
      policies,
      liveVersion: live?.version ?? null,
      claims,
      ...(command.reason === undefined ? {} : { reason: command.reason }),
      ...(command.metadata === undefined ? {} : { metadata: command.metadata }),
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
  const opened = change.to === "PendingApproval" ? [openProposal(after, "Approved", evidence, command.reason)] : [];
  return {
    outcome: "commit",
    events: [transitioned, ...ended, ...opened],
    claims: {
      take: claims.filter((claim) => !state.claims.includes(claim)),
      release: state.claims.filter((claim) => !claims.includes(claim)),
    },
  };
};

/** Claims are taken where serving begins and released where it cannot begin again without a new start. */
const claimsAfter = (
  state: ExperimentState,
  change: Change,
  set: ApplicablePolicySet,
  experiment: string,
): readonly string[] => {
  if (!holdsSurfaces(change.to)) return [];
  if (holdsSurfaces(change.from)) return state.claims;
  // A policy that only warns must not lock anybody out either.
  const pairs = set.policies.flatMap((policy) =>
    policy.type === "conflictPrevention" && policy.severity === "Critical" ? conflictClaims(policy, experiment) : [],
  );
  return [...new Set([...(state.latest.configuration.surfaces ?? []).map(surfaceClaim), ...pairs])];
};

const decideSay = (state: ExperimentState, command: Say, evidence: Evidence): Decision => {
  const open = openProposals(evidence.ref, state, evidence.policySet, evidence.now);
  const proposal = open.find((candidate) => candidate.changeDigest === command.changeDigest);
  if (proposal === undefined) {
    return open.length === 0 && state.proposals.length === 0
      ? deny("proposal-not-found", "no change of this experiment waits for approval")
      : deny("approval-stale", "the change that this approval names no longer waits: look at the proposals again", {
          changeDigest: command.changeDigest,
          open: open.map(({ id, changeDigest, version, to }) => ({ id, changeDigest, version, targetState: to })),
        });
  }
  const word = proposal.approvals.find((approval) => approval.actor.ref === evidence.actor.ref)?.decision;
  const data = {
    proposal: proposal.id,
    changeDigest: proposal.changeDigest,
    ...(command.reason === undefined ? {} : { reason: command.reason }),
  };
  const record = (event: DomainEvent): Decision => ({
    outcome: "commit",
    events: [event, ...endStaleProposals(evidence.ref, state, evidence.policySet, evidence.now)],
    claims: noClaims,
  });
  switch (command.decision) {
    case "approve": {
      if (word === "approve") return { outcome: "unchanged" };
      const set = applicable(evidence.policySet, "transition", proposal.from, proposal.to);
      const context = { proposer: proposal.proposedBy.ref, authors: state.authorsSinceApproval };
      const objection = approvalObjection(set.gates, evidence.actor, context);
      if (objection === null) return record({ type: "ApprovalGiven", data });
      const {
        id: _id,
        proposedBy: _by,
        proposedAt: _at,
        expiresAt: _expires,
        approvals: _approvals,
        ...change
      } = proposal;
      const denied: DomainEvent = {
        type: "ChangeDenied",
        data: { ...change, code: "gate-rejected", gates: [], policies: [] },
      };
      return deny("gate-rejected", `your approval cannot count: ${objection}`, {}, denied);
    }
    case "decline":
      return word === "decline" ? { outcome: "unchanged" } : record({ type: "ApprovalDeclined", data });
    case "withdraw":
      return word === undefined
        ? deny("approval-stale", "there is nothing of yours to withdraw here")
        : record({ type: "ApprovalWithdrawn", data });
    default:
      return command.decision satisfies never;
  }
};
