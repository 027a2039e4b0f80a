/** Deciding that a guardrail which notifies, or acts by a kill switch, is written down: once for a version, epoch and start. */
import { type Command, type Decision, noClaims } from "./commands.ts";
import { servesSomebody } from "./serving.ts";
import type { ExperimentState } from "./state.ts";

export const decideNotify = (state: ExperimentState, { guardrail }: Extract<Command, { type: "Notify" }>): Decision => {
  const holds =
    servesSomebody(state) &&
    state.live?.version === guardrail.version &&
    state.epoch === guardrail.epoch &&
    state.servingSince === guardrail.since;
  return holds && !state.notified.includes(guardrail.guardrail ?? guardrail.metric)
    ? { outcome: "commit", events: [{ type: "GuardrailBroken", data: guardrail }], claims: noClaims }
    : { outcome: "unchanged" };
};
