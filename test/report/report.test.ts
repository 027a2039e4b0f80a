/** The report in words: text and Markdown from a saved answer, and the command around them. */
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { emptyCounts, emptySlice } from "../../src/ledger/counts.ts";
import { escapeMarkdown, markdownReport } from "../../src/report/markdown.ts";
import { plotsOf } from "../../src/report/plots.ts";
import { readResultsDocument, type ResultsDocument } from "../../src/report/results.ts";
import { textReport } from "../../src/report/text-report.ts";
import { configuration, createApi } from "../support/api.ts";
import { runCommand, type Said } from "../support/cli.ts";
import { savedResults } from "./results-fixture.ts";

const resultsOf = (document: unknown): ResultsDocument => {
  const read = readResultsDocument(document);
  if (!read.ok) throw new Error(read.problem);
  return read.results;
};

describe("text", () => {
  test("says what was planned, counted and found, and what may be believed when", () => {
    expect(textReport(resultsOf(savedResults()), { columns: 100, unicode: true }))
      .toBe(`checkout: Running, version 2, epoch 2, digest 0123456789abcdef

Plan
  Frozen 2025-11-25T00:00:00.000Z, with version 1, digest fedcba9876543210. 30 % of it has been
  fulfilled. Fixed-horizon p values are early: go by what may be looked at at any time.
  Hypothesis: One page sells more

Arms                 subjects     share   planned
  control (control)       300   49.18 %   50.00 %  ██████████████████████████████████████▊
  treatment               310   50.82 %   50.00 %  ████████████████████████████████████████
  40 repeated exposures, 1 crossover (subjects who later saw another arm)

Sample ratio
  chi-square: 0.16 with 1 degree of freedom, p = 0.69
    p = 0.69 is not below 0.01: no sample ratio mismatch found in a single reading.
  anytime-valid multinomial test: log Bayes factor -2.1
    p = 0.31 after 3 looks is above 0.000152: no sample ratio mismatch. This test may be looked at
    at any time.

Outcomes
  spend (continuous, exploratory, changed after the start)
    control    sum 3,000, mean 10      ████████████████████████████████████▌
    treatment  sum 3,400, mean 10.968  ████████████████████████████████████████
    treatment − control: +0.97, 90 % interval −0.6 to +2.5, t = +1.2, p = 0.23
      at any look: not shown (an arm has fewer than 1000 subjects: too few for a sequence)
      relative: +9.700 % (−6.000 to +25.000 %)
  purchase (binary, primary)
    control    90 of 300, 30.00 %   ███████████████████████████████
    treatment  120 of 310, 38.71 %  ████████████████████████████████████████
    treatment − control: +8.710 percentage points, 90 % interval +2.370 to +15.050, z = +2.26, p = 0.0237
      at any look: +8.710 percentage points, 90 % confidence sequence −2.000 to +19.400, p = 0.21
      relative: +29.000 % (+5.000 to +53.000 %)

Declared after the start
  metric spend: changed after the start

Signals
  Warning: many crossed
`);
  });

  test("under a mismatch no difference is told", () => {
    const text = textReport(resultsOf({ ...savedResults(), trustworthy: false, withheld: "results not trustworthy" }), {
      columns: 100,
      unicode: false,
    });
    expect(text).toContain("differences are withheld: results not trustworthy");
    expect(text).not.toMatch(/at any look|percentage points/);
  });

  test("a mean that is compared by the normal distribution is told so", () => {
    const saved = savedResults();
    const { spend } = saved.outcomes;
    const contrasts = spend.contrasts.map(({ degreesOfFreedom: _degrees, ...contrast }) => contrast);
    const excluding = { ...spend, missing: "exclude", contrasts };
    const text = textReport(resultsOf({ ...saved, outcomes: { spend: excluding } }), { columns: 100, unicode: true });
    expect(text).toContain("interval −0.6 to +2.5, z = +1.2, p = 0.23");
  });

  test("nothing that the answer says moves the cursor", () => {
    const saved = savedResults({ treatment: "x\u001b[2J" });
    const { purchase, spend } = saved.outcomes;
    const reason = "y\u001b[2J";
    const untested = { difference: null, statistic: null, pValue: null, interval: null, reason };
    const summed = { control: { ...spend.arms.control, exactSum: reason } };
    const text = textReport(
      resultsOf({
        ...saved,
        sampleRatio: {
          ...saved.sampleRatio,
          chiSquare: { statistic: null, degreesOfFreedom: null, pValue: null, reason },
        },
        outcomes: {
          purchase: {
            ...purchase,
            contrasts: purchase.contrasts.map((one) => ({ ...one, ...untested, sequential: untested })),
          },
          spend: { ...spend, arms: summed, contrasts: [] },
        },
      }),
      { columns: 100, unicode: true },
    );
    expect(text.match(/y\uFFFD\[2J/g)).toHaveLength(4);
    expect(text).not.toContain("\u001b");
  });
});

describe("Markdown", () => {
  test("has the figures of each plot below its picture, for whoever does not see it", () => {
    const results = resultsOf(savedResults());
    const text = markdownReport(results, plotsOf(results));
    for (const file of ["arms.svg", "effect-1.svg", "effect-2.svg", "sample-ratio.svg"])
      expect(text).toContain(`](${file})`);
    expect(text).toContain("| treatment, up to the end of 2025-11-27: 310 subjects |");
    expect(text).toContain("| treatment − control | +8.710 percentage points | +2.370 to +15.050 | 0.0237 |");
    expect(text).toContain("- metric spend: changed after the start");
  });

  test.for([
    ["a|b", String.raw`a\|b`],
    ["<img src=x onerror=alert(1)>", String.raw`&lt;img src=x onerror=alert(1)\>`],
    ["![x](javascript:y)", String.raw`\!\[x\](javascript:y)`],
    ["&lt;", "&amp;lt;"],
    ["`code`\nnext", String.raw`\`code\`` + "\uFFFDnext"],
    ["- item", String.raw`\- item`],
    ["https://evil.example", String.raw`https\://evil.example`],
  ] as const)("%s is text", ([name, expected]) => {
    expect(escapeMarkdown(name)).toBe(expected);
  });

  test("a hostile name breaks no table and opens no element", () => {
    const results = resultsOf(savedResults({ treatment: "x|<script>\n|y" }));
    const lines = markdownReport(results, plotsOf(results)).split("\n");
    expect(lines.join("\n")).not.toContain("<script");
    const rows = lines.filter((line) => line.startsWith("| ") && line.includes("−"));
    expect(rows.length).toBeGreaterThan(0);
    for (const line of rows) expect(line.split(/(?<!\\)\|/).length).toBe(6);
  });
});

test("what the server answers now is what a report reads", async () => {
  const arms = [
    { variant: "control", epoch: 0, subjects: 40 },
    { variant: "treatment", epoch: 0, subjects: 44 },
  ];
  const totals = arms.map(({ variant, epoch }) => ({ variant, epoch, observed: 9, sum: "9", sumOfSquares: "9" }));
  const slice = {
    arms,
    metrics: [{ metric: "purchase", kind: "binary" as const, arms: totals, unexposed: 0 }],
    products: [],
  };
  const counts = {
    ...emptyCounts,
    ...slice,
    parts: { days: [{ day: "2026-11-25", ...slice }], dimensions: [], crossovers: emptySlice, matured: [] },
  };
  const api = createApi(
    {},
    {
      ledger: () => ({
        counts: () => Promise.resolve(counts),
        crossovers: () => Promise.resolve({ events: [], next: null }),
      }),
    },
  );
  await api.as("ada", "editor").post("/api/governance/checkout/versions", { configuration: configuration() });
  const { body } = await api.as("ada", "viewer").get("/api/governance/checkout/results");
  const results = resultsOf(body);
  expect(textReport(results, { columns: 100, unicode: true })).toContain("purchase (binary, exploratory)");
  const effect = plotsOf(results).find(({ id }) => id === "effect-1");
  expect(effect?.lines.map(({ points }) => points.map(({ value }) => value))).toEqual([[9 / 44 - 9 / 40]]);
});

describe("proviso report", () => {
  let directory = "";
  const asked: { url: string; identity: string | undefined }[] = [];
  const server = createServer((request, response) => {
    asked.push({ url: request.url ?? "", identity: request.headers.authorization });
    const known = request.url?.startsWith("/api/governance/checkout/results") === true;
    response.writeHead(known ? 200 : 404, { "content-type": "application/json" });
    response.end(
      JSON.stringify(known ? savedResults() : { code: "experiment-not-found", detail: "there is no experiment other" }),
    );
  });
  let url = "";
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "proviso-report-"));
    await writeFile(join(directory, "saved.json"), JSON.stringify(savedResults()));
    await writeFile(join(directory, "other.json"), '{"experimentName":"checkout"}');
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    if (typeof address !== "object" || address === null) throw new Error("the server has no port");
    url = `http://127.0.0.1:${address.port}`;
  });
  afterAll(async () => {
    await new Promise((resolve) => server.close(resolve));
    await rm(directory, { recursive: true });
  });

  const report = (...args: readonly string[]): Promise<Said> =>
    runCommand(["report", ...args], {
      environment: { PROVISO_TOKEN: "secret" },
      directory,
      terminal: { outColumns: 100, errColumns: 100, color: false, unicode: true },
    });

  test("given a file and a server with the same answer, then it says the same of both", async () => {
    const expected = textReport(resultsOf(savedResults()), { columns: 100, unicode: true });
    expect(await report("saved.json")).toEqual({ code: 0, out: expected, err: "" });
    expect((await report("checkout", "--url", url, "--untrusted", "--tenant", "acme")).out).toBe(expected);
    expect(asked.at(-1)).toEqual({
      url: "/api/governance/checkout/results?untrusted=show&tenant=acme&environment=default",
      identity: "Bearer secret",
    });
  });

  test("given --out, then report and plots are files that belong together", async () => {
    const { err } = await report("saved.json", "--format", "markdown", "--out", "made");
    expect(err).toBe("5 files in made: report.md, arms.svg, effect-1.svg, effect-2.svg, sample-ratio.svg\n");
    const files = await readdir(join(directory, "made"));
    const text = await readFile(join(directory, "made", "report.md"), "utf8");
    const pictures = Array.from(text.matchAll(/\]\(([^)]+\.svg)\)/g), ([, file]) => file);
    expect(new Set(pictures)).toEqual(new Set(files.filter((file) => file.endsWith(".svg"))));
  });

  test("given --format json, then the answer as it was, and the figures of the plots", async () => {
    const document: unknown = JSON.parse((await report("saved.json", "--format", "json")).out);
    expect(document).toMatchObject({
      results: savedResults(),
      plots: [{ id: "arms" }, { id: "effect-1" }, { id: "effect-2" }, { id: "sample-ratio" }],
    });
  });

  test.for([
    [["other.json"], "other.json has no results of this form"],
    [["missing.json"], "missing.json cannot be read"],
    [["saved.json", "--format", "pdf"], "there are text, markdown, json"],
    [["checkout", "--url", "ftp://x"], "is no address"],
    [[], "name an experiment"],
  ] as const)("%j is refused in one sentence", async ([args, sentence]) => {
    await expect(report(...args)).rejects.toThrow(sentence);
  });

  test.for(["http://ada:hidden-word@127.0.0.1:1", "http://hidden-word@[", "https://:hidden-word@x.example"] as const)(
    "an address with a password in it is refused, and the password is not shown: %s",
    async (address) => {
      const error: unknown = await report("checkout", "--url", address).catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ exitCode: 2 });
      expect(String(error)).not.toContain("hidden-word");
    },
  );

  test("the server's own words for an experiment that is not there", async () => {
    await expect(report("other", "--url", url)).rejects.toThrow("there is no experiment other [experiment-not-found]");
  });
});
