/** Durations as people write them: ISO 8601 (`PT30M`, `P1DT2H`), a clock (`00:30:00`) or short (`30m`, `1d`, `500ms`). */
import * as v from "valibot";

const unitsMs = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const;
const shortForm = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)$/;
const clockForm = /^(\d{1,4}):([0-5]\d):([0-5]\d)$/;
const isoForm = /^P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?$/;

const isUnit = (text: string | undefined): text is keyof typeof unitsMs =>
  text !== undefined && Object.hasOwn(unitsMs, text);

/**
 * Milliseconds of a written duration, or undefined when it is not one. Months and years have no fixed length and
 * are not accepted.
 *
 * @example parseDuration("1d") // 86_400_000
 */
export const parseDuration = (text: string): number | undefined => {
  const short = shortForm.exec(text.trim());
  if (short !== null && isUnit(short[2])) return Number(short[1]) * unitsMs[short[2]];
  const clock = clockForm.exec(text.trim());
  if (clock !== null) return Number(clock[1]) * unitsMs.h + Number(clock[2]) * unitsMs.m + Number(clock[3]) * unitsMs.s;
  const iso = isoForm.exec(text.trim());
  if (iso === null || iso.slice(1).every((part) => part === undefined) || text.trim().endsWith("T")) return undefined;
  const [weeks, days, hours, minutes, seconds] = iso.slice(1).map((part) => Number(part ?? 0));
  return (
    (weeks ?? 0) * unitsMs.w +
    (days ?? 0) * unitsMs.d +
    (hours ?? 0) * unitsMs.h +
    (minutes ?? 0) * unitsMs.m +
    (seconds ?? 0) * unitsMs.s
  );
};

export const durationForms = "a duration such as 30m, 1d, 00:30:00 or PT30M";

/** A written duration, kept as written: a digest over it does not depend on how we compute with it. */
export const DurationSchema = v.pipe(
  v.string(durationForms),
  v.check((text) => parseDuration(text) !== undefined, durationForms),
);
