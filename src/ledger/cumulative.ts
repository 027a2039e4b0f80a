/** Counts of everybody first exposed up to the end of each day: what a difference over time is drawn from. */
import type { ArmCount, ArmTotal, DayCounts, SliceCounts } from "./counts.ts";
import { addDecimals, decimalText, parseDecimal } from "./decimal.ts";

export interface CumulativeDay {
  /** `2026-11-25`, UTC. */
  readonly day: string;
  readonly counts: SliceCounts;
}

const armKey = ({ epoch, variant }: { readonly epoch: number; readonly variant: string }): string =>
  JSON.stringify([epoch, variant]);

const addArms = (before: readonly ArmCount[], more: readonly ArmCount[]): readonly ArmCount[] => {
  const arms = new Map(before.map((arm) => [armKey(arm), arm]));
  for (const arm of more) {
    const known = arms.get(armKey(arm));
    arms.set(armKey(arm), known === undefined ? arm : { ...known, subjects: known.subjects + arm.subjects });
  }
  return [...arms.values()];
};

const sumOf = (a: string, b: string): string => decimalText(addDecimals(parseDecimal(a), parseDecimal(b)));

const addTotals = (before: readonly ArmTotal[], more: readonly ArmTotal[]): readonly ArmTotal[] => {
  const arms = new Map(before.map((arm) => [armKey(arm), arm]));
  for (const arm of more) {
    const known = arms.get(armKey(arm));
    arms.set(
      armKey(arm),
      known === undefined
        ? arm
        : {
            ...known,
            observed: known.observed + arm.observed,
            sum: sumOf(known.sum, arm.sum),
            sumOfSquares: sumOf(known.sumOfSquares, arm.sumOfSquares),
          },
    );
  }
  return [...arms.values()];
};

const addNamed = <Named extends { readonly arms: readonly ArmTotal[] }>(
  before: readonly Named[],
  more: readonly Named[],
  keyOf: (one: Named) => string,
): readonly Named[] => {
  const all = new Map(before.map((one) => [keyOf(one), one]));
  for (const one of more) {
    const known = all.get(keyOf(one));
    all.set(keyOf(one), known === undefined ? one : { ...known, arms: addTotals(known.arms, one.arms) });
  }
  return [...all.values()];
};

/**
 * Each day with those before it. Exact, like the sums it is made of: the last one is everybody.
 *
 * @param days oldest first
 */
export const cumulativeDays = (days: readonly DayCounts[]): readonly CumulativeDay[] => {
  let counts: SliceCounts = { arms: [], metrics: [], products: [] };
  return days.map(({ day, ...slice }) => {
    counts = {
      arms: addArms(counts.arms, slice.arms),
      metrics: addNamed(counts.metrics, slice.metrics, ({ metric, kind }) => JSON.stringify([metric, kind])),
      products: addNamed(counts.products, slice.products, ({ left, right }) => JSON.stringify([left, right])),
    };
    return { day, counts };
  });
};
