/** Whether shipping a variant rests on a fixed-horizon p value that was read too early. Pure. */
import { plannedShares } from "../evaluation/allocation.ts";
import { controlOf, instantOrDayEnd, type MetricKind } from "../experiment.ts";
import { planInForce } from "../governance/frozen-plan.ts";
import type { ExperimentState } from "../governance/state.ts";
import { sequencesOf, sequenceOptionsOf } from "./auto-stop.ts";
import type { LedgerCounts } from "./counts.ts";
import { type EarlyReading, fixedHorizonOf, peekingWarning, type Signal } from "./crossings.ts";
import { earlierPlansOf, livePlan } from "./plan.ts";
import { results } from "./results.ts";
import { countsOfRun } from "./run.ts";

/** The warning that goes with doing something in favour of these variants. */
const warningOf = (
  claim: string,
  state: ExperimentState,
  counted: LedgerCounts,
  variants: readonly string[],
  now: number,
): Signal | null => {
  const counts = countsOfRun(counted, state);
  const { configuration } = state.live ?? state.latest;
  const { epoch, arms: planned } = livePlan(state);
  const declared = configuration.metrics ?? [];
  const primary = declared.filter((metric) => metric.primary === true);
  const kinds = Object.fromEntries(
    declared.flatMap(({ name, kind }): readonly (readonly [string, MetricKind])[] =>
      kind === "ratio" ? [] : [[name, kind]],
    ),
  );
  const { outcomes, subjects } = results({
    counts,
    planned,
    control: controlOf(configuration).key,
    epoch,
    earlier: earlierPlansOf(state),
    kinds,
  });
  const found = new Map(Object.entries(outcomes));
  const pairs = (primary.length > 0 ? primary : declared).flatMap((metric) =>
    variants.map((variant) => ({ metric, variant })),
  );
  const readings = pairs.flatMap(({ metric, variant }): readonly EarlyReading[] => {
    const fixed = found.get(metric.name)?.contrasts.find((contrast) => contrast.variant === variant);
    const sequence = sequencesOf(state, counts, metric, sequenceOptionsOf(state)).find(
      (contrast) => contrast.variant === variant,
    );
    return fixed === undefined || sequence === undefined
      ? []
      : [{ metric: metric.name, variant, fixedPValue: fixed.pValue, sequential: sequence.sequential }];
  });
  const { schedule } = configuration;
  const plan = planInForce(state);
  const end = plan?.end ?? schedule?.end;
  const horizon = fixedHorizonOf({
    subjects: Object.values(subjects).reduce((sum, count) => sum + count, 0),
    now,
    ...(state.servingSince === null ? {} : { start: Date.parse(state.servingSince) }),
    ...(plan?.sample === undefined ? {} : { plannedSample: plan.sample }),
    ...(end === undefined ? {} : { end: instantOrDayEnd(end) }),
  });
  return peekingWarning(claim, horizon, readings, plan?.alpha);
};

/**
 * The warning that goes with shipping this variant now; null when its metrics claim nothing, when the plan is fulfilled, or
 * when what may be looked at at any time says the same.
 *
 * @param now ms since 1970
 */
export const shippingWarning = (
  state: ExperimentState,
  counts: LedgerCounts,
  variant: string,
  now: number,
): Signal | null => warningOf(`ship ${variant}`, state, counts, [variant], now);

/**
 * The warning that goes with publishing the newest version now: of the arms whose share of the subjects it raises. Null
 * where it raises none, and for the reasons of {@link shippingWarning}.
 *
 * @param now ms since 1970
 */
export const publishingWarning = (state: ExperimentState, counts: LedgerCounts, now: number): Signal | null => {
  if (state.live === null) return null;
  const control = controlOf(state.live.configuration).key;
  const before = new Map(plannedShares(state.live.configuration.variants).map((arm) => [arm.variant, arm.share]));
  const favoured = plannedShares(state.latest.configuration.variants).filter(
    ({ variant, share }) => variant !== control && before.has(variant) && share > (before.get(variant) ?? 0),
  );
  return favoured.length === 0
    ? null
    : warningOf(
        `publish version ${state.latest.version}`,
        state,
        counts,
        favoured.map(({ variant }) => variant),
        now,
      );
};
