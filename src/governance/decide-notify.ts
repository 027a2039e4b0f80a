/** Deciding that a guardrail which notifies, or acts by a kill switch, is written down: once for a version, epoch and start. */
import { type Command, type Decision, noClaims } from "./commands.ts";
import { findingHolds } from "./guardrails.ts";
import type { ExperimentState } from "./state.ts";

export const decideNotify = (state: ExperimentState, { guardrail }: Extract<Command, { type: "Notify" }>): Decision =>
  findingHolds(state, guardrail) && !state.notified.includes(guardrail.guardrail ?? guardrail.metric)
    ? { outcome: "commit", events: [{ type: "GuardrailBroken", data: guardrail }], claims: noClaims }
    : { outcome: "unchanged" };
