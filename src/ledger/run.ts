/**
 * Counts of the present run. A ledger keeps everybody who was ever exposed; an experiment that was concluded and reopened has
 * another plan, made by whoever has seen those, so they say nothing for or against it.
 */
import type { ExperimentState } from "../governance/state.ts";
import type { LedgerCounts, SliceCounts } from "./counts.ts";

/** The same counts where the run began with the first epoch that was counted, or has not begun. */
export const countsOfRun = (counts: LedgerCounts, { frozen }: Pick<ExperimentState, "frozen">): LedgerCounts => {
  if (frozen === null || counts.arms.every(({ epoch }) => epoch >= frozen.epoch)) return counts;
  const ofRun = <Counted extends { readonly epoch: number }>(all: readonly Counted[]): readonly Counted[] =>
    all.filter(({ epoch }) => epoch >= frozen.epoch);
  const sliced = <Slice extends SliceCounts>(slice: Slice): Slice => ({
    ...slice,
    arms: ofRun(slice.arms),
    metrics: slice.metrics.map((one) => ({ ...one, arms: ofRun(one.arms) })),
    products: slice.products.map((one) => ({ ...one, arms: ofRun(one.arms) })),
  });
  // Looks after every subject were taken over all of them.
  const { subjectLooks: _subjectLooks, parts, ...others } = sliced(counts);
  return {
    ...others,
    checkpointLooks: ofRun(counts.checkpointLooks),
    ...(parts === undefined
      ? {}
      : {
          parts: {
            days: parts.days.map(sliced),
            dimensions: parts.dimensions.map(sliced),
            crossovers: sliced(parts.crossovers),
            matured: parts.matured.map(sliced),
          },
        }),
  };
};
