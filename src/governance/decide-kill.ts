/** Deciding a kill switch: off at once, on again as resuming would be. */
import { type Command, type Decision, deny, type Evidence, noClaims } from "./commands.ts";
import { decideChange } from "./decide-change.ts";
import { findingHolds } from "./guardrails.ts";
import type { Aim } from "./proposals.ts";
import { revivedTo, servesSomebody } from "./serving.ts";
import type { ExperimentState } from "./state.ts";

/** Why there is nothing of that name to switch; null when there is. */
const unknownVariant = (state: ExperimentState, variant: string | undefined): Decision | null => {
  if (state.live === null)
    return deny("invalid-transition", `in ${state.lifecycle} nothing is served that a switch could stop`, {
      currentState: state.lifecycle,
    });
  if (variant === undefined) return null;
  const treatments = state.live.configuration.variants.flatMap(({ key, control }) => (control === true ? [] : [key]));
  return treatments.includes(variant)
    ? null
    : deny("invalid-request", `a switch stops one of the treatments: ${treatments.join(", ")}`, {
        errors: [{ path: "/variant", message: treatments.join(", ") }],
      });
};

const isKilled = ({ killed }: ExperimentState, variant: string | undefined): boolean =>
  variant === undefined ? killed.experiment : killed.variants.includes(variant);

export const decideKill = (
  state: ExperimentState,
  { variant, reason, guardrail }: Extract<Command, { type: "Kill" }>,
): Decision => {
  if (guardrail !== undefined && !findingHolds(state, guardrail)) return { outcome: "unchanged" };
  const refused = unknownVariant(state, variant);
  if (refused !== null) return refused;
  if (isKilled(state, variant)) return { outcome: "unchanged" };
  const data = { variant: variant ?? null, ...(reason === undefined ? {} : { reason }) };
  return { outcome: "commit", events: [{ type: "Killed", data }], claims: noClaims };
};

export const decideRevive = (
  state: ExperimentState,
  command: Extract<Command, { type: "Revive" }>,
  evidence: Evidence,
): Decision => {
  const { variant } = command;
  const refused = unknownVariant(state, variant);
  if (refused !== null) return refused;
  if (!isKilled(state, variant)) return { outcome: "unchanged" };
  const aim: Aim = {
    kind: "revive",
    to: revivedTo(state),
    parameters: variant === undefined ? {} : { variant },
  };
  // Where nothing serves, taking the switch off serves nobody: the start that may follow is what is decided.
  return servesSomebody(state)
    ? decideChange(state, aim, command, evidence)
    : decideChange(state, aim, command, { ...evidence, policySet: { ...evidence.policySet, gates: [], policies: [] } });
};
