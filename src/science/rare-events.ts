/**
 * Rare events, exactly and at any time. Of subjects that had the event, each fell to an arm with the arm's share if the
 * rates are equal, so converted subjects are multinomial at the planned shares: the test is the one of
 * `sequential-srm.ts`, over converted subjects (Lindon & Malek 2022, arXiv:2011.03567, §4). It holds at every sample
 * size, where confidence sequences are only asymptotic, and only while the sample ratio itself is as planned.
 *
 * The one-sided form mixes over the alternatives above the null alone: the Dirichlet prior cut off there. For every true
 * rate at or below the null it is a nonnegative supermartingale, because one more event multiplies it by more than one
 * more non-event does; so Ville's inequality holds for the whole composite null (Howard, Ramdas, McAuliffe & Sekhon
 * 2021, §3).
 */
import betainc from "@stdlib/math-base-special-betainc";
import { logBayesFactor, type SequentialTest, sequentialLook, sequentialStart } from "./sequential-srm.ts";
import type { Limits } from "./confidence-sequence.ts";

/**
 * The exact anytime test of equal rates before its first look, over arms with these planned shares.
 *
 * @example
 * const test = [[40, 75]].reduce(rareEventLook, rareEventStart([1, 1]));
 * test.pValue; // 0.0828…
 */
export const rareEventStart = sequentialStart;

/** One look at the converted subjects of each arm so far. */
export const rareEventLook: (test: SequentialTest, converted: readonly number[]) => SequentialTest = sequentialLook;

/**
 * The prior of the limits: as if ten subjects had been as the null says. The sample ratio's hundred look for small gaps in
 * large numbers; a limit on a rare event must also see five events where one would be too many.
 */
export const limitConcentration = 10;

/** ln P(B > x) for B ~ Beta(a, b). −Infinity where no double holds it: then there is no evidence to speak of. */
const logUpperTail = (x: number, a: number, b: number): number => Math.log(betainc(x, a, b, true, true));

/**
 * Log evidence against "an event has at most this probability", from events and non-events.
 *
 * @param probability under the null, 0 to 1
 * @returns the logarithm of a number that exceeds 1 / alpha with probability alpha at most, over all looks together
 */
export const logEvidenceAbove = (
  events: number,
  nonEvents: number,
  probability: number,
  concentration: number = limitConcentration,
): number => {
  if (!(probability >= 0 && probability <= 1)) throw new RangeError(`probability: ${probability} must be 0 to 1`);
  if (probability === 0) return events > 0 ? Infinity : 0;
  if (probability === 1) return 0;
  const [a, b] = [concentration * probability, concentration * (1 - probability)];
  return (
    logBayesFactor([events, nonEvents], [probability, 1 - probability], concentration) +
    logUpperTail(probability, a + events, b + nonEvents) -
    logUpperTail(probability, a, b)
  );
};

/** Of a limit, beside itself: nobody reads more. */
const precision = 1e-9;
const halvingsMax = 200;

/** The largest probability up to which every null is rejected. */
const lowerLimit = (events: number, nonEvents: number, alpha: number): number => {
  // One event alone says nothing: against a null that goes to 0 its evidence stays bounded.
  if (events < 2) return 0;
  const wanted = -Math.log(alpha);
  let low = 0;
  let high = events / (events + nonEvents);
  if (high === 1 && nonEvents === 0) {
    // Nothing but events: the null next to 1 is the last to be rejected.
    high = 1 - Number.EPSILON;
  }
  for (let step = 0; step < halvingsMax && high - low > precision * high; step += 1) {
    const middle = (low + high) / 2;
    if (logEvidenceAbove(events, nonEvents, middle) >= wanted) low = middle;
    else high = middle;
  }
  return low;
};

const checkCounts = (successes: number, subjects: number): void => {
  if (!Number.isSafeInteger(successes) || !Number.isSafeInteger(subjects) || successes < 0 || successes > subjects)
    throw new RangeError(`rate: ${successes} of ${subjects} must be whole numbers, 0 ≤ successes ≤ subjects`);
};

/**
 * Limits of one arm's rate, each of which alone holds at all looks together with probability 1 − alpha.
 *
 * @example rateLimits(30, 100, 0.05) // { lower: 0.203…, upper: 0.41… }
 */
export const rateLimits = (successes: number, subjects: number, alpha: number): Limits => {
  checkCounts(successes, subjects);
  return {
    lower: lowerLimit(successes, subjects - successes, alpha),
    upper: 1 - lowerLimit(subjects - successes, successes, alpha),
  };
};

/** Arms of one comparison: converted subjects, and planned shares on any common scale. */
export interface ConvertedArm {
  readonly converted: number;
  readonly share: number;
}

/**
 * Limits of the ratio of two rates, variant / control, from converted subjects alone. Exact, while the sample ratio is
 * as planned.
 *
 * @returns upper Infinity while control's rate may be 0
 */
export const rateRatioLimits = (variant: ConvertedArm, control: ConvertedArm, alpha: number): Limits => {
  const share = rateLimits(variant.converted, variant.converted + control.converted, alpha);
  const odds = control.share / variant.share;
  const ratioOf = (part: number): number => (part === 1 ? Infinity : (part / (1 - part)) * odds);
  return { lower: ratioOf(share.lower), upper: ratioOf(share.upper) };
};
