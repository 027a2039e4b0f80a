/** Deciding what people say of a proposal: yes, no, that they take it back, and what else they have to say. */
import { limits } from "../limits.ts";
import { type Command, type Decision, deny, type Evidence, noClaims } from "./commands.ts";
import { decideChange } from "./decide-change.ts";
import type { Change, DomainEvent } from "./events.ts";
import { evolve } from "./evolve.ts";
import { approvalObjection } from "./gates/judge.ts";
import { endStaleProposals, judgeGates, openProposals, rulesFor } from "./proposals.ts";
import type { ExperimentState, Proposal } from "./state.ts";

type Say = Extract<Command, { type: "Say" }>;

const changeIn = ({
  kind,
  from,
  to,
  version,
  digest,
  changeDigest,
  policySetDigest,
  parameters,
}: Proposal): Change => ({
  kind,
  from,
  to,
  version,
  digest,
  changeDigest,
  policySetDigest,
  parameters,
});

const committed = (events: readonly DomainEvent[]): Decision => ({ outcome: "commit", events, claims: noClaims });

/**
 * The last approval that was missing makes the change, where a gate says so: in the same commit, on behalf of whoever
 * proposed it. What then stands in its way is written down beside the approval, which stands.
 */
const approve = (state: ExperimentState, proposal: Proposal, given: DomainEvent, evidence: Evidence): Decision => {
  const { ref, policySet, now, actor } = evidence;
  const stale = endStaleProposals(ref, state, policySet, now);
  const after = evolve(state, { ...given, at: new Date(now).toISOString(), actor });
  const { gates } = rulesFor(policySet, state, proposal);
  const asked = gates.some((gate) => "whenApproved" in gate && gate.whenApproved === "commit");
  // A scheduled change waits for its time, however many agree.
  if (after === null || !asked || proposal.parameters.at !== undefined) return committed([given, ...stale]);
  const agreed = after.proposals.find(({ id }) => id === proposal.id) ?? null;
  if (!judgeGates(gates, after, agreed, proposal.proposedBy, evidence.customGates).satisfied)
    return committed([given, ...stale]);
  const made = decideChange(after, proposal, { onBehalfOf: proposal.proposedBy }, evidence);
  if (made.outcome === "commit") return { ...made, events: [given, ...made.events] };
  return committed([given, ...stale, ...(made.outcome === "deny" && made.record !== null ? [made.record] : [])]);
};

export const decideSay = (state: ExperimentState, command: Say, evidence: Evidence): Decision => {
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
  const reason = command.reason === undefined ? {} : { reason: command.reason };
  const data = { proposal: proposal.id, changeDigest: proposal.changeDigest, ...reason };
  const record = (event: DomainEvent): Decision =>
    committed([event, ...endStaleProposals(evidence.ref, state, evidence.policySet, evidence.now)]);
  switch (command.decision) {
    case "approve": {
      if (word === "approve") return { outcome: "unchanged" };
      const set = rulesFor(evidence.policySet, state, proposal);
      const context = { proposer: proposal.proposedBy.ref, authors: state.authorsSinceApproval };
      const objection = approvalObjection(set.gates, evidence.actor, context);
      if (objection === null) return approve(state, proposal, { type: "ApprovalGiven", data }, evidence);
      const gates = [{ gate: "four eyes and roles", satisfied: false, missing: objection }];
      const denied: DomainEvent = {
        type: "ChangeDenied",
        data: { ...changeIn(proposal), attempt: "approve", code: "gate-rejected", gates, policies: [], ...reason },
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

const openById = (state: ExperimentState, id: string, { ref, policySet, now }: Evidence): Proposal | undefined =>
  openProposals(ref, state, policySet, now).find((proposal) => proposal.id === id);

const notFound = deny("proposal-not-found", "no open proposal of this experiment has that id");

export const decideComment = (
  state: ExperimentState,
  { proposal: id, text }: Extract<Command, { type: "Comment" }>,
  evidence: Evidence,
): Decision => {
  const proposal = openById(state, id, evidence);
  if (proposal === undefined) return notFound;
  if (proposal.comments.length >= limits.proposalComments)
    return deny("invalid-request", `at most ${limits.proposalComments} comments on one proposal`);
  return committed([{ type: "ProposalCommented", data: { proposal: id, text } }]);
};

/** The way to Approved is taken back by going back to Draft: it is a state of the experiment, not only a proposal. */
export const decideWithdrawProposal = (
  state: ExperimentState,
  { proposal: id }: Extract<Command, { type: "WithdrawProposal" }>,
  evidence: Evidence,
): Decision => {
  const proposal = openById(state, id, evidence);
  if (proposal === undefined) return notFound;
  if (proposal.proposedBy.ref !== evidence.actor.ref)
    return deny("gate-rejected", "a proposal is taken back by whoever made it; others decline it");
  if (state.lifecycle === "PendingApproval" && proposal.to === "Approved") {
    return deny("invalid-transition", "the experiment is under review: take it back to Draft", {
      currentState: state.lifecycle,
    });
  }
  return committed([{ type: "ProposalEnded", data: { proposal: id, end: "withdrawn" } }]);
};
