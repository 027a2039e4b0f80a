/** What an experiment serves, as its state says it. */
import { isServing } from "../lifecycle.ts";
import { parseDuration } from "../duration.ts";
import type { SettledConfiguration } from "../experiment.ts";
import type { RampPosition } from "./events.ts";
import type { ExperimentState } from "./state.ts";

/** A pause in which whoever is in stays in: treatments are served, and nobody new enters. */
export const staysIn = ({ lifecycle, paused }: Pick<ExperimentState, "lifecycle" | "paused">): boolean =>
  lifecycle === "Paused" && paused === "stopEnrolment";

/** Somebody is served a treatment, so something may be going wrong: what guardrails watch. */
export const servesSomebody = (state: Pick<ExperimentState, "lifecycle" | "paused">): boolean =>
  isServing(state.lifecycle) || staysIn(state);

/** Where it is judged to go when a kill switch is taken off: as resuming would be, also where a pause serves whoever is in. */
export const revivedTo = (state: Pick<ExperimentState, "lifecycle" | "paused">): ExperimentState["lifecycle"] =>
  staysIn(state) ? "Running" : state.lifecycle;

/** The lesser of what the configuration allows and what the ramp step does. */
export const effectiveTraffic = (
  configuration: Pick<SettledConfiguration, "traffic">,
  ramp: Pick<RampPosition, "traffic"> | null,
): number => (ramp === null ? configuration.traffic : Math.min(configuration.traffic, ramp.traffic));

/** Percent of eligible subjects that treatments reach now; 0 while nothing is served. */
export const servedTraffic = ({ lifecycle, live, ramp, killed }: ExperimentState): number =>
  live === null || !isServing(lifecycle) || killed.experiment
    ? 0
    : effectiveTraffic(live.configuration, lifecycle === "Ramping" ? ramp : null);

/** A ramp at one of its steps; null where the configuration has no such step. */
export const rampAt = (configuration: SettledConfiguration, step: number, now: number): RampPosition | null => {
  const found = configuration.ramp?.steps[step];
  if (found === undefined) return null;
  const hold = found.hold === undefined ? undefined : parseDuration(found.hold);
  return {
    step,
    traffic: found.traffic,
    dueAt: hold === undefined ? null : new Date(now + hold).toISOString(),
  };
};

/** Where a ramp goes on under new content: at the highest step that serves no more than is served now. */
export const rampUnder = (configuration: SettledConfiguration, served: number, now: number): RampPosition | null => {
  const steps = configuration.ramp?.steps ?? [];
  const step = steps.findLastIndex(({ traffic }) => traffic <= served);
  return rampAt(configuration, Math.max(step, 0), now);
};
