/** Who may import whom, as docs/architecture.md says it. */
import { globSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { expect, test } from "vitest";

const sources = globSync("{src,adapters,worker,cli}/**/*.ts");

/** Modules that a file loads when it runs; types leave nothing behind. */
const importsOf = (file: string): readonly string[] =>
  [...readFileSync(file, "utf8").matchAll(/^(?:import|export)\s(?!type\b)[^;]*?from "([^"]+)"/gm)].map(
    ([, from = ""]) => (from.startsWith(".") ? normalize(join(dirname(file), from)) : from),
  );

const breaking = (files: RegExp, allowed: (imported: string, file: string) => boolean): readonly string[] =>
  sources
    .filter((file) => files.test(file))
    .flatMap((file) =>
      importsOf(file)
        .filter((imported) => !allowed(imported, file))
        .map((imported) => `${file} imports ${imported}`),
    );

/** Without comments: an example in a docstring reads nothing. */
const codeOf = (file: string): string => readFileSync(file, "utf8").replaceAll(/^\s*(\/\*|\*|\/\/).*$/gm, "");

test("there is something to look at", () => {
  expect(sources.length).toBeGreaterThan(80);
  expect(importsOf("src/governance/decide-transition.ts")).toContain("src/lifecycle.ts");
});

test("src imports only src, and no platform", () => {
  expect(
    breaking(
      /^src\//,
      (imported) => !/^(adapters|worker|cli|test|node:|cloudflare:|miniflare|wrangler)/.test(imported),
    ),
  ).toEqual([]);
});

test("adapters import src, and no other adapter but what stores share, and parts of one", () => {
  const own =
    /^adapters\/(store\/(sqlite(-reads|-migrations)?|migrate|object-storage|durable-object-registry|upstash-scripts|postgres-queries)\.ts)$/;
  expect(
    breaking(/^adapters\//, (imported) => imported.startsWith("src/") || imported === "valibot" || own.test(imported)),
  ).toEqual([]);
});

test("deciding, evaluating and judging counts load nothing that looks at the world", () => {
  const pure =
    /^src\/(governance\/(decide\S*|evolve|proposals|policy-set)|governance\/(gates|policies)\/\w|science\/|ledger\/|evaluation\/(assign|bucket|murmur3|targeting|allocation|version)\b)/;
  const worldly = /governor|evidence|http\/|config\/|events\/(buffer|send|timer)|fetcher|rules\.ts$/;
  expect(breaking(pure, (imported) => !worldly.test(imported) && !imported.startsWith("node:"))).toEqual([]);
  const restless = sources.filter(
    (file) => pure.test(file) && /\b(Date\.now|new Date\(\)|Math\.random|crypto\.|await |fetch\()/.test(codeOf(file)),
  );
  expect(restless).toEqual([]);
});

test("bindings are read in worker/compose.ts alone", () => {
  const readers = sources.filter((file) => /\benv\.[A-Z]/.test(codeOf(file)));
  expect(readers).toEqual(["worker/compose.ts"]);
});

test("an error code meets its status in src/http/problem.ts alone", () => {
  const others = sources.filter((file) =>
    /"(policy-violation|approval-stale|precondition-failed)":\s*\[?\d{3}/.test(readFileSync(file, "utf8")),
  );
  expect(others).toEqual(["src/http/problem.ts"]);
});
