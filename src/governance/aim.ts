/** Which change a command asks for, so that evidence can be gathered before it is decided. */
import type { Command } from "./commands.ts";
import type { ActorRecord } from "./events.ts";
import { type Aim, publishing, transitionTo } from "./proposals.ts";
import { revivedTo } from "./serving.ts";
import type { ExperimentState } from "./state.ts";

export interface Asked {
  readonly aim: Aim;
  /** Whose roles count, where it is not whoever sent the command. */
  readonly onBehalfOf?: ActorRecord;
}

const nextStep = ({ ramp, live }: ExperimentState): Aim | null => {
  if (ramp === null) return null;
  const next = ramp.step + 1;
  const steps = live?.configuration.ramp?.steps.length ?? 0;
  return next < steps ? { kind: "rampStep", to: "Ramping", parameters: { step: next } } : transitionTo("Running");
};

/** Null for a command that asks for no change that rules decide. */
export const askedBy = (state: ExperimentState | null, command: Command): Asked | null => {
  if (state === null) return null;
  switch (command.type) {
    case "Transition":
      return { aim: transitionTo(command.to, command.outcome === undefined ? {} : { outcome: command.outcome }) };
    case "Publish":
      return { aim: publishing(state) };
    case "RollBack":
      return command.transition === undefined ? null : { aim: transitionTo(command.transition) };
    case "Ramp": {
      const aim = command.action === "advance" ? nextStep(state) : null;
      if (aim === null || state.ramp === null) return null;
      return command.due === undefined ? { aim } : { aim, onBehalfOf: state.ramp.startedBy };
    }
    case "Fire": {
      const waiting = state.schedule.find(({ id }) => id === command.scheduled);
      return waiting === undefined ? null : { aim: transitionTo(waiting.to), onBehalfOf: waiting.scheduledBy };
    }
    case "Revive":
      return { aim: { kind: "revive", to: revivedTo(state), parameters: {} } };
    case "Say": {
      const proposal = state.proposals.find(({ changeDigest }) => changeDigest === command.changeDigest);
      return command.decision !== "approve" || proposal === undefined
        ? null
        : { aim: proposal, onBehalfOf: proposal.proposedBy };
    }
    case "WriteVersion":
    case "Schedule":
    case "Kill":
    case "Notify":
    case "Signal":
    case "Comment":
    case "WithdrawProposal":
      return null;
    default:
      return command satisfies never;
  }
};
