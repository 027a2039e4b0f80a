/** Two-sided tails and quantiles of the normal distribution. */
import erfc from "@stdlib/math-base-special-erfc";
import normalQuantile from "@stdlib/stats-base-dists-normal-quantile";

/** P(|Z| ≥ |z|), relatively accurate far in the tail. */
export const normalTwoSided = (z: number): number => erfc(Math.abs(z) / Math.SQRT2);

/** The z that |Z| exceeds with probability alpha: 1.96 for 0.05. Taken from the lower tail, where no digits are lost. */
export const normalCritical = (alpha: number): number => -normalQuantile(alpha / 2, 0, 1);

/** P(Z > z), relatively accurate far in the tail. */
export const normalUpperTail = (z: number): number => erfc(z / Math.SQRT2) / 2;
