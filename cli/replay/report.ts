/** The outcome of a replay for people. */
import {
  armLines,
  outcomeLines,
  plural,
  type ReportOptions,
  sampleRatioLines,
  signalLines,
  withRoom,
} from "../../src/report/sections.ts";
import { count, printable } from "../../src/report/text.ts";
import type { ReplayOutcome } from "./document.ts";
import type { RejectedRow } from "./encode.ts";

export const rejectedLine = ({ row, column, value, reason }: RejectedRow): string =>
  `  row ${count(row)}${column === null ? "" : `, column ${printable(column)}`}: ${reason}${value === "" ? "" : ` (${JSON.stringify(printable(value))})`}`;

/** Text of some lines, each ended. */
export const replayReport = (outcome: ReplayOutcome, wanted: ReportOptions): string => {
  const { results, fed, rejected, rejectedRows } = outcome;
  const options = withRoom(wanted);
  const { experimentName, state, version, digest, epoch, repeats, crossovers } = results;
  const perSecond = fed.seconds > 0 ? `, ${count(Math.round(fed.events / fed.seconds))} a second` : "";
  const lines = [
    `${experimentName}: ${state}, version ${version}, epoch ${epoch}, digest ${digest.slice(0, 16)}`,
    "",
    ...armLines(results, options),
    `  ${plural(repeats, "repeated exposure")}, ${plural(crossovers, "crossover")} (subjects who later saw another arm), ${plural(rejected, "rejected row")}`,
    ...rejectedRows.map(rejectedLine),
    ...(rejected > rejectedRows.length ? [`  … and ${count(rejected - rejectedRows.length)} more`] : []),
    "",
    ...sampleRatioLines(results, options),
    ...(results.outcomes.size === 0 ? [] : ["", "Outcomes", ...outcomeLines(results, options)]),
    ...signalLines(results, options.columns),
    "",
    `${plural(fed.events, "event")} through ingest, queue and ledger in ${fed.seconds.toFixed(1)} s${perSecond}`,
  ];
  return lines.map((line) => `${line.trimEnd()}\n`).join("");
};
