import { describe, expect, test } from "vitest";
import { chiSquareSampleRatio } from "../../src/science/chi-square-srm.ts";
import { chiSquareVerdict, epochAlpha, sampleRatioAlpha, sequentialVerdict } from "../../src/science/srm-verdict.ts";

const reading = (pValue: number | null, looks: number, reason?: string) => ({
  logBayesFactor: 0,
  pValue,
  looks,
  level: epochAlpha(1),
  ...(reason === undefined ? {} : { reason }),
});

describe("levels", () => {
  test("of all epochs together stay under the level", () => {
    let sum = 0;
    for (let epoch = 1; epoch <= 100_000; epoch += 1) sum += epochAlpha(epoch);
    expect(sum).toBeLessThan(sampleRatioAlpha);
    expect(sum).toBeGreaterThan(sampleRatioAlpha * 0.9999);
    expect(epochAlpha(1)).toBeCloseTo(0.000607927, 9);
    expect(epochAlpha(2, 0.05)).toBeCloseTo((0.05 * 6) / (Math.PI ** 2 * 4), 15);
  });
});

describe("verdicts", () => {
  test("disagree on Cookie Cats, and say what each means", () => {
    const fixed = chiSquareVerdict(chiSquareSampleRatio([44_700, 45_489], [1, 1]));
    expect(fixed.mismatch).toBe(true);
    expect(fixed.words).toMatch(/^p = 0\.00861 is below 0\.01: read once/);
    expect(fixed.words).toMatch(/nothing acts on it/);
    const anytime = sequentialVerdict(reading(0.774019, 90_189));
    expect(anytime.mismatch).toBe(false);
    expect(anytime.words).toMatch(/^p = 0\.774 after 90,189 looks is above 0\.000608: no sample ratio mismatch/);
  });

  test("say that there is a mismatch", () => {
    expect(sequentialVerdict(reading(1.5e-12, 1))).toEqual({
      mismatch: true,
      words:
        "p = 1.50e-12 after 1 look is at or below 0.000608: sample ratio mismatch. The results are not trustworthy until its cause is found.",
    });
    expect(sequentialVerdict(reading(epochAlpha(1), 3)).mismatch).toBe(true);
    const impossible = sequentialVerdict(reading(0, 0, "a subject in an arm whose planned share is 0"));
    expect(impossible).toEqual({
      mismatch: true,
      words: "Sample ratio mismatch: a subject in an arm whose planned share is 0.",
    });
    expect(chiSquareVerdict(chiSquareSampleRatio([5, 5, 1], [1, 1, 0])).words).toMatch(
      /^Sample ratio mismatch: a subject/,
    );
  });

  test("say nothing where there is nothing to say", () => {
    expect(chiSquareVerdict(chiSquareSampleRatio([2, 1], [1, 1]))).toEqual({
      mismatch: null,
      words: "Not tested: an arm expects fewer than 5 subjects: too few for this test.",
    });
    expect(chiSquareVerdict(chiSquareSampleRatio([500, 501], [1, 1])).mismatch).toBe(false);
    expect(sequentialVerdict(reading(1, 0))).toEqual({ mismatch: null, words: "No look has been taken yet." });
    expect(sequentialVerdict(reading(null, 0, "the planned shares of epoch 1 are not known")).words).toMatch(
      /^Not tested: the planned/,
    );
  });
});
