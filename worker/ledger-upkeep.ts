/** Work on a ledger's totals that no batch asks for: hours become days, and everything is counted anew. */
import { type ArmChange, type Counting, type SliceChange, totalsFrom, totalsOf } from "../src/ledger/accumulate.ts";
import { addDecimals, parseDecimal } from "../src/ledger/decimal.ts";
import { daySlice, hoursOfDay, timeOfSlice } from "../src/ledger/slices.ts";
import type { SubjectState } from "../src/ledger/subject.ts";
import { addSlices, readMetricNumbers, readOutcomes, readSubjectsAfter, writeTotals } from "./ledger-rows.ts";

/** The hours before this one become days; it is a multiple of 24. */
export const rollUpHours = (sql: SqlStorage, before: number): void => {
  const { days_before: done } = sql.exec<{ days_before: number }>("SELECT days_before FROM ledger").one();
  if (before <= done) return;
  const arms = new Map<string, ArmChange>();
  const dayOf = (slice: string, epoch: number, variant: string): SliceChange | undefined => {
    const time = timeOfSlice(slice);
    if (time === null || time.unit !== "hour" || time.number >= before) return undefined;
    const key = `${epoch}:${variant}`;
    const arm: ArmChange = arms.get(key) ?? {
      epoch,
      variant,
      subjects: 0,
      settled: 0,
      recent: new Map(),
      slices: new Map(),
    };
    arms.set(key, arm);
    const name = daySlice(Math.floor(time.number / hoursOfDay));
    const day: SliceChange = arm.slices.get(name) ?? { subjects: 0, totals: new Map() };
    arm.slices.set(name, day);
    return day;
  };
  const hours = new Set<string>();
  for (const [slice, epoch, variant, subjects] of sql
    .exec("SELECT slice, epoch, variant, subjects FROM slices WHERE slice >= 'h' AND slice < 'i'")
    .raw<[string, number, string, number]>()) {
    const day = dayOf(slice, epoch, variant);
    if (day === undefined) continue;
    hours.add(slice);
    day.subjects += subjects;
  }
  for (const [slice, metric, epoch, variant, observed, sum, squares] of sql
    .exec("SELECT * FROM totals WHERE slice >= 'h' AND slice < 'i'")
    .raw<[string, string, number, string, number, string, string]>()) {
    const day = dayOf(slice, epoch, variant);
    if (day === undefined) continue;
    hours.add(slice);
    const total = day.totals.get(metric) ?? { observed: 0, sum: 0, sumOfSquares: 0 };
    day.totals.set(metric, {
      observed: total.observed + observed,
      sum: addDecimals(total.sum, parseDecimal(sum)),
      sumOfSquares: addDecimals(total.sumOfSquares, parseDecimal(squares)),
    });
  }
  const json = JSON.stringify([...hours]);
  sql.exec("DELETE FROM slices WHERE slice IN (SELECT value FROM json_each(?))", json);
  sql.exec("DELETE FROM totals WHERE slice IN (SELECT value FROM json_each(?))", json);
  addSlices(sql, { arms: [...arms.values()] });
  sql.exec("UPDATE ledger SET days_before = ?", before);
};

/**
 * Counts the totals of some more subjects anew, by the definitions in force.
 *
 * @param changed is told of them, for what is kept up to date beside the totals
 * @returns true while there are more
 */
export const recountFurther = (
  sql: SqlStorage,
  subjects: number,
  countingOf: () => Counting,
  changed: (before: (subject: string) => SubjectState | undefined, after: ReadonlyMap<string, SubjectState>) => void,
): boolean => {
  const { recounted } = sql.exec<{ recounted: number | null }>("SELECT recounted FROM ledger").one();
  if (recounted === null) return false;
  const metrics = readMetricNumbers(sql);
  const counting = countingOf();
  const page = readSubjectsAfter(sql, metrics, { after: recounted, limit: subjects, which: "all" });
  const outcomes = readOutcomes(sql, metrics, page);
  const states = page.map(({ n, subject, state }) => ({
    n,
    subject,
    state: { ...state, totals: totalsFrom(state.first, outcomes.get(subject) ?? [], counting.specOf) },
  }));
  writeTotals(sql, metrics, states);
  addSlices(
    sql,
    totalsOf(
      counting,
      states.map(({ state }) => state),
    ),
  );
  const before = new Map(page.map(({ subject, state }) => [subject, state]));
  changed((subject) => before.get(subject), new Map(states.map(({ subject, state }) => [subject, state])));
  const last = page.at(-1);
  const more = last !== undefined && page.length === subjects;
  sql.exec("UPDATE ledger SET recounted = ?", more ? last.n : null);
  return more;
};
