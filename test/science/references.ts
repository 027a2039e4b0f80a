/** The reference values of the statistics, where the data directory is present beside the project. */
import { existsSync, readFileSync } from "node:fs";
import * as v from "valibot";

const file = new URL("../../../shared/data/statistics-references.json", import.meta.url);

const ReferenceSchema = v.object({
  id: v.string(),
  method: v.string(),
  inputs: v.record(v.string(), v.unknown()),
  expected: v.record(v.string(), v.number()),
  convention: v.string(),
  tolerance: v.union([v.string(), v.record(v.string(), v.string())]),
});
export type Reference = v.InferOutput<typeof ReferenceSchema>;

const FileSchema = v.object({ references: v.array(ReferenceSchema) });

/** Why the tests on the file are skipped, or undefined when it is there. */
export const absent = existsSync(file) ? undefined : "../shared/data/statistics-references.json is not there";

export const references: readonly Reference[] =
  absent === undefined ? v.parse(FileSchema, JSON.parse(readFileSync(file, "utf8"))).references : [];

/** Says on the terminal why a file's tests do not run: a silent skip looks like a pass. */
export const announceSkip = (what: string): void => {
  if (absent !== undefined) process.stderr.write(`skipped: ${what}: ${absent}\n`);
};

export const byMethod = (method: string): readonly Reference[] =>
  references.filter((reference) => reference.method === method);

/** Distance as the file's tolerances state it: relative, or absolute where 0 is expected. */
export const distance = (actual: number | null | undefined, expected: number | undefined): number => {
  if (typeof actual !== "number" || expected === undefined || Number.isNaN(actual)) return Infinity;
  const difference = Math.abs(actual - expected);
  return expected === 0 ? difference : difference / Math.abs(expected);
};

type Actual = Readonly<Record<string, number | null | undefined>>;

const complain = (
  { id, expected }: Reference,
  actual: Actual,
  isClose: (value: number | null | undefined, wanted: number | undefined) => boolean,
): readonly string[] =>
  Object.entries(actual)
    .filter(([member, value]) => !isClose(value, expected[member]))
    .map(([member, value]) => `${id}.${member}: ${String(value)}, not ${String(expected[member])}`);

/** The members that are further from the reference than the tolerance, in words; empty when all are right. */
export const offBy = (tolerance: number, reference: Reference, actual: Actual): readonly string[] =>
  complain(reference, actual, (value, wanted) => distance(value, wanted) <= tolerance);

/** Like {@link offBy}, by absolute distance: for log Bayes factors, where log-gammas cancel. */
export const offByAbsolute = (tolerance: number, reference: Reference, actual: Actual): readonly string[] =>
  complain(reference, actual, (value, wanted) => Math.abs((value ?? Number.NaN) - (wanted ?? Number.NaN)) <= tolerance);
