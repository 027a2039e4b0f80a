/**
 * Parts of the subjects that are counted beside all of them: by the hour or day of the first exposure, by declared
 * dimension, and crossovers. Which slices a subject is in follows from its state alone.
 */
import type { SubjectState } from "./subject.ts";

/** Everybody. */
export const everybody = "";
/** Crossovers, in the arms of their first exposures: taken away from everybody, the rest is the sensitivity analysis. */
export const crossoverSlice = "c";

const hourMs = 3_600_000;
export const hoursOfDay = 24;

export const hourOf = (time: number): number => Math.floor(time / hourMs);
export const hourSlice = (hour: number): string => `h${hour}`;
export const daySlice = (day: number): string => `d${day}`;
export const dimensionSlice = (dimension: string): string => `x${dimension}`;

/** The hour or day that a slice stands for; null for a slice of another sort. */
export const timeOfSlice = (slice: string): { readonly unit: "hour" | "day"; readonly number: number } | null => {
  const unit = slice.startsWith("h") ? "hour" : slice.startsWith("d") ? "day" : null;
  return unit === null ? null : { unit, number: Number(slice.slice(1)) };
};

/** `name=value` of a dimension's slice; null for a slice of another sort. */
export const dimensionOfSlice = (slice: string): string | null => (slice.startsWith("x") ? slice.slice(1) : null);

export interface Slicing {
  /** First exposures before this hour are counted by the day; a multiple of 24. */
  readonly daysBefore: number;
}

/** The slices of an exposed subject, everybody's left out. */
export const slicesOf = ({ daysBefore }: Slicing, { first, variants }: SubjectState): readonly string[] => {
  if (first === null) return [];
  const hour = hourOf(first.time);
  const slices = [hour < daysBefore ? daySlice(Math.floor(hour / hoursOfDay)) : hourSlice(hour)];
  if (variants !== null) slices.push(crossoverSlice);
  for (const dimension of first.dimensions) slices.push(dimensionSlice(dimension));
  return slices;
};
