/** Deciding what a person says of a proposal: yes, no, or that they take it back. */
import { type Command, type Decision, deny, type Evidence, noClaims } from "./commands.ts";
import type { Change, DomainEvent } from "./events.ts";
import { approvalObjection } from "./gates/judge.ts";
import { applicable } from "./policy-set.ts";
import { endStaleProposals, openProposals } from "./proposals.ts";
import type { ExperimentState, Proposal } from "./state.ts";

type Say = Extract<Command, { type: "Say" }>;

const changeOf = ({ kind, from, to, version, digest, changeDigest, policySetDigest }: Proposal): Change => ({
  kind,
  from,
  to,
  version,
  digest,
  changeDigest,
  policySetDigest,
});

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
      const gates = [{ gate: "four eyes and roles", satisfied: false, missing: objection }];
      const denied: DomainEvent = {
        type: "ChangeDenied",
        data: { ...changeOf(proposal), attempt: "approve", code: "gate-rejected", gates, policies: [], ...reason },
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
