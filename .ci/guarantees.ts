/**
 * The matrix of `docs/guarantees.md`: every case of the stores' suites, and on which stores it has passed, from the JSON
 * report of a run.
 *
 *     node .ci/guarantees.ts write report.json …    writes the page
 *     node .ci/guarantees.ts check report.json …    fails when the page says something else than the run
 *
 * Of several reports, the last that has a test file counts for it.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { argv, exit } from "node:process";
import { fileURLToPath } from "node:url";
import * as v from "valibot";

const page = fileURLToPath(new URL("../docs/guarantees.md", import.meta.url));

const Report = v.object({
  testResults: v.array(
    v.object({
      name: v.string(),
      assertionResults: v.array(
        v.object({ ancestorTitles: v.array(v.string()), title: v.string(), status: v.string() }),
      ),
    }),
  ),
});
export type Report = v.InferOutput<typeof Report>;

/** What the suites call themselves; a store's name follows. */
const suites = [
  { prefix: "store ", heading: "The store's contract" },
  { prefix: "governance on ", heading: "The twenty that must hold" },
  { prefix: "faults on ", heading: "A fault at every await" },
  { prefix: "races on ", heading: "Races, judged by a checker of linearizability" },
] as const;

interface Case {
  readonly heading: string;
  /** A part of a suite, with what it is about. */
  readonly group: string;
  readonly title: string;
  readonly column: string;
  readonly passed: boolean;
}

const casesIn = ({ testResults }: Report): readonly Case[] =>
  testResults.flatMap(({ name, assertionResults }) => {
    const runtime = name.includes("/test/worker/") ? "workerd" : "Node";
    return assertionResults.flatMap(({ ancestorTitles: [suite = "", ...groups], title, status }): readonly Case[] => {
      const found = suites.find(({ prefix }) => suite.startsWith(prefix));
      if (found === undefined) return [];
      const column = `${suite.slice(found.prefix.length)}<br>${runtime}`;
      return [{ heading: found.heading, group: groups.join(" "), title, column, passed: status === "passed" }];
    });
  });

const titleCharacters = 110;

/** Titles are told to a table: nothing in them may end a cell, a line or a word of code. */
const cell = (text: string): string => {
  const shown = text.length > titleCharacters ? `${text.slice(0, titleCharacters)}…` : text;
  return shown
    .replaceAll(
      /[\p{C}\p{Zl}\p{Zp}]/gu,
      (character) => `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`,
    )
    .replaceAll(/[\\`*_{}[\]<>|#]/g, (character) => `\\${character}`);
};

const distinct = (texts: readonly string[]): readonly string[] => [...new Set(texts)];

/** @throws when a case has not passed on every store that its suite was handed */
export const matrixOf = (report: Report): string => {
  const cases = casesIn(report);
  const failed = cases.filter(({ passed }) => !passed);
  if (failed.length > 0) {
    const first = failed[0];
    throw new Error(
      `${failed.length} cases have not passed, among them: ${first?.column} ${first?.group} ${first?.title}`,
    );
  }
  const lines: string[] = [
    "# Guarantees",
    "",
    "What has been tried on which store. This page is made from a run of the suites by `npm run guarantees`, and CI compares it",
    "with its own run: a case or a store that is missing here, or is here and was not run, fails it. There are no exemptions:",
    "every suite is the same for every store.",
    "",
  ];
  for (const { heading } of suites) {
    const inSuite = cases.filter((one) => one.heading === heading);
    if (inSuite.length === 0) throw new Error(`the report has no suite in it for: ${heading}`);
    const columns = distinct(inSuite.map(({ column }) => column)).toSorted();
    const rows = distinct(inSuite.map(({ group, title }) => JSON.stringify([group, title])));
    lines.push(`## ${heading}`, "", `${rows.length} cases on ${columns.length} stores and runtimes.`, "");
    lines.push(`| | ${columns.join(" | ")} |`, `|---|${columns.map(() => ":-:").join("|")}|`);
    for (const row of rows.toSorted()) {
      const at = inSuite.filter(({ group, title }) => JSON.stringify([group, title]) === row);
      const [one] = at;
      if (one === undefined) continue;
      const marks = columns.map((column) => (at.some((other) => other.column === column) ? "✓" : "not run"));
      if (marks.includes("not run")) throw new Error(`${one.group} ${one.title}: not run on every store`);
      const words = one.group === "" ? cell(one.title) : `**${cell(one.group)}** ${cell(one.title)}`;
      lines.push(`| ${words} | ${marks.join(" | ")} |`);
    }
    lines.push("");
  }
  return lines.join("\n");
};

const merged = (paths: readonly string[]): Report => {
  const files = paths.flatMap((path) => v.parse(Report, JSON.parse(readFileSync(path, "utf8"))).testResults);
  return { testResults: [...new Map(files.map((file) => [file.name, file])).values()] };
};

const main = ([command, ...paths]: readonly string[]): number => {
  if ((command !== "write" && command !== "check") || paths.length === 0) {
    console.error("node .ci/guarantees.ts write|check report.json …");
    return 2;
  }
  const matrix = matrixOf(merged(paths));
  if (command === "write") {
    writeFileSync(page, matrix);
    return 0;
  }
  if (readFileSync(page, "utf8") === matrix) return 0;
  console.error("docs/guarantees.md says something else than this run: npm run guarantees, and commit it");
  return 1;
};

if (argv[1] === fileURLToPath(import.meta.url)) exit(main(argv.slice(2)));
