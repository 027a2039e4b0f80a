/** `evolve(state, event) → state`: how each fact changes the state. Nothing is decided here, so nothing can be refused. */
import { allocationOf } from "./allocation-key.ts";
import { isServing } from "../lifecycle.ts";
import { type EventRecord } from "./events.ts";
import { approvedKept, earlierPlansKept, type Approval, type ExperimentState, type Proposal } from "./state.ts";

/** What of a record `evolve` looks at: hashes and seq are the chain's business. */
export type Occurrence = Pick<EventRecord, "at" | "actor"> &
  (EventRecord extends infer R ? (R extends EventRecord ? Pick<R, "type" | "data"> : never) : never);

const withWord = (proposal: Proposal, word: Approval): Proposal => {
  const others = proposal.approvals.filter((approval) => approval.actor.ref !== word.actor.ref);
  return { ...proposal, approvals: [...others, word] };
};

const without = (proposal: Proposal, ref: string): Proposal => ({
  ...proposal,
  approvals: proposal.approvals.filter((approval) => approval.actor.ref !== ref),
});

const mapProposal = (
  state: ExperimentState,
  id: string,
  change: (proposal: Proposal) => Proposal,
): ExperimentState => ({
  ...state,
  proposals: state.proposals.map((proposal) => (proposal.id === id ? change(proposal) : proposal)),
});

type Of<Type extends EventRecord["type"]> = Extract<Occurrence, { type: Type }>;

/** The plans of earlier epochs, and that of the one that ends now, if it ever began. */
const plansWith = ({ epoch, live, earlierPlans }: ExperimentState): ExperimentState["earlierPlans"] => {
  if (live === null) return earlierPlans;
  const variants = live.configuration.variants.map(({ key, weight }) => ({ key, weight }));
  return [...earlierPlans, { epoch, variants }].slice(-earlierPlansKept);
};

const transitioned = (state: ExperimentState, { data, at }: Of<"Transitioned">): ExperimentState => {
  const starts = isServing(data.to) && data.liveVersion === state.latest.version;
  const live = starts ? state.latest : state.live;
  const reallocated =
    starts &&
    state.live !== null &&
    live !== null &&
    allocationOf(live.configuration) !== allocationOf(state.live.configuration);
  const approved = data.to === "Approved";
  const rejected = data.to === "Rejected";
  const kept = state.approved.filter(({ digest }) => digest !== data.digest);
  return {
    ...state,
    lifecycle: data.to,
    since: at,
    servingSince: isServing(data.to) ? (state.servingSince ?? at) : null,
    live,
    epoch: reallocated ? state.epoch + 1 : state.epoch,
    earlierPlans: reallocated ? plansWith(state) : state.earlierPlans,
    approved: approved
      ? [...kept, { digest: data.digest, policySetDigest: data.policySetDigest }].slice(-approvedKept)
      : rejected
        ? kept
        : state.approved,
    authorsSinceApproval: approved ? [] : state.authorsSinceApproval,
    claims: data.claims,
  };
};

const apply = (state: ExperimentState, event: Exclude<Occurrence, { type: "Created" }>): ExperimentState => {
  switch (event.type) {
    case "Reopened":
      // Approvals belonged to the experiment that was archived; whoever is assigned from here on is a new population.
      return {
        ...state,
        lifecycle: "Draft",
        since: event.at,
        live: null,
        epoch: state.epoch + 1,
        earlierPlans: plansWith(state),
        approved: [],
        proposals: [],
      };
    case "VersionWritten": {
      const { version, digest, configuration } = event.data;
      const authors = state.authorsSinceApproval.includes(event.actor.ref)
        ? state.authorsSinceApproval
        : [...state.authorsSinceApproval, event.actor.ref];
      return { ...state, latest: { version, digest, configuration }, authorsSinceApproval: authors };
    }
    case "ProposalOpened": {
      const { proposal: id, reason: _reason, metadata: _metadata, ...change } = event.data;
      return {
        ...state,
        proposals: [
          ...state.proposals,
          { ...change, id, proposedBy: event.actor, proposedAt: event.at, approvals: [] },
        ],
      };
    }
    case "ApprovalGiven":
    case "ApprovalDeclined": {
      const decision = event.type === "ApprovalGiven" ? "approve" : "decline";
      return mapProposal(state, event.data.proposal, (proposal) =>
        withWord(proposal, { actor: event.actor, decision, at: event.at }),
      );
    }
    case "ApprovalWithdrawn":
      return mapProposal(state, event.data.proposal, (proposal) => without(proposal, event.actor.ref));
    case "ProposalEnded":
      return { ...state, proposals: state.proposals.filter((proposal) => proposal.id !== event.data.proposal) };
    case "Transitioned":
      return transitioned(state, event);
    case "ChangeDenied":
      return state;
    default:
      return event satisfies never;
  }
};

/**
 * The state after one more event. `Created` must come first and its version right after it: the two are written in
 * one commit, and the state between them has no configuration.
 */
export const evolve = (state: ExperimentState | null, event: Occurrence): ExperimentState | null => {
  if (event.type === "Created") {
    if (state !== null) throw new TypeError("history: Created twice");
    return null;
  }
  if (state !== null) {
    const next = apply(state, event);
    return next === state ? state : { ...next, updatedAt: event.at, updatedBy: event.actor.ref };
  }
  if (event.type !== "VersionWritten") throw new TypeError(`history: ${event.type} before the first version`);
  const { version, digest, configuration } = event.data;
  return {
    name: configuration.name,
    lifecycle: "Draft",
    since: event.at,
    servingSince: null,
    latest: { version, digest, configuration },
    live: null,
    epoch: 0,
    earlierPlans: [],
    approved: [],
    authorsSinceApproval: [event.actor.ref],
    proposals: [],
    claims: [],
    createdAt: event.at,
    updatedAt: event.at,
    updatedBy: event.actor.ref,
  };
};

/** The state that a whole history leads to; null for an empty one. */
export const replay = (events: Iterable<Occurrence>): ExperimentState | null => {
  let state: ExperimentState | null = null;
  for (const event of events) state = evolve(state, event);
  return state;
};
