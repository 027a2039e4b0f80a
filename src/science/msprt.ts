/**
 * The mixture sequential probability ratio test of Johari, Koomen, Pekelis & Walsh, "Always Valid Inference" (Operations
 * Research 2022, arXiv:1512.04922): the difference is mixed over N(0, τ²). Guardrails and results use the confidence
 * sequence, whose mixture is fixed by the plan; this is here to compare with tools that use it.
 */

export interface MixtureTest {
  /** Of "there is a difference" against "there is none", at this look. */
  readonly bayesFactor: number;
  /** min(1, 1 / Bayes factor) at this look; over several looks the p value is the least of them. */
  readonly pValue: number;
}

/**
 * @param variance of the estimated difference
 * @param mixture τ², chosen before the first look
 * @example mixtureTest({ difference: 0.012, variance: 0.004 ** 2, mixture: 0.0001 }).pValue // 0.0556…
 */
export const mixtureTest = ({
  difference,
  variance,
  mixture,
}: {
  readonly difference: number;
  readonly variance: number;
  readonly mixture: number;
}): MixtureTest => {
  if (!(variance > 0 && mixture > 0))
    throw new RangeError(`mixture test: variances ${variance} and ${mixture} must be above 0`);
  const together = variance + mixture;
  const logFactor = Math.log(variance / together) / 2 + (difference ** 2 * mixture) / (2 * variance * together);
  return { bayesFactor: Math.exp(logFactor), pValue: Math.min(1, Math.exp(-logFactor)) };
};
