import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";

const pages = [
  "README.md",
  "CONTRIBUTING.md",
  ...readdirSync("docs")
    .filter((name) => name.endsWith(".md"))
    .map((name) => join("docs", name)),
];

test.each(pages)("every file that %s links to or names is there", (page) => {
  const text = readFileSync(page, "utf8");
  const linked = [...text.matchAll(/\]\((?!https?:|#)([^)#]+)[^)]*\)/g)].map((match) =>
    join(dirname(page), match[1] ?? ""),
  );
  const named = [...text.matchAll(/`((?:src|adapters|worker|cli|test|docs|bench)\/[\w./-]*\w)`/g)].map(
    (match) => match[1] ?? "",
  );
  expect([...linked, ...named].filter((path) => !existsSync(path))).toEqual([]);
});
