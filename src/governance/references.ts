import type { Command } from "./commands.ts";
import type { PersonalRef } from "./events.ts";
import type { ExperimentRef } from "../scope.ts";
import type { CommandInput } from "./request.ts";
import type { GovernanceStore } from "./store.ts";

export interface Referring {
  readonly text: (text: string) => PersonalRef;
  /** By id: within one experiment a person has one reference. */
  readonly actor: (id: string) => PersonalRef;
}

/** References of the people whom a command names besides the one who gives it, as far as they have appeared here. */
export const namedPeople = async (
  store: GovernanceStore,
  { ref, command }: { readonly ref: ExperimentRef; readonly command: CommandInput },
): Promise<readonly (readonly [name: string, ref: PersonalRef])[]> => {
  if (command.type !== "WriteVersion" || command.provenance?.kind !== "promotion") return [];
  const found = await Promise.all(
    command.provenance.contentBy.map(async (name) => ({ name, loaded: await store.load(ref, { actor: name }) })),
  );
  return found.flatMap(({ name, loaded }) => (loaded?.actor == null ? [] : [[name, loaded.actor] as const]));
};

/** Free text and people leave the command before it reaches the decider: only their references are ever hashed. */
export const withReferences = (input: CommandInput, { text: refOf, actor }: Referring): Command => {
  // Behind a reference nobody sees what a reason says: past the rules, one that says nothing is none.
  const says = (text: string): boolean => !("breakGlass" in input && input.breakGlass) || /\S/.test(text);
  const reason =
    "reason" in input && input.reason !== undefined && says(input.reason) ? { reason: refOf(input.reason) } : {};
  switch (input.type) {
    case "WriteVersion": {
      const { changeDescription, provenance, ...rest } = input;
      return {
        ...rest,
        ...(changeDescription === undefined ? {} : { changeDescription: refOf(changeDescription) }),
        ...(provenance?.kind === "promotion"
          ? { provenance: { ...provenance, contentBy: provenance.contentBy.map(actor) } }
          : {}),
      };
    }
    case "Transition":
    case "Publish":
    case "RollBack":
    case "Revive": {
      const { metadata, reason: _reason, ...rest } = input;
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
    case "Signal":
      return input;
    default:
      return input satisfies never;
  }
};
