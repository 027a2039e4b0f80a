/** Changes that wait for their time: those a configuration brings, and those somebody asks for. */
import type { SettledConfiguration } from "../experiment.ts";
import type { Evidence } from "./commands.ts";
import type { DomainEvent, ScheduledChange } from "./events.ts";

/** In order of time; of equal times, in the order they were given. */
export const byTime = <Change extends Pick<ScheduledChange, "at">>(changes: readonly Change[]): readonly Change[] =>
  changes.toSorted((one, other) => Date.parse(one.at) - Date.parse(other.at));

/** What a configuration says of its start and end, as far as it lies ahead. */
export const scheduleOf = (
  { schedule, ramp }: SettledConfiguration,
  { now, proposalId }: Pick<Evidence, "now" | "proposalId">,
): readonly DomainEvent[] => {
  const start = schedule?.start;
  const end = schedule?.end;
  // The default is written nowhere: the change is the one that it always was.
  const parameters = schedule?.mode === "stopEnrolment" ? { mode: schedule.mode } : {};
  const changes: readonly ScheduledChange[] = [
    ...(start === undefined
      ? []
      : [
          {
            id: `${proposalId}-start`,
            at: start,
            to: ramp === undefined ? "Running" : "Ramping",
            parameters: {},
          } as const,
        ]),
    ...(end === undefined ? [] : [{ id: `${proposalId}-end`, at: end, to: "Paused", parameters } as const]),
  ].filter(({ at }) => Date.parse(at) > now);
  return changes.length === 0 ? [] : [{ type: "ScheduleSet", data: { changes: byTime(changes) } }];
};
