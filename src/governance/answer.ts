/** From a decision to the answer its asker gets, which is also what a retry gets. */
import { ProvisoError } from "../errors.ts";
import type { Decision } from "./commands.ts";
import type { CommandAnswer, CommandRequest } from "./governor.ts";
import { etagOf, personOf, presentProposal, presentRamp, presentSchedule, type ViewContext } from "./present.ts";
import type { ExperimentState, Proposal } from "./state.ts";
import type { Snapshot } from "./store.ts";

type Body = Readonly<Record<string, unknown>>;

const proposalIn = (
  state: ExperimentState,
  wanted: (proposal: Proposal) => boolean,
  context: ViewContext,
): Body | null => {
  const proposal = state.proposals.find(wanted);
  return proposal === undefined ? null : presentProposal(state, proposal, context);
};

/** A refusal names proposals and people by reference; its reader gets them in full. */
const presentDenial = (
  decision: Extract<Decision, { outcome: "deny" }>,
  snapshot: Snapshot | null,
  context: ViewContext,
): CommandAnswer => {
  const { code, message } = decision;
  const { proposal, declinedBy, ...details } = decision.details;
  return {
    ok: false,
    code,
    message,
    details: {
      ...details,
      ...(typeof proposal === "string" && snapshot !== null
        ? { proposal: proposalIn(snapshot.state, ({ id }) => id === proposal, context) }
        : {}),
      ...(Array.isArray(declinedBy)
        ? { declinedBy: declinedBy.map((ref) => (typeof ref === "string" ? personOf(context.people, ref) : null)) }
        : {}),
    },
  };
};

const bodyOf = (
  { command, actor }: CommandRequest,
  before: ExperimentState | null,
  snapshot: Snapshot,
  context: ViewContext,
): { body: Body; location?: string } => {
  const { state, revision } = snapshot;
  const common = { experimentName: state.name, revision };
  switch (command.type) {
    case "WriteVersion": {
      const { version, digest } = state.latest;
      return { body: { ...common, version, digest, state: state.lifecycle }, location: `versions/${version}` };
    }
    case "Transition":
      return {
        body: {
          ...common,
          previousState: before?.lifecycle ?? null,
          newState: state.lifecycle,
          actor: actor.id,
          reason: command.reason ?? null,
          timestamp: state.updatedAt,
          proposal:
            state.lifecycle === "PendingApproval" ? proposalIn(state, ({ to }) => to === "Approved", context) : null,
        },
      };
    case "Say":
      return {
        body: {
          ...common,
          decision: command.decision,
          changeDigest: command.changeDigest,
          actor: actor.id,
          reason: command.reason ?? null,
          proposal: proposalIn(state, ({ changeDigest }) => changeDigest === command.changeDigest, context),
        },
      };
    case "Publish":
      return {
        body: {
          ...common,
          state: state.lifecycle,
          liveVersion: state.live?.version ?? null,
          epoch: state.epoch,
          actor: actor.id,
        },
      };
    case "RollBack": {
      const { version, digest } = state.latest;
      const isLive = state.live?.version === version;
      return {
        body: {
          ...common,
          newVersion: version,
          rolledBackFrom: before?.latest.version ?? null,
          rolledBackTo: command.targetVersion,
          digest,
          isLive,
          state: state.lifecycle,
          actor: actor.id,
          reason: command.reason ?? null,
          proposal: isLive ? null : proposalIn(state, (open) => open.version === version, context),
        },
        location: `versions/${version}`,
      };
    }
    case "Ramp":
      return {
        body: { ...common, action: command.action, state: state.lifecycle, ramp: presentRamp(state, context.people) },
      };
    case "Schedule":
      return {
        body: {
          ...common,
          state: state.lifecycle,
          schedule: presentSchedule(state, context.people),
          proposals: state.proposals
            .filter(({ parameters }) => parameters.at !== undefined)
            .map((proposal) => presentProposal(state, proposal, context)),
        },
      };
    case "Kill":
    case "Revive":
      return { body: { ...common, state: state.lifecycle, killed: state.killed, epoch: state.epoch } };
    case "Fire":
    case "Notify":
    case "Signal":
      return { body: { ...common, state: state.lifecycle } };
    case "Comment":
      return { body: { ...common, proposal: proposalIn(state, ({ id }) => id === command.proposal, context) } };
    case "WithdrawProposal":
      return { body: { ...common, withdrawn: command.proposal } };
    default:
      return command satisfies never;
  }
};

/** Commands that make something with an address of its own. */
const creates: readonly CommandRequest["command"]["type"][] = ["WriteVersion", "RollBack", "Say", "Comment"];

/**
 * @param before the state that was decided on
 * @param snapshot the state after the decision, or the present one where nothing changed
 */
export const presentAnswer = (
  request: CommandRequest,
  decision: Decision,
  before: ExperimentState | null,
  snapshot: Snapshot | null,
  context: ViewContext,
): CommandAnswer => {
  if (decision.outcome === "deny") return presentDenial(decision, snapshot, context);
  if (snapshot === null) throw new ProvisoError("internal", "a change without a state");
  const etag = etagOf(snapshot);
  if (decision.outcome === "hold") {
    const proposal = proposalIn(snapshot.state, ({ id }) => id === decision.proposalId, context);
    const body = {
      experimentName: snapshot.state.name,
      state: snapshot.state.lifecycle,
      revision: snapshot.revision,
      proposal,
    };
    return { ok: true, outcome: "held", etag, body, location: `proposals/${decision.proposalId}` };
  }
  const created = creates.includes(request.command.type);
  const outcome = decision.outcome === "unchanged" ? "unchanged" : created ? "created" : "done";
  return { ok: true, outcome, etag, ...bodyOf(request, before, snapshot, context) };
};
