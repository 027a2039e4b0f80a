/** What every comparison of an arm with control answers. The difference is variant - control, everywhere. */
export interface Contrast {
  readonly difference: number | null;
  readonly statistic: number | null;
  /** Two-sided. */
  readonly pValue: number | null;
  /** Two-sided, at 1 - alpha. */
  readonly interval: readonly [low: number, high: number] | null;
  /** Of the t distribution, not rounded; left out where the normal distribution is used. */
  readonly degreesOfFreedom?: number;
  /** Why a member is null; left out when none is. */
  readonly reason?: string;
}

/** A contrast without a test. The difference may still be known. */
export const untestable = (reason: string, difference: number | null = null): Contrast => ({
  difference,
  statistic: null,
  pValue: null,
  interval: null,
  reason,
});
