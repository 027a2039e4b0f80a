/** The upper tail of the noncentral t distribution: what the power of a t test is made of. */
import betainc from "@stdlib/math-base-special-betainc";
import gammaln from "@stdlib/math-base-special-gammaln";

/** Terms this small beside the sum no longer change it. */
const negligible = 1e-18;

/**
 * P(T > t) for t ≥ 0 with noncentrality ≥ 0, by the Poisson mixture of incomplete beta functions (Guenther 1978; Lenth's
 * AS 243), summed from its largest term outwards so that a large noncentrality loses no digits.
 */
export const noncentralTUpperTail = (t: number, degreesOfFreedom: number, noncentrality: number): number => {
  if (!(t >= 0) || !(noncentrality >= 0) || !(degreesOfFreedom > 0))
    throw new RangeError(`noncentral t: ${t}, ${degreesOfFreedom} degrees of freedom, noncentrality ${noncentrality}`);
  const rate = noncentrality ** 2 / 2;
  const half = degreesOfFreedom / 2;
  const x = t ** 2 / (t ** 2 + degreesOfFreedom);
  const logRate = Math.log(rate);
  // Upper tails of the beta functions, whose weights add up to 2 Φ(noncentrality): all of one sign, so nothing cancels.
  const term = (j: number): number => {
    const even = rate === 0 ? (j === 0 ? 1 : 0) : Math.exp(-rate + j * logRate - gammaln(j + 1));
    const odd = rate === 0 ? 0 : Math.exp(-rate + (j + 0.5) * logRate - gammaln(j + 1.5));
    return even * betainc(x, j + 0.5, half, true, true) + odd * betainc(x, j + 1, half, true, true);
  };
  const middle = Math.floor(rate);
  let sum = term(middle);
  for (const step of [1, -1]) {
    for (let j = middle + step; j >= 0; j += step) {
      const next = term(j);
      sum += next;
      if (next <= sum * negligible) break;
    }
  }
  return Math.min(1, sum / 2);
};
