/** From a row to events as JSON text. The text is put together by hand: it is most of the sender's work. */
import { limits } from "../../src/limits.ts";
import { allowedValues, eventTime, outcomeValue } from "./cells.ts";
import type { ColumnIndexes } from "./columns.ts";
import { outcomeId } from "./ids.ts";
import type { ReplayOptions } from "./options.ts";
import { variantProblem } from "./plan.ts";
import type { Row, RowProblem } from "./rows.ts";

/** What of the experiment each exposure names: the approved configuration that served it. */
export interface ServedVersion {
  readonly version: number;
  readonly digest: string;
  readonly epoch: number;
}

export interface RejectedRow {
  readonly row: number;
  readonly column: string | null;
  readonly value: string;
  readonly reason: string;
}

export type EncodedRow =
  | {
      readonly row: number;
      readonly events: readonly [exposure: string, ...outcomes: string[]];
      readonly rejected?: undefined;
    }
  | { readonly row: number; readonly rejected: RejectedRow; readonly events?: undefined };

export interface EncoderInput {
  readonly options: Pick<ReplayOptions, "ref" | "subject" | "variant" | "timestamp" | "outcomes">;
  readonly indexes: ColumnIndexes;
  readonly served: ServedVersion;
  /** ms since 1970 */
  readonly now: () => number;
  readonly exposureId: () => string;
}

const shownCharacters = 80;

const rejected = (row: number, { column, value, reason }: RowProblem): EncodedRow => ({
  row,
  rejected: {
    row,
    column,
    value: value.length > shownCharacters ? `${value.slice(0, shownCharacters)}…` : value,
    reason,
  },
});

/** Why this text is no subject, or undefined when it is one. */
const subjectProblem = (subject: string): string | undefined => {
  if (subject === "") return "empty";
  if (subject.length > limits.subjectIdCharacters) return `longer than ${limits.subjectIdCharacters} characters`;
  return subject.includes("\u0000") || !subject.isWellFormed()
    ? "text with U+0000 or half a surrogate pair"
    : undefined;
};

/**
 * Makes the encoder of one run. A row with anything that cannot be read is rejected as a whole: half a row would count
 * a subject without its outcomes. An empty cell of an outcome is no outcome.
 */
export const createEncoder = ({
  options,
  indexes,
  served,
  now,
  exposureId,
}: EncoderInput): ((row: Row) => EncodedRow) => {
  const { ref, outcomes } = options;
  const address = `"experimentName":${JSON.stringify(ref.experiment)},"tenantId":${JSON.stringify(ref.tenant)},"environment":${JSON.stringify(ref.environment)},"subjectId":`;
  const version = `"version":${served.version},"digest":${JSON.stringify(served.digest)},"epoch":${served.epoch}}}`;
  const outcomeTails = outcomes.map(
    ({ metric, kind }) => `,"metric":${JSON.stringify(metric)},"kind":${JSON.stringify(kind)},"value":`,
  );
  const variants = new Map<string, { readonly text: string; readonly problem: string | undefined }>();
  const variantOf = (key: string): { readonly text: string; readonly problem: string | undefined } => {
    const known = variants.get(key);
    if (known !== undefined) return known;
    const checked = { text: JSON.stringify(key), problem: key === "" ? "empty" : variantProblem(key) };
    // A column of anything but variants must not fill the memory.
    if (variants.size < limits.variants) variants.set(key, checked);
    return checked;
  };
  // The clock may be set back while the file is read; the order of the file may not.
  let clock = 0;
  let clockText = "";
  const clockTime = (): string => {
    const at = Math.max(clock, now());
    if (at !== clock) clockText = new Date(at).toISOString();
    clock = at;
    return clockText;
  };

  return (row) => {
    const { number } = row;
    if (row.problem !== undefined) return rejected(number, row.problem);
    const { cells } = row;
    const cell = (index: number): string => cells[index] ?? "";
    const subject = indexes.subject === null ? String(number) : cell(indexes.subject);
    const badSubject = subjectProblem(subject);
    if (badSubject !== undefined) {
      return rejected(number, { column: options.subject, value: subject, reason: badSubject });
    }
    const key = cell(indexes.variant);
    const variant = variantOf(key);
    if (variant.problem !== undefined) {
      return rejected(number, { column: options.variant, value: key, reason: variant.problem });
    }
    const time = indexes.timestamp === null ? clockTime() : eventTime(cell(indexes.timestamp));
    if (time === undefined) {
      const value = indexes.timestamp === null ? "" : cell(indexes.timestamp);
      const reason = value.trim() === "" ? "empty" : "not a time: expected 2017-01-21T22:11:48Z or 2017-01-21 22:11:48";
      return rejected(number, { column: options.timestamp ?? null, value, reason });
    }
    const who = address + JSON.stringify(subject);
    const events: [string, ...string[]] = [
      `{"eventId":"${exposureId()}","timestamp":"${time}","eventType":"Exposure","payload":{${who},"variantKey":${variant.text},${version}`,
    ];
    for (const [index, { column, kind, metric }] of outcomes.entries()) {
      const value = cell(indexes.outcomes[index] ?? -1);
      if (value.trim() === "") continue;
      const read = outcomeValue(kind, value);
      if (read === undefined) {
        return rejected(number, { column, value, reason: `not ${kind}: expected ${allowedValues[kind]}` });
      }
      const id = outcomeId(ref.experiment, number, subject, metric);
      events.push(
        `{"eventId":"${id}","timestamp":"${time}","eventType":"Outcome","payload":{${who}${outcomeTails[index] ?? ""}${String(read)}}}`,
      );
    }
    return { row: number, events };
  };
};
