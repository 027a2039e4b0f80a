/** What happens without anybody asking: scheduled changes, ramp steps, guardrails. Called by an alarm, or by the host. */
import type { ExperimentRef } from "../scope.ts";
import { clockActors, type DueCommand, isWatched, nextDue, nextWake } from "./due.ts";
import { evidenceDeadlineMs, isMissing, type Telemetry, unreadable, withinDeadline } from "./evidence.ts";
import type { CommandAnswer, CommandRequest } from "./governor.ts";
import type { GuardrailReading } from "./guardrails.ts";
import { servesSomebody } from "./serving.ts";
import type { ExperimentState } from "./state.ts";
import type { GovernanceStore } from "./store.ts";

export interface Clock {
  readonly store: GovernanceStore;
  readonly telemetry: Telemetry;
  readonly now: () => number;
  readonly report: (error: unknown) => void;
  readonly guardrailIntervalMs: number;
  readonly execute: (request: CommandRequest) => Promise<CommandAnswer>;
}

/** More than one experiment can have waiting: every scheduled change, and every step of a ramp. */
const dueMax = 100;

/** The strongest brake first: what it stops needs no second one. */
const strength = { rollBack: 0, pause: 1, notify: 2, none: 3 } as const;

const commandsOf = (reading: GuardrailReading, state: ExperimentState): readonly DueCommand["command"][] => {
  const { guardrail: name, metric, variant, why, figures, action } = reading;
  if (action === "none" || state.live === null || state.servingSince === null) return [];
  const { version } = state.live;
  const of = { version, epoch: state.epoch, since: state.servingSince };
  const guardrail = { guardrail: name, metric, variant, why, figures, ...of };
  if (action === "notify") return [{ type: "Notify", guardrail }];
  // Paused already, and whoever is in is still served: the switch gives them control, and the finding is written down.
  if (action === "pause" && state.lifecycle === "Paused")
    return [
      { type: "Notify", guardrail },
      { type: "Kill", guardrail },
    ];
  return [{ type: "Transition", to: action === "pause" ? "Paused" : "RolledBack", guardrail }];
};

const readGuardrails = async (
  ref: ExperimentRef,
  state: ExperimentState,
  { telemetry, report }: Clock,
): Promise<readonly GuardrailReading[]> => {
  if (telemetry.guardrails === undefined || !isWatched(state)) return [];
  const readings = await withinDeadline(telemetry.guardrails(ref, state), evidenceDeadlineMs, unreadable, report);
  return isMissing(readings) ? [] : readings.answer.toSorted((a, b) => strength[a.action] - strength[b.action]);
};

const watchGuardrails = async (ref: ExperimentRef, state: ExperimentState, clock: Clock): Promise<void> => {
  for (const reading of await readGuardrails(ref, state, clock)) {
    for (const command of commandsOf(reading, state))
      await clock.execute({ ref, actor: clockActors.guardrail, command });
  }
};

/** What crossed since the last look. After the brake, which must not wait for it, and of the state that was looked at. */
const raiseSignals = async (ref: ExperimentRef, state: ExperimentState, clock: Clock): Promise<void> => {
  const { telemetry, report } = clock;
  if (telemetry.signals === undefined || !servesSomebody(state) || state.live === null) return;
  const read = await withinDeadline(telemetry.signals(ref, state), evidenceDeadlineMs, unreadable, report);
  if (isMissing(read)) return;
  const { version } = state.live;
  const command = { type: "Signal", signals: read.answer, version, epoch: state.epoch } as const;
  const known = new Set(state.signals);
  // Nothing new is the usual answer, and needs no command: the decision would say so too.
  const keys = new Set(read.answer.map(({ key }) => key));
  if (keys.size === known.size && [...keys].every((key) => known.has(key))) return;
  await clock.execute({ ref, actor: clockActors.signals, command });
};

const stateOf = async (ref: ExperimentRef, { store }: Clock): Promise<ExperimentState | null> =>
  (await store.load(ref))?.snapshot.state ?? null;

/** @returns when to look again, in ms since the epoch; null when there is nothing to wait for */
export const runClock = async (ref: ExperimentRef, clock: Clock): Promise<number | null> => {
  let state = await stateOf(ref, clock);
  // The brake first: a guardrail that is broken must not see the ramp widen once more.
  if (state !== null) {
    await watchGuardrails(ref, state, clock);
    await raiseSignals(ref, state, clock);
  }
  for (let done = 0; done < dueMax; done += 1) {
    state = await stateOf(ref, clock);
    const due = state === null ? null : nextDue(state, clock.now());
    if (due === null) break;
    const answer = await clock.execute({ ref, ...due });
    // Nothing came of it, and nothing would come of asking at once again.
    if (!answer.ok || answer.outcome === "unchanged") break;
  }
  return state === null
    ? null
    : nextWake(state, clock.now(), clock.guardrailIntervalMs, clock.telemetry.signals !== undefined);
};
