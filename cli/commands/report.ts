/** `proviso report`: what an experiment has measured, for people, with plots. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Chart, chartSvg } from "../../src/report/chart.ts";
import { markdownReport } from "../../src/report/markdown.ts";
import { plotsOf } from "../../src/report/plots.ts";
import { readResultsDocument, type ResultsDocument } from "../../src/report/results.ts";
import { textReport } from "../../src/report/text-report.ts";
import type { ParsedArguments } from "../arguments.ts";
import { createAsk, serverAddress } from "../ask.ts";
import type { Command, CommandContext } from "../command.ts";
import { namedFile } from "../dsl-file.ts";
import { CliFailure, messageOf, usageFailure } from "../failure.ts";
import { scopeOf } from "../histories.ts";

const formats = ["text", "markdown", "json"] as const;
type Format = (typeof formats)[number];
const endings = { text: "txt", markdown: "md", json: "json" } as const;

const formatOf = (args: ParsedArguments): Format => {
  const wanted = args.value("format") ?? "text";
  const found = formats.find((format) => format === wanted);
  if (found === undefined) throw usageFailure(`--format ${wanted}: there are ${formats.join(", ")}`);
  return found;
};

const fromServer = async (name: string, args: ParsedArguments, context: CommandContext): Promise<unknown> => {
  const server = serverAddress("--url", args.value("url") ?? "http://127.0.0.1:8787", context);
  const ask = createAsk(server, "viewer");
  const query = args.has("untrusted") ? "?untrusted=show" : "";
  const response = await ask(`/${encodeURIComponent(name)}/results${query}`, scopeOf(args));
  return response.json();
};

const fromFile = async (name: string, context: CommandContext): Promise<unknown> => {
  const file = namedFile(name, context.directory);
  try {
    const document: unknown = JSON.parse(await readFile(file.path, "utf8"));
    return document;
  } catch (cause) {
    throw new CliFailure(`${file.name} cannot be read: ${messageOf(cause)}`, { cause });
  }
};

/** The plots as figures: what is drawn, for whoever draws it otherwise. */
const plotFigures = ({ id, title, description, unit, lines, levels }: Chart) => ({
  id,
  title,
  description,
  unit,
  levels,
  lines: lines.map(({ label, points }) => ({
    label,
    points: points.map(({ time, value, interval }) => ({
      at: new Date(time).toISOString(),
      value,
      ...(interval === undefined ? {} : { interval }),
    })),
  })),
});

const written = (
  format: Format,
  document: unknown,
  results: ResultsDocument,
  plots: readonly Chart[],
  { outColumns = 100, unicode }: CommandContext["terminal"],
  beside: boolean,
): string => {
  switch (format) {
    case "text":
      return textReport(results, { columns: outColumns, unicode });
    case "markdown":
      return markdownReport(results, beside ? plots : []);
    case "json":
      return `${JSON.stringify({ results: document, plots: plots.map(plotFigures) }, null, 2)}\n`;
    default:
      return format satisfies never;
  }
};

export const report: Command = {
  name: "report",
  summary: "show what an experiment has measured, as text, Markdown or JSON, with plots",
  usage: "proviso report <experiment|results.json> [--url URL] [--format text|markdown|json] [--out DIR]",
  about: `Reads the results of an experiment from a running server, or from a file that holds the answer of GET /{name}/results.
With --out the report and its plots are files in DIR: report.txt, report.md or report.json; arms.svg (subjects by arm over
time), effect-1.svg … (the difference of each metric with its confidence sequence), sample-ratio.svg (the p value of the
sequential test over time). PROVISO_TOKEN is the token of a viewer.`,
  options: {
    url: { value: "URL", help: "the server; default http://127.0.0.1:8787" },
    format: { value: "text|markdown|json", help: "default text" },
    out: { value: "DIR", help: "write the report and its plots there" },
    untrusted: { help: "show effects although the sample ratio does not hold" },
    tenant: { value: "NAME", help: "scope; default default" },
    environment: { value: "NAME", help: "scope; default default" },
  },
  async run(args, context) {
    const [subject] = args.positionals;
    if (subject === undefined || args.positionals.length > 1)
      throw usageFailure("name an experiment, or a file of results that ends in .json");
    const format = formatOf(args);
    // An experiment may be called so too: the address says that it is one.
    const isFile = subject.endsWith(".json") && !args.has("url");
    if (isFile && args.has("untrusted")) throw usageFailure("--untrusted is for a server; a file says what it says");
    const document = isFile ? await fromFile(subject, context) : await fromServer(subject, args, context);
    const read = readResultsDocument(document);
    if (!read.ok) throw new CliFailure(`${subject} has no results of this form (${read.problem})`);
    const plots = plotsOf(read.results);
    const out = args.value("out");
    const text = written(format, document, read.results, plots, context.terminal, out !== undefined);
    if (out === undefined) {
      context.out(text);
      return 0;
    }
    const directory = namedFile(out, context.directory);
    await mkdir(directory.path, { recursive: true });
    const files: readonly (readonly [name: string, content: string])[] = [
      [`report.${endings[format]}`, text],
      ...plots.map((chart) => [`${chart.id}.svg`, chartSvg(chart)] as const),
    ];
    for (const [name, content] of files) await writeFile(join(directory.path, name), content);
    context.err(`${files.length} files in ${directory.name}: ${files.map(([name]) => name).join(", ")}\n`);
    return 0;
  },
};
