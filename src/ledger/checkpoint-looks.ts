/** The sequential test over the checkpoints of one epoch, folded one by one: a long experiment has hundreds of thousands. */
import { sequentialLook, sequentialStart } from "../science/sequential-srm.ts";
import type { ArmCount, CheckpointLooks } from "./counts.ts";
import type { EpochPlan } from "./ground.ts";

export interface CheckpointFold {
  /** One checkpoint: the arms, of any epoch, whose subjects are not as many as at the last one. */
  observe(changed: readonly ArmCount[]): void;
  result(): CheckpointLooks;
}

/**
 * Looks at every checkpoint that changed the epoch's counts and left it a subject.
 *
 * @throws RangeError for shares that cannot be
 * @example
 * const fold = looksAtCheckpoints({ epoch: 1, arms: [{ variant: "a", share: 1 }, { variant: "b", share: 1 }] });
 * fold.observe([{ variant: "a", epoch: 1, subjects: 510 }, { variant: "b", epoch: 1, subjects: 490 }]);
 * fold.result(); // { epoch: 1, looks: 1, logBayesFactor: …, pValue: … }
 */
export const looksAtCheckpoints = ({ epoch, arms }: EpochPlan): CheckpointFold => {
  const places = new Map(arms.map(({ variant }, index) => [variant, index]));
  // One more arm, planned at 0, stands for every variant that is not in the plan.
  const counts = [...arms.map(() => 0), 0];
  const before = new Map<string, number>();
  let test = sequentialStart([...arms.map(({ share }) => share), 0]);
  return {
    observe(changed) {
      const own = changed.filter((arm) => arm.epoch === epoch);
      for (const { variant, subjects } of own) {
        const place = places.get(variant) ?? arms.length;
        counts[place] = (counts[place] ?? 0) + subjects - (before.get(variant) ?? 0);
        before.set(variant, subjects);
      }
      if (own.length > 0 && counts.some((subjects) => subjects > 0)) test = sequentialLook(test, counts);
    },
    result: () => ({ epoch, looks: test.looks, logBayesFactor: test.logBayesFactor, pValue: test.pValue }),
  };
};
