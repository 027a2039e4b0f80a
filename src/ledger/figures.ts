/** What policies and guardrails look at, from the counts of one experiment's live epoch. */
import type { LedgerFigures } from "../governance/policies/policy.ts";
import { errorMetric } from "./batch.ts";
import type { LedgerCounts } from "./counts.ts";
import { byVariant, distinct, type EpochPlan, groundOf, type PlannedArm, subjectsIn } from "./ground.ts";
import { sampleRatioOf } from "./sample-ratio.ts";

export interface FiguresInput {
  readonly counts: LedgerCounts;
  /** The live epoch, and the arms that are planned in it. */
  readonly epoch: number;
  readonly planned: readonly PlannedArm[];
  /** Plans of epochs that are over: the level of the sample ratio test counts them. */
  readonly earlier?: readonly EpochPlan[];
}

/**
 * Figures of the live epoch. Error events are the binary metric `error`, counted in the arm of a subject's first
 * exposure; an arm without subjects has no rate. The sample ratio is null until its test has looked once.
 *
 * @throws RangeError for shares, counts or sums that no ledger can have
 * @example
 * ledgerFigures({ counts, epoch: 1, planned: plannedShares(configuration.variants) }).exposed; // 1042
 */
export const ledgerFigures = ({ counts, epoch, planned, earlier = [] }: FiguresInput): LedgerFigures => {
  const live = counts.arms.filter((arm) => arm.epoch === epoch);
  const variants = distinct([...planned.map((arm) => arm.variant), ...live.map((arm) => arm.variant)]);
  const errors =
    counts.metrics
      .find(({ metric, kind }) => metric === errorMetric && kind === "binary")
      ?.arms.filter((arm) => arm.epoch === epoch) ?? [];
  const rates = variants.flatMap((variant) => {
    const subjects = subjectsIn(live, variant);
    const failed = errors.filter((arm) => arm.variant === variant).reduce((sum, arm) => sum + Number(arm.sum), 0);
    return subjects === 0 ? [] : [{ variant, rate: failed / subjects }];
  });
  const worst = rates.toSorted((a, b) => b.rate - a.rate)[0];
  const { sequential } = sampleRatioOf(groundOf(counts, planned, epoch, earlier), epoch);
  return {
    exposed: live.reduce((sum, arm) => sum + arm.subjects, 0),
    worstErrorRate: worst?.rate ?? 0,
    worstVariant: worst?.variant ?? null,
    subjects: byVariant(variants, (variant) => subjectsIn(live, variant)),
    // A subject in an arm that nobody is to be in is a mismatch before any checkpoint.
    sampleRatio:
      sequential.pValue === null || (sequential.looks === 0 && !sequential.mismatch)
        ? null
        : { mismatch: sequential.mismatch, pValue: sequential.pValue },
  };
};
