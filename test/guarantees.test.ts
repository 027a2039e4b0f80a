/** The page of guarantees is made from a run; here, what makes it is held to refuse a run that shows less. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { matrixOf, type Report } from "../.ci/guarantees.ts";

type Result = Report["testResults"][number]["assertionResults"][number];

const passed = (store: string, title: string, status = "passed"): readonly Result[] =>
  ["store", "governance on", "faults on", "races on"].map((suite) => ({
    ancestorTitles: [`${suite} ${store}`, "commit"],
    title,
    status,
  }));
const file = (name: string, ...results: readonly (readonly Result[])[]): Report["testResults"][number] => ({
  name,
  assertionResults: results.flat(),
});
const reportOf = (...testResults: readonly Report["testResults"][number][]): Report => ({
  testResults: [...testResults],
});

const node = "/repo/test/adapters/store/memory.test.ts";
const worker = "/repo/test/worker/store-d1.test.ts";

describe("the matrix", () => {
  test("names every case and every store, and where it ran", () => {
    const matrix = matrixOf(
      reportOf(
        file(node, passed("memory", "a"), passed("memory", "b | c")),
        file(worker, passed("d1", "a"), passed("d1", "b | c")),
        file("/repo/test/other.test.ts", [{ ancestorTitles: ["other"], title: "zebra", status: "failed" }]),
      ),
    );
    expect(matrix).toContain("| d1<br>workerd | memory<br>Node |");
    expect(matrix).toContain("| **commit** a | ✓ | ✓ |");
    expect(matrix).toContain("| **commit** b \\| c | ✓ | ✓ |");
    expect(matrix).not.toContain("zebra");
  });

  test.each<{ name: string; report: Report }>([
    { name: "has no suite in it", report: reportOf(file(node)) },
    { name: "lacks one of the suites", report: reportOf(file(node, passed("memory", "a").slice(1))) },
    {
      name: "has a case that failed",
      report: reportOf(file(node, passed("memory", "a"), passed("memory", "b", "failed"))),
    },
    {
      name: "has a case that was left out",
      report: reportOf(file(node, passed("memory", "a", "skipped"))),
    },
    {
      name: "lacks a case on one store",
      report: reportOf(file(node, passed("memory", "a"), passed("memory", "b")), file(worker, passed("d1", "a"))),
    },
  ])("is not made of a run that $name", ({ report }) => {
    expect(() => matrixOf(report)).toThrow(/no suite|not passed|not run/);
  });
});

test("the page has every suite in it, with rows", () => {
  const page = readFileSync(new URL("../docs/guarantees.md", import.meta.url), "utf8");
  const sections = page.split(/^## /m).slice(1);
  expect(sections).toHaveLength(4);
  for (const section of sections) expect(section).toMatch(/^\| .*✓/m);
  for (const store of ["memory", "d1", "durable-object", "upstash", "postgres", "mirror"])
    expect(sections.filter((section) => new RegExp(`\\| ${store}[^|]*<br>`).test(section))).toHaveLength(
      sections.length,
    );
});
