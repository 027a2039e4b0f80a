import type * as v from "valibot";
import type { PolicyContext, PolicyVerdict } from "./policy.ts";
import { type TimeWindowSchema, weekdays } from "./schema.ts";

const minutesOf = (clock: string): number => Number(clock.slice(0, 2)) * 60 + Number(clock.slice(3, 5));

/** By zone. Making one takes longer than all the rest of a decision; a runtime knows some hundred zones. */
const formats = new Map<string, Intl.DateTimeFormat>();

const formatOf = (timeZone: string): Intl.DateTimeFormat => {
  const known = formats.get(timeZone);
  if (known !== undefined) return known;
  const made = new Intl.DateTimeFormat("en-GB", {
    timeZone,
    weekday: "long",
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
  });
  formats.set(timeZone, made);
  return made;
};

/** Local wall-clock time, from the zone rules of the runtime: daylight saving is theirs to know. */
const localTime = (now: number, timeZone: string): { weekday: string; clock: string } => {
  const parts = formatOf(timeZone).formatToParts(now);
  const part = (type: Intl.DateTimeFormatPartTypes): string =>
    parts.find((candidate) => candidate.type === type)?.value ?? "";
  return { weekday: part("weekday").toLowerCase(), clock: `${part("hour")}:${part("minute")}` };
};

const before = (weekday: string): string => weekdays[(weekdays.findIndex((day) => day === weekday) + 6) % 7] ?? weekday;

/**
 * Allowed from `allowedStartTime` until just before `allowedEndTime`, local time; equal times mean the whole day.
 * When the end is before the start the window wraps midnight, and its early part belongs to the day it began on.
 */
export const judgeTimeWindow = (
  policy: v.InferOutput<typeof TimeWindowSchema>,
  context: PolicyContext,
): PolicyVerdict => {
  const { weekday, clock } = localTime(context.evidence.now, policy.timeZone);
  const start = minutesOf(policy.allowedStartTime);
  const end = minutesOf(policy.allowedEndTime);
  const minute = minutesOf(clock);
  const wraps = end < start;
  const inside = start === end || (wraps ? minute >= start || minute < end : minute >= start && minute < end);
  const day = wraps && minute < end ? before(weekday) : weekday;
  const onDay = policy.days === undefined || policy.days.some((allowed) => allowed === day);
  const window = `${policy.allowedStartTime}–${policy.allowedEndTime} ${policy.timeZone}${policy.days === undefined ? "" : ` on ${policy.days.join(", ")}`}`;
  const evidence = {
    localTime: { source: "clock", at: new Date(context.evidence.now).toISOString(), value: `${weekday} ${clock}` },
  };
  return inside && onDay
    ? { compliant: true, reason: `${weekday} ${clock} is inside ${window}`, evidence }
    : { compliant: false, reason: `${weekday} ${clock} is outside ${window}`, evidence };
};
