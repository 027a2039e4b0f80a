import type { Command } from "./commands.ts";
import type { PersonalRef } from "./events.ts";
import type { CommandInput } from "./request.ts";

/** Free text leaves the command before it reaches the decider: only its reference is ever hashed. */
export const withReferences = (input: CommandInput, refOf: (text: string) => PersonalRef): Command => {
  const reason = "reason" in input && input.reason !== undefined ? { reason: refOf(input.reason) } : {};
  switch (input.type) {
    case "WriteVersion": {
      const { changeDescription, ...rest } = input;
      return changeDescription === undefined ? rest : { ...rest, changeDescription: refOf(changeDescription) };
    }
    case "Transition":
    case "Publish":
    case "RollBack":
    case "Revive": {
      const { metadata, ...rest } = input;
      return {
        ...rest,
        ...reason,
        ...(metadata === undefined ? {} : { metadata: refOf(JSON.stringify(metadata)) }),
      };
    }
    case "Ramp":
    case "Schedule":
    case "Kill":
    case "Say":
    case "WithdrawProposal":
      return { ...input, ...reason };
    case "Comment":
      return { ...input, text: refOf(input.text) };
    case "Fire":
    case "Notify":
      return input;
    default:
      return input satisfies never;
  }
};
