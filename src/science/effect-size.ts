/** The size of an effect in standard deviations. */
import gammaln from "@stdlib/math-base-special-gammaln";
import type { SampleMoments } from "./welch.ts";

export interface EffectSize {
  /** Cohen's d: difference of the means over the pooled standard deviation. */
  readonly d: number | null;
  /** Hedges' g: d without its bias in small samples. */
  readonly g: number | null;
  readonly reason?: string;
}

const without = (reason: string): EffectSize => ({ d: null, g: null, reason });

/**
 * Cohen's d with the pooled standard deviation (n − 1; Cohen 1988, §2.5), and Hedges' g with the exact correction
 * Γ(df/2) / (√(df/2) Γ((df−1)/2)) (Hedges 1981).
 *
 * @returns nulls with a reason when an arm has fewer than two subjects, or neither varies
 */
export const cohensD = (variant: SampleMoments, control: SampleMoments): EffectSize => {
  if (variant.mean === null || variant.variance === null || control.mean === null || control.variance === null)
    return without("an arm has fewer than two subjects");
  const degreesOfFreedom = variant.subjects + control.subjects - 2;
  const pooled =
    ((variant.subjects - 1) * variant.variance + (control.subjects - 1) * control.variance) / degreesOfFreedom;
  if (pooled === 0) return without("no variation within the arms");
  const d = (variant.mean - control.mean) / Math.sqrt(pooled);
  const half = degreesOfFreedom / 2;
  return { d, g: d * Math.exp(gammaln(half) - gammaln(half - 0.5) - Math.log(half) / 2) };
};
