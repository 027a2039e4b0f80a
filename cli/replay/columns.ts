/** Where in a row the asked-for columns stand. */
import { nearest } from "../../src/config/nearest.ts";
import { CliFailure } from "../failure.ts";
import type { ReplayOptions } from "./options.ts";
import { openRows, type Row, type RowFile } from "./rows.ts";

export interface ColumnIndexes {
  /** Null: the row's own number is the subject. */
  readonly subject: number | null;
  readonly variant: number;
  readonly timestamp: number | null;
  readonly outcomes: readonly number[];
}

type Wanted = Pick<ReplayOptions, "subject" | "variant" | "timestamp" | "outcomes">;

/** The columns that a replay needs, each once. */
export const wantedColumns = ({ subject, variant, timestamp, outcomes }: Wanted): readonly string[] => [
  ...new Set([
    ...(subject === null ? [] : [subject]),
    variant,
    ...(timestamp === undefined ? [] : [timestamp]),
    ...outcomes.map(({ column }) => column),
  ]),
];

/** @throws CliFailure (exit code 2) with the columns that there are */
export const locateColumns = (columns: readonly string[], wanted: Wanted, file: string): ColumnIndexes => {
  const locate = (option: string, name: string): number => {
    const index = columns.indexOf(name);
    if (index === -1) {
      const meant = nearest(name, columns);
      const hint = meant === undefined ? "" : `; did you mean ${meant}?`;
      throw new CliFailure(
        `${option} ${name}: ${file} has no such column; it has ${columns.map((column) => JSON.stringify(column)).join(", ")}${hint}`,
        { exitCode: 2 },
      );
    }
    if (columns.includes(name, index + 1)) {
      throw new CliFailure(`${option} ${name}: ${file} has that column twice`, { exitCode: 2 });
    }
    return index;
  };
  return {
    subject: wanted.subject === null ? null : locate("--subject", wanted.subject),
    variant: locate("--variant", wanted.variant),
    timestamp: wanted.timestamp === undefined ? null : locate("--timestamp", wanted.timestamp),
    outcomes: wanted.outcomes.map(({ column }) => locate("--outcome", column)),
  };
};

export interface ReplayRows {
  readonly indexes: ColumnIndexes;
  readonly rows: AsyncIterable<Row>;
}

/** Opens the file for one reading, with its columns found. */
export const openReplayRows = async (file: RowFile, wanted: Wanted): Promise<ReplayRows> => {
  const opened = await openRows(file, wantedColumns(wanted));
  return { indexes: locateColumns(opened.columns, wanted, file.path), rows: opened.rows };
};
