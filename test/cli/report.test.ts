import { describe, expect, test } from "vitest";
import { replayDocument, type ReplayOutcome } from "../../cli/replay/document.ts";
import { replayReport } from "../../cli/replay/report.ts";
import type { Results } from "../../cli/replay/results.ts";

/** What the server says of Cookie Cats, first retention only. */
const results: Results = {
  experimentName: "cookie-cats",
  state: "Running",
  version: 1,
  digest: "0123456789abcdef".repeat(4),
  epoch: 0,
  received: 270_567,
  exposures: 90_189,
  outcomeEvents: 180_378,
  subjects: new Map([
    ["gate_30", 44_700],
    ["gate_40", 45_489],
  ]),
  repeats: 0,
  crossovers: 0,
  sampleRatio: {
    planned: new Map([
      ["gate_30", 0.5],
      ["gate_40", 0.5],
    ]),
    chiSquare: { statistic: 6.902404949605828, degreesOfFreedom: 1, pValue: 0.00860798781083624 },
    sequential: {
      logBayesFactor: 0.042164585370265684,
      pValue: 0.7740194986588962,
      looks: 90_189,
      lookAt: "subject",
      level: 0.001,
      mismatch: false,
    },
  },
  trustworthy: true,
  outcomes: new Map([
    [
      "retention_1",
      {
        kind: "binary",
        arms: new Map([
          ["gate_30", { subjects: 44_700, sum: 20_034, mean: 0.4481879194630872, variance: 0.24732104121963602 }],
          ["gate_40", { subjects: 45_489, sum: 20_119, mean: 0.44228274967574577, variance: 0.24667414173570326 }],
        ]),
        contrasts: [
          {
            variant: "gate_40",
            control: "gate_30",
            difference: -0.005905169787341458,
            statistic: -1.7840862247974725,
            pValue: 0.07440965529691917,
            interval: [-0.012392439449445215, 0.0005820998747623008],
          },
        ],
      },
    ],
    [
      "rounds",
      {
        kind: "count",
        arms: new Map([
          ["gate_30", { subjects: 44_700, sum: 2_344_795, mean: 52.45626398210291, variance: 65_931 }],
          ["gate_40", { subjects: 45_489, sum: 2_333_530, mean: 51.29877552814966, variance: 10_675 }],
        ]),
        contrasts: [
          {
            variant: "gate_40",
            control: "gate_30",
            difference: null,
            statistic: null,
            pValue: null,
            interval: null,
            reason: "no variance",
          },
        ],
      },
    ],
  ]),
  signals: [],
};

const outcome: ReplayOutcome = {
  results,
  fed: { events: 270_567, seconds: 12.5 },
  rejected: 7,
  rejectedRows: [
    { row: 3, column: "n", value: "x\u001B[2J", reason: "not count" },
    { row: 17, column: null, value: "", reason: "2 cells instead of 5" },
  ],
};

const report = (changes: Partial<Results> = {}, options: { columns?: number; unicode?: boolean } = {}): string =>
  replayReport(
    { ...outcome, results: { ...results, ...changes } },
    { columns: 100, unicode: true, control: "gate_30", ...options },
  );

describe("the report", () => {
  test("arms with a picture, both sample ratio tests in words, outcomes with intervals", () => {
    expect(report()).toBe(`cookie-cats: Running, version 1, epoch 0, digest 0123456789abcdef

Arms                 subjects     share   planned
  gate_30 (control)    44,700   49.56 %   50.00 %  ███████████████████████████████████████▎
  gate_40              45,489   50.44 %   50.00 %  ████████████████████████████████████████
  0 repeated exposures, 0 crossovers (subjects who later saw another arm), 7 rejected rows
  row 3, column n: not count ("x\uFFFD[2J")
  row 17: 2 cells instead of 5
  … and 5 more

Sample ratio
  chi-square: 6.9024 with 1 degree of freedom, p = 0.008608
    p = 0.00861 is below 0.01: read once, at a moment chosen beforehand, this points to a sample
    ratio mismatch. Read again and again, the chi-square test raises false alarms; nothing acts on
    it.
  anytime-valid multinomial test: log Bayes factor 0.04216
    p = 0.774 after 90,189 looks is above 0.001: no sample ratio mismatch. This test may be looked
    at at any time.
  The two disagree because they answer different questions: the first is right for one reading that
  was planned beforehand, the second for a reader who looks whenever they like. Signals and
  decisions rest on the second.

Outcomes
  retention_1 (binary)
    gate_30  20,034 of 44,700, 44.82 %  ████████████████████████████████████████
    gate_40  20,119 of 45,489, 44.23 %  ███████████████████████████████████████▌
    gate_40 − gate_30: −0.591 percentage points, 95 % interval −1.239 to +0.058, z = −1.784, p = 0.0744
  rounds (count)
    gate_30  sum 2,344,795, mean 52.456  ████████████████████████████████████████
    gate_40  sum 2,333,530, mean 51.299  ███████████████████████████████████████▏
    gate_40 − gate_30: not tested: no variance

270,567 events through ingest, queue and ledger in 12.5 s, 21,645 a second
`);
  });

  test("without block characters it is ASCII", () => {
    // The ellipsis and the quoted replacement character belong to the rejected rows.
    const text = report({}, { unicode: false }).replaceAll(/[…\uFFFD]/g, "");
    expect(text).toMatch(/^[\n -~]*$/);
    expect(text).toContain("gate_40              45,489   50.44 %   50.00 %  ########################################");
    expect(text).toContain("gate_40 - gate_30: -0.591 percentage points");
  });

  test("bars fit into a narrow terminal, and are left out where nothing fits", () => {
    const lines = report({}, { columns: 66 })
      .split("\n")
      .filter((line) => line.includes("█"));
    expect(lines.length).toBeGreaterThan(0);
    expect(lines.every((line) => line.length <= 66)).toBe(true);
    expect(report({}, { columns: 20 })).not.toContain("█");
  });

  test("an arm without subjects and one that was not planned", () => {
    const text = report({
      subjects: new Map([
        ["a", 0],
        ["b", 3],
        ["surprise", 1],
      ]),
      sampleRatio: {
        ...results.sampleRatio,
        planned: new Map([
          ["a", 0.5],
          ["b", 0.5],
        ]),
        chiSquare: {
          statistic: null,
          degreesOfFreedom: null,
          pValue: 0,
          reason: "a subject in an arm whose planned share is 0",
        },
        sequential: {
          ...results.sampleRatio.sequential,
          logBayesFactor: null,
          pValue: 0,
          mismatch: true,
          reason: "a subject in an arm whose planned share is 0",
        },
      },
      trustworthy: false,
    });
    expect(text).toContain("  a                0    0.00 %   50.00 %\n");
    expect(text).toContain("  surprise         1   25.00 %    0.00 %");
    expect(text).toContain("Sample ratio mismatch: a subject in an arm whose planned share is 0.");
    expect(text).toContain("differences are withheld: the sample ratio does not hold");
    expect(text).not.toContain("percentage points");
  });

  test("what data brings cannot steer the terminal", () => {
    const text = report({
      subjects: new Map([
        ["a\u001B[31m\u202E", 1],
        ["b", 1],
      ]),
      signals: [{ signalType: "X", severity: "Warning", message: "beep\u0007" }],
    });
    expect(
      text.split("").filter((character) => (character < " " && character !== "\n") || character === "\u202E"),
    ).toEqual([]);
    expect(text).toContain("Signals\n  Warning: beep\uFFFD");
  });
});

describe("the document", () => {
  test("has the members of the contract", () => {
    const document: unknown = JSON.parse(JSON.stringify(replayDocument(outcome)));
    expect(document).toEqual({
      experiment: "cookie-cats",
      state: "Running",
      version: 1,
      digest: results.digest,
      subjects: { gate_30: 44_700, gate_40: 45_489 },
      repeats: 0,
      crossovers: 0,
      rejected: 7,
      rejectedRows: outcome.rejectedRows,
      sampleRatio: {
        planned: { gate_30: 0.5, gate_40: 0.5 },
        chiSquare: { statistic: 6.902404949605828, degreesOfFreedom: 1, pValue: 0.00860798781083624 },
        sequential: {
          logBayesFactor: 0.042164585370265684,
          pValue: 0.7740194986588962,
          looks: 90_189,
          lookAt: "subject",
        },
      },
      outcomes: {
        retention_1: {
          kind: "binary",
          arms: Object.fromEntries(results.outcomes.get("retention_1")?.arms ?? []),
          contrasts: results.outcomes.get("retention_1")?.contrasts,
        },
        rounds: {
          kind: "count",
          arms: Object.fromEntries(results.outcomes.get("rounds")?.arms ?? []),
          contrasts: results.outcomes.get("rounds")?.contrasts,
        },
      },
      signals: [],
      throughput: { events: 270_567, seconds: 12.5, perSecond: 21_645.36 },
    });
  });

  test("a variant may be called constructor", () => {
    const document = replayDocument({ ...outcome, results: { ...results, subjects: new Map([["constructor", 4]]) } });
    expect(JSON.stringify(document)).toContain('"subjects":{"constructor":4}');
  });
});
