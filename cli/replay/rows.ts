/** Rows of a file, read as a stream: memory does not grow with the file. */
import { createReadStream, type ReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { pipeline, type Readable, Transform } from "node:stream";
import { createGunzip } from "node:zlib";
import { parse } from "csv-parse";
import { CliFailure, messageOf, usageFailure } from "../failure.ts";

/** A row as its cells, in the order of the columns; an absent one is empty text. */
export type Cells = readonly string[];

/** `number` counts data rows from 1, rows that cannot be read included. */
export type Row =
  | { readonly number: number; readonly cells: Cells; readonly problem?: undefined }
  | { readonly number: number; readonly problem: RowProblem; readonly cells?: undefined };

export interface RowProblem {
  /** Null when the row as a whole is at fault. */
  readonly column: string | null;
  readonly value: string;
  readonly reason: string;
}

export interface RowFile {
  readonly path: string;
  readonly format: "csv" | "ndjson";
  readonly compressed: boolean;
}

export interface OpenRows {
  /** CSV: the header. NDJSON: the columns that were asked for. */
  readonly columns: readonly string[];
  readonly rows: AsyncIterable<Row>;
  close(): void;
}

/** One record may not be longer: an unclosed quote would otherwise take the rest of the file into memory. */
const recordCharactersMax = 4 * 1024 * 1024;

const formats = [
  [".csv", "csv"],
  [".ndjson", "ndjson"],
  [".jsonl", "ndjson"],
] as const;

/** @throws CliFailure for a name that says no known format, or a file that cannot be read */
export const findRowFile = async (path: string): Promise<RowFile> => {
  const name = path.toLowerCase();
  const compressed = name.endsWith(".gz");
  const plain = compressed ? name.slice(0, -".gz".length) : name;
  const format = formats.find(([ending]) => plain.endsWith(ending))?.[1];
  if (format === undefined)
    throw usageFailure(`${path}: the name must end in .csv, .ndjson or .jsonl, or one of these and .gz`);
  try {
    const found = await stat(path);
    if (!found.isFile()) throw new CliFailure(`${path} is not a file`);
    return { path, format, compressed };
  } catch (cause) {
    if (cause instanceof CliFailure) throw cause;
    const missing = cause instanceof Error && "code" in cause && cause.code === "ENOENT";
    throw new CliFailure(missing ? `there is no file ${path}` : `${path} cannot be read: ${messageOf(cause)}`, {
      cause,
    });
  }
};

/**
 * Lets UTF-8 through and fails for anything else: replaced bytes would make different subjects the same one.
 */
const assertUtf8 = (): Transform => {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const check = (chunk: Buffer | undefined, stream: boolean): Error | null => {
    try {
      decoder.decode(chunk, { stream });
      return null;
    } catch {
      return new TypeError("it is not UTF-8 text");
    }
  };
  return new Transform({
    transform: (chunk: Buffer, _encoding, done) => done(check(chunk, true), chunk),
    flush: (done) => done(check(undefined, false)),
  });
};

const codeOf = (error: unknown): unknown => (error instanceof Error && "code" in error ? error.code : undefined);

const readFailure = (file: RowFile, cause: unknown): CliFailure => {
  const code = codeOf(cause);
  const why =
    code === "Z_BUF_ERROR"
      ? "the gzip data ends too early: the file is not whole"
      : typeof code === "string" && code.startsWith("Z_")
        ? `it is not gzip data (${messageOf(cause)})`
        : code === "CSV_QUOTE_NOT_CLOSED"
          ? "a quote is opened and never closed"
          : code === "CSV_MAX_RECORD_SIZE"
            ? `a row is longer than ${recordCharactersMax} characters: a quote that is not closed?`
            : messageOf(cause);
  return new CliFailure(`${file.path} cannot be read: ${why}`, { cause });
};

/** An error reaches whoever reads the last stream; the callback of `pipeline` only says that it is dealt with. */
const handled = (): void => undefined;

/** Bytes of the file, unpacked and checked. An error anywhere ends the last stream with it. */
const openText = (file: RowFile): { readonly source: ReadStream; readonly text: Readable } => {
  const source = createReadStream(file.path, { highWaterMark: 256 * 1024 });
  const text = assertUtf8();
  if (file.compressed) pipeline(source, createGunzip(), text, handled);
  else pipeline(source, text, handled);
  return { source, text };
};

const wholeRow = (number: number, value: string, reason: string): Row => ({
  number,
  problem: { column: null, value, reason },
});

/** A record as the parser read it, and as it stands in the file, the line end included. */
interface CsvRecord {
  readonly record: string[];
  readonly raw: string;
}

const isEmptyLine = ({ raw }: CsvRecord): boolean => /^[\r\n]*$/.test(raw);

/** Cells that are quoted from end to end with their quotes doubled (RFC 4180), or do not begin with a quote. */
const wellQuoted =
  /^(?:"[^"]*(?:""[^"]*)*"|[^",\r\n][^,\r\n]*|)(?:,(?:"[^"]*(?:""[^"]*)*"|[^",\r\n][^,\r\n]*|))*[\r\n]*$/;

/**
 * What is wrong with a record as a whole. A quote that is not closed where it should be takes the following lines into
 * its cell; the parser then leaves the quote standing. Only the text tells that from a cell whose own first character
 * is a quote.
 */
const recordProblem = ({ record: cells, raw }: CsvRecord, width: number): string | undefined => {
  const swallowed = cells.some((cell) => cell.startsWith('"') && cell.includes("\n")) && !wellQuoted.test(raw);
  if (cells.length === width && !swallowed) return undefined;
  const spanned = cells.join().split("\n").length;
  const hint = spanned > 1 ? `, over ${spanned} lines: a quote that is not closed?` : "";
  return `${cells.length} cells${cells.length === width ? "" : ` instead of ${width}`}${hint}`;
};

async function* csvRows(records: AsyncIterator<CsvRecord>, width: number): AsyncGenerator<Row> {
  let number = 0;
  try {
    for (;;) {
      const next = await records.next();
      if (next.done === true) return;
      const empty = isEmptyLine(next.value);
      // Between rows of several cells it is a gap; where a row is one cell, it is a row whose cell is missing.
      if (empty && width > 1) continue;
      number += 1;
      const problem = empty ? "an empty line" : recordProblem(next.value, width);
      if (problem === undefined) yield { number, cells: next.value.record };
      else yield wholeRow(number, next.value.record.join(","), problem);
    }
  } finally {
    await records.return?.();
  }
}

const openCsv = async (file: RowFile): Promise<OpenRows> => {
  const { source, text } = openText(file);
  const parser = parse({
    bom: true,
    record_delimiter: ["\r\n", "\n", "\r"],
    relax_column_count: true,
    relax_quotes: true,
    raw: true,
    max_record_size: recordCharactersMax,
  });
  pipeline(text, parser, handled);
  const records: AsyncIterator<CsvRecord> = parser[Symbol.asyncIterator]();
  const nextRecord = async (): Promise<IteratorResult<CsvRecord>> => {
    const next = await records.next();
    return next.done !== true && isEmptyLine(next.value) ? nextRecord() : next;
  };
  const first = await nextRecord().catch((cause: unknown) => {
    throw readFailure(file, cause);
  });
  if (first.done === true) throw new CliFailure(`${file.path} is empty: it has no header`);
  const columns = first.value.record.map((name) => name.trim());
  return { columns, rows: explained(file, csvRows(records, columns.length)), close: () => source.destroy() };
};

/** A number as it is written: a double would make different long ids the same subject. */
class Numeral {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
  toJSON(): number {
    return Number(this.text);
  }
}

const keepNumerals = (_key: string, value: unknown, context?: { readonly source?: string }): unknown =>
  typeof value === "number" ? new Numeral(context?.source ?? String(value)) : value;

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Numeral);

/** A JSON value as a cell. */
const cellOf = (value: unknown): string | undefined => {
  if (value === undefined || value === null) return "";
  if (typeof value === "string") return value;
  if (value instanceof Numeral) return value.text;
  return typeof value === "boolean" ? String(value) : undefined;
};

const jsonRow = (number: number, line: string, columns: readonly string[]): Row => {
  let object: unknown;
  try {
    object = JSON.parse(line, keepNumerals);
  } catch {
    return wholeRow(number, line, "not JSON");
  }
  if (!isObject(object)) return wholeRow(number, line, "not a JSON object");
  const cells: string[] = [];
  for (const column of columns) {
    const value = Object.hasOwn(object, column) ? object[column] : undefined;
    if (value instanceof Numeral && !Number.isFinite(Number(value.text)))
      return { number, problem: { column, value: value.text, reason: "a number too large to be one" } };
    const cell = cellOf(value);
    if (cell === undefined)
      return {
        number,
        problem: { column, value: JSON.stringify(value), reason: "a list or an object, not one value" },
      };
    cells.push(cell);
  }
  return { number, cells };
};

async function* lines(text: Readable): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of text) {
    if (!Buffer.isBuffer(chunk)) continue;
    const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = parts.pop() ?? "";
    if (rest.length > recordCharactersMax)
      throw new RangeError(`a line is longer than ${recordCharactersMax} characters`);
    yield* parts;
  }
  yield rest + decoder.decode();
}

async function* jsonRows(text: Readable, columns: readonly string[]): AsyncGenerator<Row> {
  let number = 0;
  for await (const line of lines(text)) {
    if (line.trim() === "") continue;
    number += 1;
    yield jsonRow(number, line, columns);
  }
}

async function* explained<Item>(file: RowFile, rows: AsyncIterable<Item>): AsyncGenerator<Item> {
  try {
    yield* rows;
  } catch (cause) {
    throw readFailure(file, cause);
  }
}

const sampledRows = 1_000;

/** The columns of a file: a CSV header, or the members of the first NDJSON objects. */
export const findColumns = async (file: RowFile): Promise<readonly string[]> => {
  const names = new Set<string>();
  if (file.format === "csv") {
    const opened = await openCsv(file);
    opened.close();
    return opened.columns;
  }
  const { source, text } = openText(file);
  let sampled = 0;
  for await (const line of explained(file, lines(text))) {
    let object: unknown;
    try {
      object = JSON.parse(line);
    } catch {
      continue;
    }
    if (isObject(object)) for (const name of Object.keys(object)) names.add(name);
    sampled += 1;
    if (sampled === sampledRows) break;
  }
  source.destroy();
  return [...names];
};

/**
 * Opens a file for one reading.
 *
 * @param columns the columns that NDJSON objects are read for; a CSV file has its own
 * @throws CliFailure when it is empty, not whole or not UTF-8; rows that are wrong in themselves are yielded as problems
 */
export const openRows = async (file: RowFile, columns: readonly string[]): Promise<OpenRows> => {
  if (file.format === "csv") return openCsv(file);
  const { source, text } = openText(file);
  return { columns, rows: explained(file, jsonRows(text, columns)), close: () => source.destroy() };
};
