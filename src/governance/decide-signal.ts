/** Deciding which of the signals that hold are news: each is raised once for each crossing, whoever looks and how often. */
import { holdsSurfaces } from "../lifecycle.ts";
import { type Command, type Decision, noClaims } from "./commands.ts";
import type { DomainEvent } from "./events.ts";
import type { ExperimentState } from "./state.ts";

/** News of one look; what is left is news at the next one. */
export const signalsAtOnce = 50;
/** Signals that a state remembers. A hundred metrics of a hundred arms would make it one that no store takes, nor a pause of it. */
export const signalsKept = 1_000;

/**
 * Raises what holds and did not, and notes what no longer does, so that crossing again is told again. A look at a version
 * or an epoch that is over says nothing; a brake that the same look has pulled does not keep its signal from being told.
 */
export const decideSignal = (state: ExperimentState, command: Extract<Command, { type: "Signal" }>): Decision => {
  const { signals, version, epoch } = command;
  const current =
    (holdsSurfaces(state.lifecycle) || state.lifecycle === "RolledBack") &&
    state.live?.version === version &&
    state.epoch === epoch;
  if (!current) return { outcome: "unchanged" };
  const now = new Map(signals.map((signal) => [signal.key, signal]));
  const cleared = state.signals.filter((key) => !now.has(key));
  const room = Math.max(0, Math.min(signalsAtOnce, signalsKept - (state.signals.length - cleared.length)));
  const known = new Set(state.signals);
  const raised = [...now.values()].filter(({ key }) => !known.has(key)).slice(0, room);
  if (raised.length === 0 && cleared.length === 0) return { outcome: "unchanged" };
  const events: readonly DomainEvent[] = [
    ...(cleared.length === 0 ? [] : [{ type: "SignalsCleared", data: { keys: cleared } } as const]),
    ...raised.map((signal) => ({ type: "SignalRaised", data: { ...signal, version, epoch } }) as const),
  ];
  return { outcome: "commit", events, claims: noClaims };
};
