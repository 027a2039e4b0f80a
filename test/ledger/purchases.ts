import { emptyCounts, type LedgerCounts } from "../../src/ledger/counts.ts";

/** Subjects and purchases of each variant, in epoch 0 and after three looks at a ratio that is as planned. */
export const purchases = (
  arms: Readonly<Record<string, readonly [subjects: number, purchases: number]>>,
  more: Partial<LedgerCounts> = {},
): LedgerCounts => ({
  ...emptyCounts,
  arms: Object.entries(arms).map(([variant, [subjects]]) => ({ variant, epoch: 0, subjects })),
  metrics: [
    {
      metric: "purchase",
      kind: "binary",
      unexposed: 0,
      arms: Object.entries(arms).map(([variant, [, sum]]) => ({
        variant,
        epoch: 0,
        observed: sum,
        sum: String(sum),
        sumOfSquares: String(sum),
      })),
    },
  ],
  checkpointLooks: [{ epoch: 0, looks: 3, logBayesFactor: 0, pValue: 1 }],
  ...more,
});
