/** From the state of an experiment and its counts to every signal that holds. Pure. */
import { controlOf, type DeclaredMetric } from "../experiment.ts";
import { afterStart, planInForce } from "../governance/frozen-plan.ts";
import type { ExperimentState } from "../governance/state.ts";
import { powerReached } from "../science/power.ts";
import { sequenceOptionsOf, sequencesOf } from "./auto-stop.ts";
import type { LedgerCounts } from "./counts.ts";
import { type ContrastReading, type CustomSignal, type Signal, signalsHolding } from "./crossings.ts";
import { momentsOf, parseDecimal } from "./decimal.ts";
import { groundOf, subjectsIn } from "./ground.ts";
import { earlierPlansOf, livePlan } from "./plan.ts";
import { countsOfRun } from "./run.ts";
import { sampleRatioOf } from "./sample-ratio.ts";
import { outcomesOff } from "./unnamed.ts";

/** Power by now of the effect that was declared, never of the one that is observed. */
const powerOf = (
  state: ExperimentState,
  counts: LedgerCounts,
  metric: DeclaredMetric,
  { variant, epoch }: ContrastReading,
): number | null => {
  const plan = planInForce(state);
  const effect = metric.minimumDetectableEffect ?? (plan?.primary === metric.name ? plan.effect : undefined);
  if (effect === undefined) return null;
  const control = controlOf((state.live ?? state.latest).configuration).key;
  const total = counts.metrics
    .find((one) => one.metric === metric.name && one.kind === metric.kind)
    ?.arms.find((arm) => arm.variant === control && arm.epoch === epoch);
  const controlSubjects = subjectsIn(counts.arms, control, epoch);
  if (total === undefined) return null;
  const { variance } = momentsOf(controlSubjects, parseDecimal(total.sum), parseDecimal(total.sumOfSquares));
  return powerReached({
    effect,
    controlVariance: variance,
    variantSubjects: subjectsIn(counts.arms, variant, epoch),
    controlSubjects,
    ...(plan === undefined ? {} : { alpha: plan.alpha }),
  });
};

/**
 * Every signal that holds for a serving experiment. Under a sample ratio mismatch that is said, and nothing of an effect,
 * nor where outcomes are off: what cannot be trusted concludes nothing. A metric that was declared or changed after the
 * start raises none.
 *
 * @param custom what the host wants to be told of besides
 * @example signalsOf(state, counts).map(({ signalType }) => signalType) // ["SequentialCheckpoint", "MinimumSampleReached"]
 */
export const signalsOf = (
  state: ExperimentState,
  counted: LedgerCounts,
  custom: readonly CustomSignal[] = [],
): readonly Signal[] => {
  const counts = countsOfRun(counted, state);
  const { epoch, arms: planned } = livePlan(state);
  const ground = groundOf(counts, planned, epoch, earlierPlansOf(state));
  const sampleRatios = ground.epochs.map((one) => sampleRatioOf(ground, one));
  const plan = planInForce(state);
  const marks = afterStart(state).metrics;
  const metrics = ((state.live ?? state.latest).configuration.metrics ?? []).filter(
    ({ name, kind }) => kind !== "ratio" && !marks.has(name),
  );
  const untrusted = outcomesOff(counts) !== undefined || sampleRatios.some(({ sequential }) => sequential.mismatch);
  const contrasts = untrusted
    ? []
    : metrics.flatMap((metric) =>
        sequencesOf(state, counts, metric, sequenceOptionsOf(state)).map((contrast) => ({
          ...contrast,
          primary: contrast.primary || plan?.primary === metric.name,
          power: powerOf(state, counts, metric, contrast),
        })),
      );
  return signalsHolding({
    sampleRatios,
    contrasts,
    subjects: counts.arms.reduce((sum, { subjects }) => sum + subjects, 0),
    crossovers: counts.crossovers,
    custom,
    ...(plan?.sample === undefined ? {} : { plannedSample: plan.sample }),
  });
};
