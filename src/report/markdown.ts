/** A report in Markdown, with the plots as pictures beside it. */
import { chiSquareVerdict, sequentialVerdict } from "../science/srm-verdict.ts";
import type { Chart } from "./chart.ts";
import { afterStartFacts, alphaOf, contrastFacts, controlIn, metricMarks, planFacts } from "./facts.ts";
import type { ContrastDocument, OutcomeDocument, ResultsDocument } from "./results.ts";
import { effectIn, levelOf, pointsOf, withheldIn } from "./sections.ts";
import { count, percent, printable, significant } from "./text.ts";

/** Everything that could be markup is escaped: names and reasons are data. `<` and `&` are, because Markdown holds HTML. */
export const escapeMarkdown = (text: string): string =>
  printable(text)
    .replaceAll(/[\\`*_{}[\]#!|~>$]/g, String.raw`\$&`)
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    // Nor does an address become a link by itself.
    .replaceAll(/:(?=\/\/)|(?<=www)\./gi, String.raw`\$&`)
    // At the beginning of a line these would begin a list.
    .replace(/^(\s*)([-=+]|\d+\.)/, String.raw`$1\$2`);

const row = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;

const table = (head: readonly string[], rows: readonly (readonly string[])[]): readonly string[] => [
  row(head),
  row(head.map(() => "---")),
  ...rows.map(row),
  "",
];

/** The figures of a plot, for whoever does not see it; a long one is thinned out, its first and last point stay. */
const figuresMax = 31;

const figures = ({ lines }: Chart): readonly string[] => {
  const rows = lines.flatMap(({ points }) => {
    const every = Math.ceil(points.length / figuresMax);
    return points
      .filter((_, place) => place % every === 0 || place === points.length - 1)
      .map(({ words }) => [escapeMarkdown(words)]);
  });
  return rows.length === 0
    ? []
    : ["<details><summary>The figures</summary>", "", ...table(["point"], rows), "</details>", ""];
};

const picture = (chart: Chart, fileOf: (chart: Chart) => string): readonly string[] => [
  `![${escapeMarkdown(`${chart.title}. ${chart.description}`)}](${fileOf(chart)})`,
  "",
  ...figures(chart),
];

const armsSection = (results: ResultsDocument): readonly string[] => {
  const control = controlIn(results);
  const { subjects, sampleRatio, repeats, crossovers } = results;
  const total = [...subjects.values()].reduce((sum, value) => sum + value, 0);
  return [
    "## Arms",
    "",
    ...table(
      ["arm", "subjects", "share", "planned"],
      Array.from(subjects, ([variant, value]) => [
        `${escapeMarkdown(variant)}${variant === control ? " (control)" : ""}`,
        count(value),
        total === 0 ? "–" : percent(value / total),
        percent(sampleRatio.planned.get(variant) ?? 0),
      ]),
    ),
    `${count(repeats)} repeated exposures, ${count(crossovers)} crossovers (subjects who later saw another arm).`,
    "",
  ];
};

const sampleRatioSection = ({ sampleRatio: { chiSquare, sequential } }: ResultsDocument): readonly string[] => [
  "## Sample ratio",
  "",
  `- Anytime-valid: ${escapeMarkdown(sequentialVerdict(sequential).words)}`,
  `- Chi-square: ${escapeMarkdown(chiSquareVerdict(chiSquare).words)}`,
  "",
];

const contrastRow = (contrast: ContrastDocument, kind: OutcomeDocument["kind"]): readonly string[] => {
  const show = effectIn(kind, true);
  const { variant, control, difference, interval, pValue, reason } = contrast;
  return [
    escapeMarkdown(`${variant} − ${control}`),
    difference === null ? `not tested: ${escapeMarkdown(reason ?? "unknown")}` : `${show(difference)}${pointsOf(kind)}`,
    interval === null ? "–" : `${show(interval[0])} to ${show(interval[1])}`,
    pValue === null ? "–" : significant(pValue),
  ];
};

const outcomeSection = (results: ResultsDocument, metric: string, outcome: OutcomeDocument): readonly string[] => {
  const { kind, arms, contrasts } = outcome;
  const withheld = withheldIn(results);
  return [
    `### ${escapeMarkdown(metric)}`,
    "",
    [kind, ...metricMarks(outcome)].join(", "),
    "",
    ...(arms.size === 0
      ? []
      : table(
          ["arm", "subjects", "sum", "mean"],
          Array.from(arms, ([variant, { subjects, sum, exactSum, mean }]) => [
            escapeMarkdown(variant),
            count(subjects),
            exactSum === undefined ? count(sum) : escapeMarkdown(exactSum),
            mean === null ? "–" : kind === "binary" ? percent(mean) : significant(mean, 5),
          ]),
        )),
    ...(withheld !== null
      ? [`Differences are withheld: ${escapeMarkdown(withheld)}.`, ""]
      : [
          ...table(
            ["contrast", "difference", `${levelOf(alphaOf(results))} interval, one look`, "p, one look"],
            contrasts.map((contrast) => contrastRow(contrast, kind)),
          ),
          ...contrasts.flatMap((contrast) =>
            contrastFacts(results, contrast, kind, true).map(
              (fact) => `- ${escapeMarkdown(`${contrast.variant}: ${fact}`)}`,
            ),
          ),
          "",
        ]),
  ];
};

const listed = (title: string, facts: readonly string[]): readonly string[] =>
  facts.length === 0 ? [] : [`## ${title}`, "", ...facts.map((fact) => `- ${escapeMarkdown(fact)}`), ""];

/**
 * @param plots pictures that are there; `fileOf` says where, as a path relative to the report
 * @example markdownReport(results, plotsOf(results), ({ id }) => `${id}.svg`) // "# checkout\n\n…"
 */
export const markdownReport = (
  results: ResultsDocument,
  plots: readonly Chart[] = [],
  fileOf: (chart: Chart) => string = ({ id }) => `${id}.svg`,
): string => {
  const { experimentName, state, version, epoch, digest, outcomes, signals } = results;
  const shown = (begin: string): readonly string[] =>
    plots.filter(({ id }) => id.startsWith(begin)).flatMap((chart) => picture(chart, fileOf));
  const lines = [
    `# ${escapeMarkdown(experimentName)}`,
    "",
    `${state}, version ${version}, epoch ${epoch}, digest \`${printable(digest).replaceAll("`", "").slice(0, 16)}\``,
    "",
    ...listed("Plan", planFacts(results)),
    ...armsSection(results),
    ...shown("arms"),
    ...sampleRatioSection(results),
    ...shown("sample-ratio"),
    ...(outcomes.size === 0 ? [] : ["## Outcomes", ""]),
    ...Array.from(outcomes, ([metric, outcome]) => outcomeSection(results, metric, outcome)).flat(),
    ...shown("effect"),
    ...listed("Declared after the start", afterStartFacts(results)),
    ...listed(
      "Signals",
      signals.map(({ severity, message }) => `${severity}: ${message}`),
    ),
  ];
  return `${lines.join("\n").trimEnd()}\n`;
};
