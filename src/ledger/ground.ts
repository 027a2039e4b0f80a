/** What results stand on: the epochs that were counted, the ratio planned in each, and the variants to show. */
import type { ArmCount, LedgerCounts } from "./counts.ts";

export interface PlannedArm {
  readonly variant: string;
  /** Buckets / 10,000; any common scale will do. */
  readonly share: number;
}

/** The planned ratio of one epoch. */
export interface EpochPlan {
  readonly epoch: number;
  readonly arms: readonly PlannedArm[];
}

export const distinct = <Value>(values: readonly Value[]): readonly Value[] => [...new Set(values)];

/** Own members whatever the keys are called: `Object.fromEntries` defines, it never assigns. */
export const byVariant = <Value>(
  variants: readonly string[],
  value: (variant: string) => Value,
): Readonly<Record<string, Value>> => Object.fromEntries(variants.map((variant) => [variant, value(variant)]));

export const subjectsIn = (arms: readonly ArmCount[], variant: string, epoch?: number): number =>
  arms
    .filter((arm) => arm.variant === variant && (epoch === undefined || arm.epoch === epoch))
    .reduce((sum, arm) => sum + arm.subjects, 0);

/** What there is to judge, settled once: the epochs with their plans, and every variant in the order of display. */
export interface Ground {
  readonly counts: LedgerCounts;
  readonly epochs: readonly number[];
  readonly liveEpoch: number;
  readonly plans: ReadonlyMap<number, readonly PlannedArm[]>;
  readonly variants: readonly string[];
}

export const groundOf = (
  counts: LedgerCounts,
  planned: readonly PlannedArm[],
  epoch?: number,
  earlier: readonly EpochPlan[] = [],
): Ground => {
  const counted = counts.arms.filter((arm) => arm.subjects > 0);
  const liveEpoch = epoch ?? counted.reduce((latest, arm) => Math.max(latest, arm.epoch), 0);
  const plans = new Map([...earlier, { epoch: liveEpoch, arms: planned }].map((plan) => [plan.epoch, plan.arms]));
  return {
    counts,
    epochs: distinct([...counted.map((arm) => arm.epoch), liveEpoch]).toSorted((a, b) => a - b),
    liveEpoch,
    plans,
    variants: distinct([...planned.map((arm) => arm.variant), ...counted.map((arm) => arm.variant)]),
  };
};
