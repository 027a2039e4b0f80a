/** Results in lines of text: arms, sample ratio, outcomes. What a replay and a report have in common. */
import { chiSquareVerdict, sequentialVerdict } from "../science/srm-verdict.ts";
import type { ContrastDocument, OutcomeDocument, ResultsDocument } from "./results.ts";
import { bar, count, percent, printable, significant, signed, wrap } from "./text.ts";

export interface ReportOptions {
  /** Characters in a line. */
  readonly columns: number;
  readonly unicode: boolean;
  readonly control: string;
}

const barWidthMax = 40;

export const plural = (value: number, one: string, many = `${one}s`): string =>
  `${count(value)} ${value === 1 ? one : many}`;

/** A key as a column: keys may be long, and hold anything printable. */
const label = (key: string, width: number): string => {
  const text = printable(key);
  return (text.length > width ? `${text.slice(0, width - 1)}…` : text).padEnd(width);
};

const labelWidth = (keys: Iterable<string>, extra = 0): number =>
  Math.min(32, Math.max(...Array.from(keys, (key) => key.length + extra), 4));

export const armLines = (
  { subjects, sampleRatio }: ResultsDocument,
  { columns, unicode, control }: ReportOptions,
): readonly string[] => {
  const total = [...subjects.values()].reduce((sum, value) => sum + value, 0);
  const most = Math.max(...subjects.values(), 1);
  const named = Array.from(subjects, ([key, value]) => ({
    name: key === control ? `${key} (control)` : key,
    value,
    share: total === 0 ? 0 : value / total,
    planned: sampleRatio.planned.get(key) ?? 0,
  }));
  const width = labelWidth(named.map(({ name }) => name));
  const number = Math.max(8, ...named.map(({ value }) => count(value).length));
  const room = Math.min(barWidthMax, columns - (2 + width + 2 + number + 2 + 8 + 2 + 8 + 2));
  const head = `${"Arms".padEnd(width + 2)}  ${"subjects".padStart(number)}  ${"share".padStart(8)}  ${"planned".padStart(8)}`;
  return [
    head,
    ...named.map(({ name, value, share, planned }) => {
      const picture = room < 4 ? "" : `  ${bar(value / most, room, unicode)}`;
      const numbers = `${count(value).padStart(number)}  ${percent(share).padStart(8)}  ${percent(planned).padStart(8)}`;
      return `  ${label(name, width)}  ${numbers}${picture}`;
    }),
  ];
};

export const paragraph = (text: string, indent: string, columns: number): readonly string[] =>
  wrap(text, columns - indent.length).map((line) => indent + line);

export const sampleRatioLines = ({ sampleRatio }: ResultsDocument, { columns }: ReportOptions): readonly string[] => {
  const { chiSquare, sequential } = sampleRatio;
  const chi = chiSquareVerdict(chiSquare);
  const any = sequentialVerdict(sequential);
  const numbers =
    chiSquare.statistic === null
      ? ""
      : `: ${significant(chiSquare.statistic, 5)} with ${plural(chiSquare.degreesOfFreedom ?? 0, "degree")} of freedom, p = ${significant(chiSquare.pValue ?? 0, 4)}`;
  const factor =
    sequential.logBayesFactor === null ? "" : `: log Bayes factor ${significant(sequential.logBayesFactor, 4)}`;
  const disagree = chi.mismatch !== null && any.mismatch !== null && chi.mismatch !== any.mismatch;
  return [
    "Sample ratio",
    `  chi-square${numbers}`,
    ...paragraph(chi.words, "    ", columns),
    `  anytime-valid multinomial test${factor}`,
    ...paragraph(any.words, "    ", columns),
    ...(disagree
      ? paragraph(
          "The two disagree because they answer different questions: the first is right for one reading that was planned beforehand, the second for a reader who looks whenever they like. Signals and decisions rest on the second.",
          "  ",
          columns,
        )
      : []),
  ];
};

export const outcomeArmLines = (
  { kind, arms }: OutcomeDocument,
  { columns, unicode, control }: ReportOptions,
): readonly string[] => {
  const width = labelWidth(arms.keys());
  const most = Math.max(...Array.from(arms.values(), ({ mean }) => Math.abs(mean ?? 0)), 0);
  const rows = Array.from(arms, ([key, { subjects, sum, exactSum, mean }]) => ({
    key,
    mean,
    text:
      kind === "binary"
        ? `${count(sum)} of ${count(subjects)}, ${mean === null ? "no subjects" : percent(mean)}`
        : `sum ${exactSum ?? count(sum)}, mean ${mean === null ? "unknown (no subjects)" : significant(mean, 5)}`,
  })).toSorted((a, b) => Number(b.key === control) - Number(a.key === control));
  const text = Math.max(...rows.map((row) => row.text.length), 0);
  const room = Math.min(barWidthMax, columns - (4 + width + 2 + text + 2));
  return rows.map((row) => {
    const picture = room < 4 || most === 0 ? "" : `  ${bar(Math.abs(row.mean ?? 0) / most, room, unicode)}`;
    return `    ${label(row.key, width)}  ${row.text.padEnd(text)}${picture}`.trimEnd();
  });
};

/** An effect in words: of a yes or no in percentage points. */
export const effectIn =
  (kind: OutcomeDocument["kind"], unicode: boolean) =>
  (value: number): string =>
    signed(kind === "binary" ? (value * 100).toFixed(3) : significant(value, 4), unicode);

export const pointsOf = (kind: OutcomeDocument["kind"]): string => (kind === "binary" ? " percentage points" : "");

/** @example levelOf(0.05) // "95 %" */
export const levelOf = (alpha: number): string => `${significant((1 - alpha) * 100, 4)} %`;

export const contrastLine = (
  contrast: ContrastDocument,
  kind: OutcomeDocument["kind"],
  unicode: boolean,
  alpha = 0.05,
): string => {
  const { variant, control, difference, statistic, pValue, interval, reason } = contrast;
  const head = `    ${printable(variant)} ${unicode ? "−" : "-"} ${printable(control)}: `;
  const show = effectIn(kind, unicode);
  if (difference === null || pValue === null || interval === null) return `${head}not tested: ${reason ?? "unknown"}`;
  const [low, high] = interval;
  const test = contrast.degreesOfFreedom === undefined ? "z" : "t";
  return `${head}${show(difference)}${pointsOf(kind)}, ${levelOf(alpha)} interval ${show(low)} to ${show(high)}, ${test} = ${signed(significant(statistic ?? 0, 4), unicode)}, p = ${significant(pValue)}`;
};

/** Why differences are not shown; null when they are. */
export const withheldIn = ({ withheld, trustworthy }: ResultsDocument): string | null =>
  withheld === undefined ? (trustworthy ? null : "the sample ratio does not hold") : withheld;

export const outcomeLines = (results: ResultsDocument, options: ReportOptions): readonly string[] =>
  Array.from(results.outcomes, ([metric, outcome]) => [
    `  ${printable(metric)} (${outcome.kind})`,
    ...outcomeArmLines(outcome, options),
    ...(withheldIn(results) === null
      ? outcome.contrasts.map((contrast) =>
          contrastLine(contrast, outcome.kind, options.unicode, results.plan?.plan?.alpha),
        )
      : ["    differences are withheld: the sample ratio does not hold"]),
  ]).flat();

const widthMax = 110;

/** Lines neither too short for their words nor too long for eyes. */
export const withRoom = <Options extends Pick<ReportOptions, "columns">>(wanted: Options): Options => ({
  ...wanted,
  columns: Math.min(widthMax, Math.max(40, wanted.columns)),
});

export const signalLines = ({ signals }: ResultsDocument, columns: number): readonly string[] =>
  signals.length === 0
    ? []
    : [
        "",
        "Signals",
        ...signals.flatMap(({ severity, message }) => paragraph(`${severity}: ${printable(message)}`, "  ", columns)),
      ];
