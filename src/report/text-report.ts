/** A report in lines of text, for a terminal. */
import { afterStartFacts, alphaOf, contrastFacts, controlIn, metricMarks, planFacts } from "./facts.ts";
import type { OutcomeDocument, ResultsDocument } from "./results.ts";
import {
  armLines,
  contrastLine,
  outcomeArmLines,
  paragraph,
  plural,
  type ReportOptions,
  sampleRatioLines,
  signalLines,
  withheldIn,
  withRoom,
} from "./sections.ts";
import { printable } from "./text.ts";

const outcomeLines = (
  results: ResultsDocument,
  metric: string,
  outcome: OutcomeDocument,
  options: ReportOptions,
): readonly string[] => {
  const withheld = withheldIn(results);
  return [
    `  ${printable(metric)} (${[outcome.kind, ...metricMarks(outcome)].join(", ")})`,
    ...outcomeArmLines(outcome, options),
    ...(withheld === null
      ? outcome.contrasts.flatMap((contrast) => [
          contrastLine(contrast, outcome.kind, options.unicode, alphaOf(results)),
          ...contrastFacts(results, contrast, outcome.kind, options.unicode).map((fact) => `      ${fact}`),
        ])
      : [`    differences are withheld: ${printable(withheld)}`]),
  ];
};

const listed = (title: string, facts: readonly string[], columns: number): readonly string[] =>
  facts.length === 0 ? [] : ["", title, ...facts.flatMap((fact) => paragraph(fact, "  ", columns))];

/**
 * Text of some lines, each ended.
 *
 * @example textReport(results, { columns: 100, unicode: true }) // "checkout: Running, version 2, …"
 */
export const textReport = (results: ResultsDocument, wanted: Pick<ReportOptions, "columns" | "unicode">): string => {
  const options = withRoom({ ...wanted, control: controlIn(results) });
  const { columns } = options;
  const { experimentName, state, version, digest, epoch, repeats, crossovers, outcomes } = results;
  const lines = [
    `${printable(experimentName)}: ${state}, version ${version}, epoch ${epoch}, digest ${printable(digest).slice(0, 16)}`,
    ...listed("Plan", planFacts(results), columns),
    "",
    ...armLines(results, options),
    `  ${plural(repeats, "repeated exposure")}, ${plural(crossovers, "crossover")} (subjects who later saw another arm)`,
    "",
    ...sampleRatioLines(results, options),
    ...(outcomes.size === 0
      ? []
      : ["", "Outcomes", ...Array.from(outcomes, ([name, one]) => outcomeLines(results, name, one, options)).flat()]),
    ...listed("Declared after the start", afterStartFacts(results), columns),
    ...signalLines(results, columns),
  ];
  // Reasons and sums are data, too, and a server or a file says them.
  return lines.map((line) => `${printable(line).trimEnd()}\n`).join("");
};
