/** The two sample ratio tests in words: what each says, and what it may be used for. */
import type { ChiSquare } from "./chi-square-srm.ts";

/** Sample ratio mismatch is acted on at this level: a broken experiment is rare, a false alarm stops a good one. */
export const sampleRatioAlpha = 0.001;

/** What the fixed-horizon test is read at. Nothing acts on it. */
export const singleReadingAlpha = 0.01;

/**
 * Level of the sequential test in the e-th epoch (1, 2, …): α·6/(π²e²), which adds up to α over any number of epochs.
 *
 * @example epochAlpha(1) // 0.000608 of 0.001
 */
export const epochAlpha = (ordinal: number, alpha: number = sampleRatioAlpha): number =>
  (alpha * 6) / (Math.PI ** 2 * ordinal ** 2);

export interface Verdict {
  /** null: not enough to say. */
  readonly mismatch: boolean | null;
  /** One or two sentences for people. */
  readonly words: string;
}

/** Three significant digits; people compare these with a level, they do not compute with them. */
const short = (value: number): string =>
  value !== 0 && Math.abs(value) < 0.0001 ? value.toExponential(2) : String(Number(value.toPrecision(3)));

/**
 * @example chiSquareVerdict(chiSquareSampleRatio([44_700, 45_489], [1, 1])).words
 * // "p = 0.00861 is below 0.01: read once, at a moment chosen beforehand, this points to a sample ratio mismatch. …"
 */
export const chiSquareVerdict = ({ pValue, reason }: ChiSquare): Verdict => {
  if (pValue === null) return { mismatch: null, words: `Not tested: ${reason ?? "no p value"}.` };
  if (reason !== undefined) return { mismatch: true, words: `Sample ratio mismatch: ${reason}.` };
  const mismatch = pValue < singleReadingAlpha;
  const p = `p = ${short(pValue)}`;
  return {
    mismatch,
    words: mismatch
      ? `${p} is below ${singleReadingAlpha}: read once, at a moment chosen beforehand, this points to a sample ratio mismatch. Read again and again, the chi-square test raises false alarms; nothing acts on it.`
      : `${p} is not below ${singleReadingAlpha}: no sample ratio mismatch found in a single reading.`,
  };
};

/** What the words rest on; `level` is that of the epoch. */
export interface SequentialReading {
  readonly logBayesFactor: number | null;
  readonly pValue: number | null;
  readonly looks: number;
  readonly level: number;
  readonly reason?: string;
}

/** The verdict that signals rest on: valid however often, and whenever, one looks. */
export const sequentialVerdict = ({ pValue, looks, level, reason }: SequentialReading): Verdict => {
  if (pValue === null) return { mismatch: null, words: `Not tested: ${reason ?? "no p value"}.` };
  const mismatch = pValue <= level;
  if (reason !== undefined && mismatch) return { mismatch, words: `Sample ratio mismatch: ${reason}.` };
  if (looks === 0) return { mismatch: null, words: "No look has been taken yet." };
  const p = `p = ${short(pValue)} after ${looks.toLocaleString("en-US")} ${looks === 1 ? "look" : "looks"}`;
  return {
    mismatch,
    words: mismatch
      ? `${p} is at or below ${short(level)}: sample ratio mismatch. The results are not trustworthy until its cause is found.`
      : `${p} is above ${short(level)}: no sample ratio mismatch. This test may be looked at at any time.`,
  };
};
