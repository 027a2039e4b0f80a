/** Deciding a move of the lifecycle: whether it exists, and what concluding says of itself. */
import { allowedTransitions, canTransition } from "../lifecycle.ts";
import { type Command, type Decision, deny, type Evidence } from "./commands.ts";
import { type Ask, decideChange } from "./decide-change.ts";
import type { ChangeParameters } from "./events.ts";
import { findingHolds } from "./guardrails.ts";
import { transitionTo } from "./proposals.ts";
import type { ExperimentState } from "./state.ts";

type Transition = Extract<Command, { type: "Transition" }>;

/** A member of what was asked that cannot be, and why. */
interface Fault {
  readonly path: string;
  readonly message: string;
}

/** What the move says of itself, or why it cannot: only an experiment that has run has something to conclude. */
const concluding = (
  state: ExperimentState,
  { to, outcome, variant }: Pick<Transition, "to" | "outcome" | "variant">,
): ChangeParameters | Fault => {
  const ends = to === "Archived" && state.live !== null;
  if (!ends && (outcome !== undefined || variant !== undefined)) {
    const message = "outcome and variant belong to the move to Archived of an experiment that has run";
    return { path: outcome === undefined ? "/variant" : "/outcome", message };
  }
  if (!ends) return {};
  if (variant !== undefined && outcome !== "ship")
    return { path: "/variant", message: "a variant is named by the outcome ship alone" };
  if (outcome !== "ship") return { outcome: outcome ?? "inconclusive" };
  const keys = (state.live?.configuration.variants ?? []).map(({ key }) => key);
  if (variant === undefined || !keys.includes(variant))
    return { path: "/variant", message: `shipping names the variant that stays: ${keys.join(", ")}` };
  return { outcome, variant };
};

/** The mode of a pause; of nothing else, and the default is not written down. */
const pausing = ({ to, mode }: Pick<Transition, "to" | "mode">): ChangeParameters | Fault => {
  if (mode !== undefined && to !== "Paused") return { path: "/mode", message: "a mode belongs to the move to Paused" };
  return mode === undefined || mode === "control" ? {} : { mode };
};

/** Decides a move with an asker of its own; `extra` becomes part of what is approved. */
export const decideMove = (
  state: ExperimentState,
  move: Pick<Transition, "to" | "outcome" | "variant" | "mode">,
  ask: Ask,
  evidence: Evidence,
  extra: ChangeParameters = {},
): Decision => {
  const from = state.lifecycle;
  if (!canTransition(from, move.to)) {
    return deny("invalid-transition", `from ${from} an experiment cannot go to ${move.to}`, {
      currentState: from,
      allowedTransitions: allowedTransitions(from),
    });
  }
  const parameters = concluding(state, move);
  if ("message" in parameters) return deny("invalid-request", parameters.message, { errors: [parameters] });
  const pause = pausing(move);
  if ("message" in pause) return deny("invalid-request", pause.message, { errors: [pause] });
  return decideChange(state, transitionTo(move.to, { ...parameters, ...pause, ...extra }), ask, evidence);
};

export const decideTransition = (state: ExperimentState, command: Transition, evidence: Evidence): Decision =>
  command.guardrail !== undefined && !findingHolds(state, command.guardrail)
    ? { outcome: "unchanged" }
    : decideMove(state, command, command, evidence);
