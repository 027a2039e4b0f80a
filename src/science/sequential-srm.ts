/**
 * The sample ratio by the anytime-valid multinomial test of Lindon & Malek, "Anytime-Valid Inference for Multinomial
 * Count Data" (NeurIPS 2022, arXiv:2011.03567): it may be looked at as often as one likes, and stopped at any look,
 * and still raises a false alarm with at most the probability of its level.
 */
import gammaln from "@stdlib/math-base-special-gammaln";
import { checkCounts, normalizeShares } from "./shares.ts";

/** The Dirichlet prior is concentration · planned shares: as if 100 subjects had arrived exactly as planned. */
export const defaultConcentration = 100;

const halfLogTwoPi = Math.log(2 * Math.PI) / 2;

/** ln Γ(z) beyond Stirling's (z - ½) ln z - z + ½ ln 2π. */
const stirlingRemainder = (z: number): number => {
  if (z < 10) return gammaln(z) - ((z - 0.5) * Math.log(z) - z + halfLogTwoPi);
  const w = 1 / (z * z);
  return (1 / 12 - w * (1 / 360 - w * (1 / 1_260 - w * (1 / 1_680 - w * (1 / 1_188 - (w * 691) / 360_360))))) / z;
};

interface PlannedArm {
  readonly share: number;
  readonly alpha: number;
  readonly count: number;
}

/** The part of the log Bayes factor that is left when the large terms of the log-gammas have met their opposites. */
const cancelled = (arms: readonly PlannedArm[], concentration: number, total: number): number => {
  const z = concentration + total;
  let value = Math.log(z) / 2 - stirlingRemainder(z);
  for (const { share, alpha, count } of arms) {
    const posterior = alpha + count;
    const excess = count - total * share;
    const logRatio = Math.log1p(excess / (z * share));
    // The excesses add up to 0. Subtracting each makes its term insensitive to the rounding of total * share.
    value += posterior * logRatio - excess - Math.log(posterior) / 2 + stirlingRemainder(posterior);
  }
  return value;
};

const impossible = (shares: readonly number[], counts: readonly number[]): boolean =>
  shares.some((share, index) => share === 0 && (counts[index] ?? 0) > 0);

const logBayesFactorOf = (counts: readonly number[], shares: readonly number[], concentration: number): number => {
  if (impossible(shares, counts)) return Infinity;
  const arms = shares
    .map((share, index) => ({ share, alpha: concentration * share, count: counts[index] ?? 0 }))
    .filter(({ share }) => share > 0);
  const total = arms.reduce((sum, { count }) => sum + count, 0);
  const before = arms.map((arm) => ({ ...arm, count: 0 }));
  return cancelled(arms, concentration, total) - cancelled(before, concentration, 0);
};

/**
 * Log Bayes factor of "some other ratio" against the planned one, in closed form from the counts alone:
 *
 *     ln Γ(k) - ln Γ(k+N) + Σ [ln Γ(k p + n) - ln Γ(k p) - n ln p]
 *
 * Each log-gamma is about N ln N, so subtracting them as they stand loses about 1e-9 at a million subjects; here the
 * large terms are cancelled by algebra first (Stirling), which leaves less than 1e-10.
 *
 * @param counts distinct subjects of each arm
 * @param planned share of each arm, in the same order and on any scale
 * @returns Infinity when an arm planned at 0 has a subject
 * @throws RangeError for shares or counts that cannot be
 * @example logBayesFactor([44_700, 45_489], [1, 1]) // 0.04216458537…
 */
export const logBayesFactor = (
  counts: readonly number[],
  planned: readonly number[],
  concentration: number = defaultConcentration,
): number => {
  const shares = normalizeShares(planned);
  checkCounts(counts, shares.length);
  return logBayesFactorOf(counts, shares, concentration);
};

/** The test so far. The p value never rises: it is the running minimum of 1 / Bayes factor, at most 1. */
export interface SequentialTest {
  readonly shares: readonly number[];
  readonly concentration: number;
  readonly looks: number;
  /** Of the counts at the latest look; Infinity once an arm planned at 0 had a subject. */
  readonly logBayesFactor: number;
  readonly pValue: number;
}

/**
 * The test before its first look.
 *
 * @throws RangeError for shares that cannot be
 */
export const sequentialStart = (
  planned: readonly number[],
  concentration: number = defaultConcentration,
): SequentialTest => ({ shares: normalizeShares(planned), concentration, looks: 0, logBayesFactor: 0, pValue: 1 });

/**
 * One look at the counts so far (cumulative, not since the last look).
 *
 * @example
 * const after = [[510, 490], [1_030, 970]].reduce(sequentialLook, sequentialStart([1, 1]));
 * after.looks; // 2
 */
export const sequentialLook = (test: SequentialTest, counts: readonly number[]): SequentialTest => {
  checkCounts(counts, test.shares.length);
  const latest = logBayesFactorOf(counts, test.shares, test.concentration);
  return {
    ...test,
    looks: test.looks + 1,
    logBayesFactor: latest,
    pValue: Math.min(test.pValue, Math.exp(-latest)),
  };
};

export interface SubjectLooksResult {
  readonly looks: number;
  /** Infinity once a subject was in an arm that is not planned, or planned at 0. */
  readonly logBayesFactor: number;
  readonly pValue: number;
}

export interface SubjectLooksFold {
  /** Counts one more distinct subject, in the order of first exposure, and looks. */
  observe(variant: string): void;
  result(): SubjectLooksResult;
}

/**
 * The same test with a look after every subject, at a constant cost for each: a subject in arm j multiplies the Bayes
 * factor by its predictive probability over its planned one, ((k p_j + n_j) / (k + N)) / p_j. The logarithms are
 * added with Neumaier's compensation, so the end agrees with {@link logBayesFactor}.
 *
 * @param planned share of each variant, on any scale
 * @throws RangeError for shares that cannot be
 * @example
 * const fold = looksAtEverySubject([{ variant: "control", share: 1 }, { variant: "treatment", share: 1 }]);
 * for (const variant of ["control", "treatment", "control"]) fold.observe(variant);
 * fold.result(); // { looks: 3, logBayesFactor: …, pValue: … }
 */
export const looksAtEverySubject = (
  planned: readonly { readonly variant: string; readonly share: number }[],
  concentration: number = defaultConcentration,
): SubjectLooksFold => {
  const shares = normalizeShares(planned.map((arm) => arm.share));
  const arms = new Map(planned.map(({ variant }, index) => [variant, { share: shares[index] ?? 0, count: 0 }]));
  let looks = 0;
  let sum = 0;
  let compensation = 0;
  let highest = 0;
  return {
    observe(variant) {
      const arm = arms.get(variant);
      if (arm === undefined || arm.share === 0) {
        sum = Infinity;
        compensation = 0;
      } else if (sum < Infinity) {
        const term = Math.log1p((arm.count - looks * arm.share) / ((concentration + looks) * arm.share));
        const next = sum + term;
        compensation += Math.abs(sum) >= Math.abs(term) ? sum - next + term : term - next + sum;
        sum = next;
        arm.count += 1;
      }
      looks += 1;
      highest = Math.max(highest, sum + compensation);
    },
    result: () => ({ looks, logBayesFactor: sum + compensation, pValue: Math.exp(-highest) }),
  };
};
