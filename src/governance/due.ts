/** What the clock has to do about an experiment, and when to look again. Pure: the shell sets alarms by it. */
import type { Actor } from "./actor.ts";
import type { CommandInput } from "./request.ts";
import { servesSomebody } from "./serving.ts";
import type { ExperimentState } from "./state.ts";

/** Commands that nobody sent, in the name of what sends them. Their roles are those of whoever asked for them. */
export const clockActors = {
  schedule: { id: "system:schedule", kind: "service", roles: [] },
  ramp: { id: "system:ramp", kind: "service", roles: [] },
  guardrail: { id: "system:guardrail", kind: "service", roles: [] },
  signals: { id: "system:signals", kind: "service", roles: [] },
} as const satisfies Record<string, Actor>;

export interface DueCommand {
  readonly actor: Actor;
  readonly command: CommandInput;
}

/** A step that was refused is asked for again after this long: the evidence may have come meanwhile. */
const retryMs = 60_000;

const rampDue = ({ lifecycle, ramp }: ExperimentState): number | null =>
  lifecycle !== "Ramping" || ramp === null || ramp.dueAt === null || ramp.held?.code === "asked"
    ? null
    : Date.parse(ramp.dueAt);

/** The next thing that is due; null when nothing is. */
export const nextDue = (state: ExperimentState, now: number): DueCommand | null => {
  const scheduled = state.schedule.find(({ at }) => Date.parse(at) <= now);
  if (scheduled !== undefined)
    return { actor: clockActors.schedule, command: { type: "Fire", scheduled: scheduled.id } };
  const due = rampDue(state);
  return due === null || due > now || state.ramp === null
    ? null
    : { actor: clockActors.ramp, command: { type: "Ramp", action: "advance", due: state.ramp.step } };
};

/** While anybody is served a treatment, and something is to be watched. */
export const isWatched = (state: ExperimentState): boolean =>
  servesSomebody(state) &&
  state.servingSince !== null &&
  state.live !== null &&
  [...(state.live.configuration.guardrails ?? []), ...(state.live.configuration.autoStop ?? [])].length > 0;

/**
 * When to look at the experiment again, in ms since the epoch; null when only a command can change it.
 *
 * @param guardrailIntervalMs how often guardrails and signals are evaluated while it serves
 * @param raisesSignals somebody looks for signals: every experiment that serves is then looked at
 */
export const nextWake = (
  state: ExperimentState,
  now: number,
  guardrailIntervalMs: number,
  raisesSignals = false,
): number | null => {
  const watched = isWatched(state) || (raisesSignals && servesSomebody(state));
  const ramp = rampDue(state);
  const times = [
    ...state.schedule.map(({ at }) => Date.parse(at)),
    ...(ramp === null ? [] : [ramp > now ? ramp : now + retryMs]),
    ...(watched ? [now + guardrailIntervalMs] : []),
  ];
  return times.length === 0 ? null : Math.min(...times);
};
