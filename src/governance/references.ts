import type { Command } from "./commands.ts";
import type { PersonalRef } from "./events.ts";
import type { CommandInput } from "./request.ts";

/** Free text leaves the command before it reaches the decider: only its reference is ever hashed. */
export const withReferences = (input: CommandInput, refOf: (text: string) => PersonalRef): Command => {
  switch (input.type) {
    case "WriteVersion": {
      const { changeDescription, ...rest } = input;
      return changeDescription === undefined ? rest : { ...rest, changeDescription: refOf(changeDescription) };
    }
    case "Transition": {
      const { reason, metadata, ...rest } = input;
      return {
        ...rest,
        ...(reason === undefined ? {} : { reason: refOf(reason) }),
        ...(metadata === undefined ? {} : { metadata: refOf(JSON.stringify(metadata)) }),
      };
    }
    case "Say": {
      const { reason, ...rest } = input;
      return reason === undefined ? rest : { ...rest, reason: refOf(reason) };
    }
    default:
      return input satisfies never;
  }
};
