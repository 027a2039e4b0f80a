/** One metric: totals of every arm, and each arm against control. */
import type { MetricKind } from "../experiment.ts";
import { untestable, type Contrast } from "../science/contrast.ts";
import { stratifiedMeans, stratifiedProportions, type Stratum } from "../science/stratified.ts";
import type { ArmTotal, LedgerCounts, MetricTotals } from "./counts.ts";
import { addDecimals, decimalNumber, decimalText, momentsOf, parseDecimal, type Decimal } from "./decimal.ts";
import { byVariant, subjectsIn, type Ground } from "./ground.ts";

export interface ArmResult {
  readonly subjects: number;
  readonly sum: number;
  /** The sum as decimal text; present only where no double says it exactly. */
  readonly exactSum?: string;
  readonly mean: number | null;
  /** With n - 1. */
  readonly variance: number | null;
}

export interface VariantContrast extends Contrast {
  readonly variant: string;
  readonly control: string;
  /** With several epochs: those that were compared, each within itself, … */
  readonly epochs?: readonly number[];
  /** … and those that could not be. */
  readonly leftOut?: readonly { readonly epoch: number; readonly reason: string }[];
}

export interface OutcomeResult {
  readonly kind: MetricKind;
  /** Totals over all epochs: for display; never compared as they stand when there are several. */
  readonly arms: Readonly<Record<string, ArmResult>>;
  readonly contrasts: readonly VariantContrast[];
}

interface ExactTotals {
  readonly subjects: number;
  readonly sum: Decimal;
  readonly sumOfSquares: Decimal;
}

/** Totals of an arm. The denominator is everyone exposed: a subject without a value counts as 0. */
const totalsOf = (counts: LedgerCounts, metric: MetricTotals, variant: string, epoch?: number): ExactTotals => {
  const totals = metric.arms.filter(
    (total) => total.variant === variant && (epoch === undefined || total.epoch === epoch),
  );
  const addUp = (read: (total: ArmTotal) => string): Decimal =>
    totals.reduce<Decimal>((sum, total) => addDecimals(sum, parseDecimal(read(total))), 0);
  return {
    subjects: subjectsIn(counts.arms, variant, epoch),
    sum: addUp((total) => total.sum),
    sumOfSquares: addUp((total) => total.sumOfSquares),
  };
};

const armResult = ({ subjects, sum, sumOfSquares }: ExactTotals): ArmResult => {
  const number = decimalNumber(sum);
  const text = decimalText(sum);
  const isExact = decimalText(parseDecimal(String(number))) === text;
  return { subjects, sum: number, ...(isExact ? {} : { exactSum: text }), ...momentsOf(subjects, sum, sumOfSquares) };
};

const contrastOf = (
  ground: Ground,
  metric: MetricTotals,
  variant: string,
  control: string,
  alpha: number,
): VariantContrast => {
  const { counts } = ground;
  const strata = ground.epochs
    .map((epoch) => ({
      epoch,
      subjects: counts.arms.filter((arm) => arm.epoch === epoch).reduce((sum, arm) => sum + arm.subjects, 0),
      variant: totalsOf(counts, metric, variant, epoch),
      control: totalsOf(counts, metric, control, epoch),
    }))
    .filter((stratum) => stratum.subjects > 0);
  const several = strata.length > 1;
  // A lone epoch is judged as it is, so that its own reason is told; of several, those without both arms are left out.
  const needed = !several ? 0 : metric.kind === "binary" ? 1 : 2;
  const compared = strata.filter((one) => Math.min(one.variant.subjects, one.control.subjects) >= needed);
  const lacking = strata.filter((one) => !compared.includes(one));
  const strataOf = <Arm>(of: (totals: ExactTotals) => Arm): readonly Stratum<Arm>[] =>
    compared.map((one) => ({ subjects: one.subjects, variant: of(one.variant), control: of(one.control) }));
  const test = (): Contrast => {
    if (strata.length === 0) return untestable("no subjects yet");
    return metric.kind === "binary"
      ? stratifiedProportions(
          strataOf(({ subjects, sum }) => ({ subjects, successes: decimalNumber(sum) })),
          alpha,
        )
      : stratifiedMeans(
          strataOf(({ subjects, sum, sumOfSquares }) => ({ subjects, ...momentsOf(subjects, sum, sumOfSquares) })),
          alpha,
        );
  };
  return {
    variant,
    control,
    ...test(),
    ...(several ? { epochs: compared.map((one) => one.epoch) } : {}),
    ...(lacking.length > 0
      ? {
          leftOut: lacking.map(({ epoch, variant: arm }) => ({
            epoch,
            reason: `fewer than ${needed} subject${needed === 1 ? "" : "s"} in ${arm.subjects < needed ? variant : control}`,
          })),
        }
      : {}),
  };
};

/** Compares each treatment with control; the difference is treatment - control. */
export const outcomeOf = (
  ground: Ground,
  metric: MetricTotals,
  treatments: readonly string[],
  control: string,
  alpha: number,
): OutcomeResult => ({
  kind: metric.kind,
  arms: byVariant(ground.variants, (variant) => armResult(totalsOf(ground.counts, metric, variant))),
  contrasts: treatments.map((variant) => contrastOf(ground, metric, variant, control, alpha)),
});
