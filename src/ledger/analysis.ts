/**
 * What results say of a metric beyond its totals: beside every fixed-horizon contrast the confidence sequence that may be
 * looked at at any time, the relative difference, the p value corrected for the number of contrasts, and the same
 * contrast over the subjects whose window has closed and over those who met one variant only.
 */
import type { DeclaredMetric } from "../experiment.ts";
import type { AfterStart, ChangeAfterStart } from "../governance/frozen-plan.ts";
import {
  meansTooFew,
  proportionsDifference,
  proportionsTooFew,
  sequenceOf,
  type SequentialContrast,
} from "../science/confidence-sequence.ts";
import { type Contrast, untestable } from "../science/contrast.ts";
import { benjaminiHochberg, holm } from "../science/multiple-comparisons.ts";
import { normalCritical, normalTwoSided } from "../science/normal.ts";
import { relativeDifference, type RelativeDifference } from "../science/ratio-metrics.ts";
import { type AdjustedContrast, adjustedOf } from "./adjusted.ts";
import type { ArmTotal, LedgerCounts, SliceCounts } from "./counts.ts";
import { type CumulativeDay, cumulativeDays } from "./cumulative.ts";
import { decimalNumber, decimalText, parseDecimal, subtractDecimals } from "./decimal.ts";
import { byVariant, type Ground, subjectsIn } from "./ground.ts";
import { combined, estimateOf, type LevelPair, pairsOf, type Reading, type Source, sumsIn } from "./levels.ts";
import { defaultWindowMs, metricSpecs } from "./metric-spec.ts";
import { outcomeOf, type OutcomeResult, type VariantContrast } from "./outcomes.ts";
import { metricKey } from "./subject.ts";

export interface AnalysedContrast extends VariantContrast {
  readonly relativeDifference: RelativeDifference;
  /** Valid at any look. */
  readonly sequential: SequentialContrast;
  /** Primary metrics by Holm, all others by Benjamini and Hochberg; null where there is no p value. */
  readonly adjustedPValue: number | null;
  /** CUPED, of metrics that declare a covariate. */
  readonly adjusted?: AdjustedContrast;
  /**
   * The same difference over everybody first exposed up to the end of each day, with what has been counted of them by
   * now; of the first {@link seriesMax} contrasts, primary metrics before others, where the counts have parts.
   */
  readonly series?: readonly EffectPoint[];
}

/** One day of an effect over time. */
export interface EffectPoint {
  /** `2026-11-25`, UTC. */
  readonly day: string;
  /** In the arm and in control together. */
  readonly subjects: number;
  readonly difference: number | null;
  /** Of the confidence sequence; null where it may not be shown yet. */
  readonly interval: readonly [low: number, high: number] | null;
}

/** Contrasts that are told day by day: each is a plot, and some days of arithmetic. */
export const seriesMax = 20;

/** Contrasts over a part of the subjects. */
export interface PartialOutcome {
  readonly subjects: Readonly<Record<string, number>>;
  readonly contrasts: readonly VariantContrast[];
}

export interface MetricAnalysis extends Omit<OutcomeResult, "kind" | "contrasts"> {
  readonly kind: DeclaredMetric["kind"];
  readonly primary: boolean;
  /** Not a primary metric: a discovery here is a question for the next experiment. */
  readonly exploratory: boolean;
  readonly contrasts: readonly AnalysedContrast[];
  /** Subjects whose window had closed: what fixed-horizon tests are for. Left out where nobody asked for parts. */
  readonly matured?: PartialOutcome;
  /** Without the subjects that met a second variant: a sensitivity analysis, and no more. */
  readonly withoutCrossovers?: PartialOutcome;
  /** Declared, changed or taken away after the start: never a primary metric, whatever it calls itself. */
  readonly afterStart?: ChangeAfterStart;
  /** Present for `missing: exclude`, which compares different populations. */
  readonly missing?: "exclude";
}

const within = (ground: Ground, source: Source): Ground => ({ ...ground, counts: { ...ground.counts, ...source } });

const less = (a: string, b: string | undefined): string =>
  b === undefined ? a : decimalText(subtractDecimals(parseDecimal(a), parseDecimal(b)));

const totalsLess = (all: readonly ArmTotal[], taken: readonly ArmTotal[]): readonly ArmTotal[] =>
  all.map((total) => {
    const away = taken.find(({ epoch, variant }) => epoch === total.epoch && variant === total.variant);
    return {
      ...total,
      observed: total.observed - (away?.observed ?? 0),
      sum: less(total.sum, away?.sum),
      sumOfSquares: less(total.sumOfSquares, away?.sumOfSquares),
    };
  });

/** Everybody but those of a slice, exactly. */
const withoutSlice = (counts: LedgerCounts, slice: SliceCounts): Source => ({
  arms: counts.arms.map((arm) => ({
    ...arm,
    subjects: arm.subjects - subjectsIn(slice.arms, arm.variant, arm.epoch),
  })),
  metrics: counts.metrics.map((metric) => ({
    ...metric,
    arms: totalsLess(
      metric.arms,
      slice.metrics.find((other) => other.metric === metric.metric && other.kind === metric.kind)?.arms ?? [],
    ),
  })),
  products: counts.products.map((product) => ({
    ...product,
    arms: totalsLess(
      product.arms,
      slice.products.find((other) => other.left === product.left && other.right === product.right)?.arms ?? [],
    ),
  })),
});

const notShown = (reason: string, difference: number | null = null): SequentialContrast => ({
  difference,
  interval: null,
  pValue: null,
  reason,
});

export interface AnalysisInput {
  readonly ground: Ground;
  readonly control: string;
  readonly treatments: readonly string[];
  readonly metrics: readonly DeclaredMetric[];
  readonly alpha: number;
  /** Subjects at which confidence sequences are tightest: of the plan. */
  readonly plannedSubjects?: number;
  /** Name of the plan's primary metric. */
  readonly primary?: string;
  /** Metrics that are not as they were declared when the experiment started. */
  readonly afterStart?: AfterStart["metrics"];
}

/** By the normal distribution: ratios, and means that leave out who has no value. */
const byNormal = (pairs: readonly LevelPair[], alpha: number): Contrast => {
  const estimate = estimateOf(pairs);
  if (estimate === null) return untestable("no epoch has two subjects in both arms, and a denominator above 0");
  if (estimate.variance === 0) return untestable("no variation within the arms", estimate.value);
  const error = Math.sqrt(estimate.variance);
  const statistic = estimate.value / error;
  const halfWidth = normalCritical(alpha) * error;
  return {
    difference: estimate.value,
    statistic,
    pValue: normalTwoSided(statistic),
    interval: [estimate.value - halfWidth, estimate.value + halfWidth],
  };
};

const fixedOf = (reading: Reading, ground: Ground, input: AnalysisInput): readonly VariantContrast[] => {
  const { control, treatments, alpha } = input;
  const { counts } = ground;
  const metric = counts.metrics.find((one) => metricKey(one.metric, one.kind) === reading.keys[0]);
  if (reading.kind !== "ratio" && reading.declared?.missing !== "exclude")
    return metric === undefined ? [] : outcomeOf(ground, metric, treatments, control, alpha).contrasts;
  return treatments.map((variant) => ({
    variant,
    control,
    ...byNormal(pairsOf(reading, counts, ground.epochs, variant, control), alpha),
  }));
};

const sequentialOf = (
  reading: Reading,
  { ground, control, alpha, plannedSubjects }: AnalysisInput,
  variant: string,
): SequentialContrast => {
  const { counts, epochs } = ground;
  const pairs = pairsOf(reading, counts, epochs, variant, control);
  const estimate = estimateOf(pairs);
  if (estimate === null) return notShown("no epoch has two subjects in both arms");
  const options = plannedSubjects === undefined ? { alpha } : { alpha, plannedSubjects };
  const sums = (arm: string) => ({
    subjects: pairs.reduce((sum, pair) => sum + (arm === control ? pair.control : pair.variant).subjects, 0),
    successes: epochs.reduce(
      (sum, epoch) => sum + decimalNumber(sumsIn(counts, reading.keys[0], arm, epoch, false).sum),
      0,
    ),
  });
  if (reading.kind === "binary") {
    const [v, c] = [sums(variant), sums(control)];
    const tooFew = proportionsTooFew(v, c);
    if (tooFew !== null) return notShown(tooFew, estimate.value);
    return sequenceOf(pairs.length === 1 ? proportionsDifference(v, c) : estimate, options);
  }
  const arms = [variant, control].map((arm) => ({ subjects: sums(arm).subjects, mean: null, variance: null }));
  const tooFew = meansTooFew(arms, reading.declared?.cap !== undefined);
  return tooFew === null ? sequenceOf(estimate, options) : notShown(tooFew, estimate.value);
};

const relativeOf = (
  reading: Reading,
  { ground, control, alpha }: AnalysisInput,
  variant: string,
): RelativeDifference => {
  const both = combined(pairsOf(reading, ground.counts, ground.epochs, variant, control));
  return both === null
    ? { value: null, interval: null, reason: "no epoch has two subjects in both arms" }
    : relativeDifference(both.variant, both.control, alpha);
};

const adjustmentOf = (reading: Reading, input: AnalysisInput, variant: string): Pick<AnalysedContrast, "adjusted"> => {
  const adjusted = adjustedOf(reading, input, variant);
  return adjusted === undefined ? {} : { adjusted };
};

const partOf = (reading: Reading, source: Source, input: AnalysisInput): PartialOutcome => ({
  subjects: byVariant(input.ground.variants, (variant) => subjectsIn(source.arms, variant)),
  contrasts: fixedOf(reading, within(input.ground, source), input),
});

const readingsOf = ({ ground, metrics }: AnalysisInput): readonly Reading[] => {
  const byName = new Map(metrics.map((metric) => [metric.name, metric]));
  const keyOf = (name: string | undefined): string | undefined => {
    const metric = byName.get(name ?? "");
    return metric === undefined || metric.kind === "ratio" ? undefined : metricKey(metric.name, metric.kind);
  };
  const counted = ground.counts.metrics.map(({ metric, kind }): Reading => {
    const known = byName.get(metric);
    const kinds = ground.counts.metrics.filter((other) => other.metric === metric).map((other) => other.kind);
    // A metric that came with two kinds is two, and neither may hide the other.
    const plain = kinds.find((one) => one === known?.kind) ?? kinds.toSorted()[0];
    return {
      name: kind === plain ? metric : `${metric} (${kind})`,
      kind,
      declared: known?.kind === kind ? known : undefined,
      keys: [metricKey(metric, kind)],
    };
  });
  const ratios = metrics.flatMap((metric): readonly Reading[] => {
    const [left, right] = [keyOf(metric.numerator), keyOf(metric.denominator)];
    return metric.kind !== "ratio" || left === undefined || right === undefined
      ? []
      : [{ name: metric.name, kind: "ratio", declared: metric, keys: [left, right] }];
  });
  return [...counted, ...ratios];
};

/** When the window of a metric closes; of a ratio, when both have. null: never. */
const closingOf = ({ keys }: Reading, metrics: readonly DeclaredMetric[]): number | null => {
  const specs = new Map(metricSpecs(0, metrics).specs);
  const ends = keys.map((key) => {
    const spec = specs.get(key);
    return spec === undefined ? defaultWindowMs : spec.to;
  });
  return ends.includes(null) ? null : Math.max(...ends.filter((end) => end !== null));
};

/** How a metric stands to what was declared at the start; a ratio is changed where one of its two is, and any where its covariate is. */
const changeOf = ({ name, declared }: Reading, marks: AfterStart["metrics"]): ChangeAfterStart | undefined => {
  const parts = [declared?.numerator, declared?.denominator, declared?.covariate].filter((part) => part !== undefined);
  return marks.get(name) ?? (parts.some((part) => marks.has(part)) ? "changed" : undefined);
};

/** Contrasts that get a series: those of primary metrics first, then as they come. */
const drawn = (
  readings: readonly Reading[],
  treatments: readonly string[],
  isPrimary: (reading: Reading) => boolean,
): ReadonlySet<string> => {
  const ranked = [
    ...readings.filter(isPrimary),
    ...readings.filter((one) => !isPrimary(one) && one.declared !== undefined),
    ...readings.filter((one) => one.declared === undefined),
  ];
  const keys = ranked.flatMap(({ name }) => treatments.map((variant) => JSON.stringify([name, variant])));
  return new Set(keys.slice(0, seriesMax));
};

const seriesOf = (
  reading: Reading,
  input: AnalysisInput,
  variant: string,
  days: readonly CumulativeDay[],
): readonly EffectPoint[] =>
  days.map(({ day, counts }) => {
    const { difference, interval } = sequentialOf(reading, { ...input, ground: within(input.ground, counts) }, variant);
    return {
      day,
      subjects: subjectsIn(counts.arms, variant) + subjectsIn(counts.arms, input.control),
      difference,
      interval,
    };
  });

/** Corrected within each family; the order is that of the contrasts. */
const corrected = (
  pValues: readonly (number | null)[],
  correct: (pValues: readonly number[]) => readonly number[],
): readonly (number | null)[] => {
  const known = correct(pValues.filter((pValue) => pValue !== null));
  let next = 0;
  return pValues.map((pValue) => (pValue === null ? null : (known[next++] ?? null)));
};

/**
 * Every metric that was counted or declared as a ratio, by name.
 *
 * @throws RangeError for counts or sums that no ledger can have
 */
export const analyse = (input: AnalysisInput): Readonly<Record<string, MetricAnalysis>> => {
  const { ground, metrics, treatments, primary: plannedPrimary, afterStart: marks = new Map() } = input;
  const { counts } = ground;
  const readings = readingsOf(input);
  const isPrimary = (reading: Reading): boolean =>
    reading.declared !== undefined &&
    (reading.declared.primary === true || reading.name === plannedPrimary) &&
    changeOf(reading, marks) === undefined;
  const fixed = readings.map((reading) => fixedOf(reading, ground, input));
  const adjusted = new Map<string, number | null>();
  for (const family of [true, false]) {
    const members = readings.flatMap((reading, place) =>
      isPrimary(reading) === family
        ? (fixed[place] ?? []).map(({ variant, pValue }) => ({ key: JSON.stringify([reading.name, variant]), pValue }))
        : [],
    );
    const values = corrected(
      members.map(({ pValue }) => pValue),
      family ? holm : benjaminiHochberg,
    );
    for (const [place, { key }] of members.entries()) adjusted.set(key, values[place] ?? null);
  }
  const days = counts.parts === undefined ? undefined : cumulativeDays(counts.parts.days);
  const inSeries = drawn(readings, treatments, isPrimary);
  const single = counts.parts === undefined ? undefined : withoutSlice(counts, counts.parts.crossovers);
  return Object.fromEntries(
    readings.map((reading, place): readonly [string, MetricAnalysis] => {
      const metric = counts.metrics.find((one) => metricKey(one.metric, one.kind) === reading.keys[0]);
      const shown =
        metric === undefined || reading.kind === "ratio"
          ? undefined
          : outcomeOf(ground, metric, treatments, input.control, input.alpha);
      const closing = closingOf(reading, metrics);
      const change = changeOf(reading, marks);
      const closed: Source | undefined =
        closing === null ? counts : counts.parts?.matured.find(({ to }) => to === closing);
      return [
        reading.name,
        {
          kind: reading.kind,
          primary: isPrimary(reading),
          exploratory: !isPrimary(reading),
          arms: shown?.arms ?? {},
          contrasts: (fixed[place] ?? []).map((contrast) => ({
            ...contrast,
            ...adjustmentOf(reading, input, contrast.variant),
            relativeDifference: relativeOf(reading, input, contrast.variant),
            sequential: sequentialOf(reading, input, contrast.variant),
            adjustedPValue: adjusted.get(JSON.stringify([reading.name, contrast.variant])) ?? null,
            ...(days === undefined || !inSeries.has(JSON.stringify([reading.name, contrast.variant]))
              ? {}
              : { series: seriesOf(reading, input, contrast.variant, days) }),
          })),
          ...(counts.parts === undefined || closed === undefined ? {} : { matured: partOf(reading, closed, input) }),
          ...(single === undefined ? {} : { withoutCrossovers: partOf(reading, single, input) }),
          ...(change === undefined ? {} : { afterStart: change }),
          ...(reading.declared?.missing === "exclude" ? { missing: "exclude" as const } : {}),
        },
      ];
    }),
  );
};
