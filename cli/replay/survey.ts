/** The first reading of a file: how many rows it has, and which variants it shows. Nothing is created before it. */
import { limits } from "../../src/limits.ts";
import { openReplayRows } from "./columns.ts";
import type { ReplayOptions } from "./options.ts";
import { variantProblem } from "./plan.ts";
import type { RowFile } from "./rows.ts";

export interface Survey {
  readonly rows: number;
  /** Rows by variant, in order of appearance; more than {@link limits.variants} are not listed. */
  readonly variants: ReadonlyMap<string, number>;
}

/** @throws CliFailure for a file that cannot be read to its end, or a column that it does not have */
export const surveyFile = async (file: RowFile, options: ReplayOptions, signal: AbortSignal): Promise<Survey> => {
  const { indexes, rows } = await openReplayRows(file, options);
  const variants = new Map<string, number>();
  let count = 0;
  for await (const row of rows) {
    signal.throwIfAborted();
    count = row.number;
    if (row.problem !== undefined) continue;
    const key = row.cells[indexes.variant] ?? "";
    const known = variants.get(key);
    if (known !== undefined) variants.set(key, known + 1);
    else if (variants.size <= limits.variants && key !== "" && variantProblem(key) === undefined) variants.set(key, 1);
  }
  return { rows: count, variants };
};
