/** Deciding about a ramp: its next step, staying where it is, ending it. Starting one is the move to Ramping. */
import { type Command, type Decision, deny, type Evidence, noClaims } from "./commands.ts";
import { type Ask, decideChange } from "./decide-change.ts";
import { decideMove } from "./decide-transition.ts";
import type { DomainEvent } from "./events.ts";
import type { ExperimentState, RampState } from "./state.ts";

type Ramp = Extract<Command, { type: "Ramp" }>;

const recorded = (events: readonly DomainEvent[]): Decision => ({ outcome: "commit", events, claims: noClaims });

const decideNext = (state: ExperimentState, ramp: RampState, ask: Ask, evidence: Evidence): Decision => {
  const next = ramp.step + 1;
  const steps = state.live?.configuration.ramp?.steps ?? [];
  return next < steps.length
    ? decideChange(state, { kind: "rampStep", to: "Ramping", parameters: { step: next } }, ask, evidence)
    : // After the last step there is nothing left to ramp.
      decideMove(state, { to: "Running" }, ask, evidence);
};

/** A step that the clock asked for and that was refused stays, and the history and the state say why. */
const heldBy = (ramp: RampState, decision: Decision): Decision => {
  if (decision.outcome === "commit" || decision.outcome === "unchanged") return decision;
  const held = decision.outcome === "hold";
  const code = held ? "approval-required" : decision.code;
  // Said once: the next look that finds the same adds nothing.
  if (ramp.held?.code === code) return { outcome: "unchanged" };
  const why = held ? "the step waits for approval" : decision.message;
  const before = held ? decision.events : decision.record === null ? [] : [decision.record];
  return recorded([...before, { type: "RampHeld", data: { step: ramp.step, code, why } }]);
};

export const decideRamp = (state: ExperimentState, command: Ramp, evidence: Evidence): Decision => {
  const { ramp, lifecycle } = state;
  const reason = command.reason === undefined ? {} : { reason: command.reason };
  if (ramp === null || (lifecycle !== "Ramping" && lifecycle !== "Paused")) {
    return command.due === undefined
      ? deny("invalid-transition", `in ${lifecycle} there is no ramp under way`, { currentState: lifecycle })
      : { outcome: "unchanged" };
  }
  switch (command.action) {
    case "hold":
      return ramp.held?.code === "asked"
        ? { outcome: "unchanged" }
        : recorded([{ type: "RampHeld", data: { step: ramp.step, code: "asked", ...reason } }]);
    case "abort": {
      const ended: DomainEvent = { type: "RampEnded", data: { step: ramp.step } };
      if (lifecycle === "Paused") return recorded([ended]);
      const paused = decideMove(state, { to: "Paused" }, reason, evidence);
      return paused.outcome === "commit" ? { ...paused, events: [...paused.events, ended] } : paused;
    }
    case "advance": {
      if (lifecycle !== "Ramping")
        return deny("invalid-transition", "the ramp is paused: resume it first", { currentState: lifecycle });
      if (command.due === undefined) return decideNext(state, ramp, reason, evidence);
      const isDue =
        command.due === ramp.step &&
        ramp.dueAt !== null &&
        Date.parse(ramp.dueAt) <= evidence.now &&
        ramp.held?.code !== "asked";
      if (!isDue) return { outcome: "unchanged" };
      return heldBy(ramp, decideNext(state, ramp, { onBehalfOf: ramp.startedBy }, evidence));
    }
    default:
      return command.action satisfies never;
  }
};
