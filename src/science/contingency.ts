/** Tables of counts: independence, and how much likelier the event is in one arm than in the other. */
import gammainc from "@stdlib/math-base-special-gammainc";
import type { ChiSquare } from "./chi-square-srm.ts";
import { normalCritical } from "./normal.ts";
import type { Proportion } from "./proportions.ts";

const without = (reason: string): ChiSquare => ({ statistic: null, degreesOfFreedom: null, pValue: null, reason });

/**
 * Pearson's chi-square test of independence (Pearson 1900), (rows − 1)(columns − 1) degrees of freedom. Without Yates'
 * correction, which makes a 2 × 2 table too slow to reject; `yates: true` applies it to such a table.
 *
 * @returns nulls with a reason when the table has an empty row or column
 * @throws RangeError for a table that is not rectangular, or has a count that cannot be
 * @example chiSquareIndependence([[30, 70], [15, 85]]).statistic // 6.4516…
 */
export const chiSquareIndependence = (
  table: readonly (readonly number[])[],
  { yates = false }: { readonly yates?: boolean } = {},
): ChiSquare => {
  const columns = table[0]?.length ?? 0;
  if (table.some((row) => row.length !== columns)) throw new RangeError("table: rows of one length");
  if (table.flat().some((count) => !Number.isSafeInteger(count) || count < 0))
    throw new RangeError("table: whole numbers, 0 or more");
  if (yates && (table.length !== 2 || columns !== 2)) throw new RangeError("table: Yates' correction is for 2 × 2");
  const rowSums = table.map((row) => row.reduce((sum, count) => sum + count, 0));
  const columnSums = Array.from({ length: columns }, (_, column) =>
    table.reduce((sum, row) => sum + (row[column] ?? 0), 0),
  );
  const total = rowSums.reduce((sum, count) => sum + count, 0);
  if (table.length < 2 || columns < 2) return without("fewer than two rows or columns");
  if ([...rowSums, ...columnSums].some((sum) => sum === 0)) return without("a row or a column is empty");
  const cells = table.flatMap((row, rowIndex) =>
    row.map((count, column) => {
      const expected = ((rowSums[rowIndex] ?? 0) * (columnSums[column] ?? 0)) / total;
      return { expected, away: Math.abs(count - expected) };
    }),
  );
  // R's form: the correction never turns a small deviation into one on the other side.
  const correction = yates ? Math.min(0.5, ...cells.map(({ away }) => away)) : 0;
  const statistic = cells.reduce((sum, { away, expected }) => sum + (away - correction) ** 2 / expected, 0);
  const degreesOfFreedom = (table.length - 1) * (columns - 1);
  return { statistic, degreesOfFreedom, pValue: gammainc(statistic / 2, degreesOfFreedom / 2, true, true) };
};

/** A ratio with an interval that is symmetrical on its logarithm. */
export interface RatioEstimate {
  readonly value: number | null;
  readonly interval: readonly [low: number, high: number] | null;
  /** Haldane's correction was needed: 0.5 was added to all four cells, because one was empty. */
  readonly corrected: boolean;
  readonly reason?: string;
}

const noRatio = (reason: string): RatioEstimate => ({ value: null, interval: null, corrected: false, reason });

interface Cells {
  readonly events: number;
  readonly others: number;
}

/** The four cells; with 0.5 in each when, and only when, one is empty (Haldane 1956, Anscombe 1956). */
const cellsOf = (variant: Proportion, control: Proportion): { variant: Cells; control: Cells; corrected: boolean } => {
  const arms = [variant, control].map(({ successes, subjects }) => ({
    events: successes,
    others: subjects - successes,
  }));
  const corrected = arms.some(({ events, others }) => events === 0 || others === 0);
  const added = corrected ? 0.5 : 0;
  const [first, second] = arms.map(({ events, others }) => ({ events: events + added, others: others + added }));
  if (first === undefined || second === undefined) throw new TypeError("contingency: two arms");
  return { variant: first, control: second, corrected };
};

const ratio = (value: number, logVariance: number, alpha: number, corrected: boolean): RatioEstimate => {
  const halfWidth = normalCritical(alpha) * Math.sqrt(logVariance);
  return { value, interval: [value * Math.exp(-halfWidth), value * Math.exp(halfWidth)], corrected };
};

/**
 * Odds of the event in the variant over those in control, with Woolf's logit interval (Woolf 1955).
 *
 * @returns null with a reason when an arm has no subject
 * @example oddsRatio({ successes: 30, subjects: 100 }, { successes: 15, subjects: 100 }).value // 2.4285…
 */
export const oddsRatio = (variant: Proportion, control: Proportion, alpha = 0.05): RatioEstimate => {
  if (variant.subjects === 0 || control.subjects === 0) return noRatio("an arm has no subject");
  const cells = cellsOf(variant, control);
  const { variant: v, control: c } = cells;
  const logVariance = 1 / v.events + 1 / v.others + 1 / c.events + 1 / c.others;
  return ratio((v.events / v.others) * (c.others / c.events), logVariance, alpha, cells.corrected);
};

/**
 * Rate of the event in the variant over that in control, with Katz' log interval (Katz, Baptista, Azen & Pike 1978).
 * Only the events must not be 0: an arm in which everybody has the event has a rate like any other.
 *
 * @returns null with a reason when an arm has no subject
 * @example relativeRisk({ successes: 30, subjects: 100 }, { successes: 15, subjects: 100 }).value // 2
 */
export const relativeRisk = (variant: Proportion, control: Proportion, alpha = 0.05): RatioEstimate => {
  if (variant.subjects === 0 || control.subjects === 0) return noRatio("an arm has no subject");
  const { variant: v, control: c, corrected } = cellsOf(variant, control);
  const [variantSubjects, controlSubjects] = [v.events + v.others, c.events + c.others];
  const logVariance = 1 / v.events - 1 / variantSubjects + (1 / c.events - 1 / controlSubjects);
  return ratio((v.events / variantSubjects) * (controlSubjects / c.events), logVariance, alpha, corrected);
};
