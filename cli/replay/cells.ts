/** From the text of a cell to a value. Undefined: it cannot be read as one. */
import type { MetricKind } from "../../src/experiment.ts";
import { limits } from "../../src/limits.ts";

const decimal = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;

const words = new Map<string, boolean>([
  ["true", true],
  ["false", false],
  ["1", true],
  ["0", false],
  ["yes", true],
  ["no", false],
]);

/** What each kind takes, for error messages. */
export const allowedValues: Readonly<Record<MetricKind, string>> = {
  binary: "true, false, 1, 0, yes or no",
  count: `a number from 0 to ${limits.outcomeMagnitude}`,
  duration: `a number of milliseconds from 0 to ${limits.outcomeMagnitude}`,
  continuous: `a number, at most ${limits.outcomeMagnitude} either way`,
};

/** @example outcomeValue("binary", "TRUE") // true */
export const outcomeValue = (kind: MetricKind, cell: string): boolean | number | undefined => {
  const text = cell.trim();
  if (kind === "binary") return words.get(text.toLowerCase());
  if (!decimal.test(text)) return undefined;
  const value = Number(text);
  return Math.abs(value) <= limits.outcomeMagnitude && (kind === "continuous" || value >= 0) ? value : undefined;
};

const timestamp =
  /^(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?)? ?(Z|UTC|[+-]\d{2}(?::?\d{2})?)?$/i;

const zoneOf = (zone: string | undefined): string => {
  if (zone === undefined || /^(?:z|utc)$/i.test(zone)) return "Z";
  const digits = zone.slice(1).replace(":", "").padEnd(4, "0");
  return `${zone.charAt(0)}${digits.slice(0, 2)}:${digits.slice(2)}`;
};

/**
 * ISO 8601 with a zone; a time without one is read as UTC, a date without a time as its midnight.
 *
 * @example eventTime("2017-01-21 22:11:48.556739") // "2017-01-21T22:11:48.556739Z"
 */
export const eventTime = (cell: string): string | undefined => {
  const match = timestamp.exec(cell.trim());
  if (match === null) return undefined;
  const [, year = "", month = "", day = "", hour = "00", minute = "00", second = "00", fraction, zone] = match;
  const text = `${year}-${month}-${day}T${hour}:${minute}:${second}${fraction === undefined ? "" : `.${fraction}`}${zoneOf(zone)}`;
  // Date.parse takes 30 February for 2 March.
  const daysInMonth = new Date(Date.UTC(Number(year), Number(month), 0)).getUTCDate();
  return Number.isFinite(Date.parse(text)) && Number(day) <= daysInMonth ? text : undefined;
};
