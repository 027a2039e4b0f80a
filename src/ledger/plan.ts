/**
 * What an experiment's authority says of it, as far as counting needs it: which epochs there were and who was to be in
 * them, and which content has served. Whoever may send events can write anything into them; what the authority does not
 * know is not counted, so that no invented name takes room from a real one or looks like a mismatch.
 */
import type { Envelope, Exposure } from "../events/envelope.ts";
import { plannedShares } from "../evaluation/allocation.ts";
import type { DeclaredMetric, Dimension } from "../experiment.ts";
import { plannedVariants } from "../governance/evolve.ts";
import type { ExperimentState } from "../governance/state.ts";
import type { EpochPlan } from "./ground.ts";
import { type MetricSpecs, metricSpecs } from "./metric-spec.ts";

export interface LedgerPlan {
  /** Rises with every change of the experiment's state: of two plans the one with the higher revision is newer. */
  readonly revision: number;
  /** Oldest first; the last one is the live epoch. None before the first start. */
  readonly epochs: readonly EpochPlan[];
  /** The newest version: no event can know a later one. */
  readonly version: number;
  /** Content of this experiment. Not only what has served: what was pulled by a guardrail has, and is not approved. */
  readonly digests: readonly string[];
  /** Of the live content, in its order. */
  readonly metrics: readonly DeclaredMetric[];
  readonly dimensions: readonly Dimension[];
}

/** The planned ratio of the live epoch: of the live content, or of the newest before the first start. */
export const livePlan = ({ epoch, live, latest, killed }: ExperimentState): EpochPlan => ({
  epoch,
  arms: plannedShares(plannedVariants((live ?? latest).configuration, live === null ? [] : killed.variants)),
});

export const earlierPlansOf = ({ earlierPlans }: ExperimentState): readonly EpochPlan[] =>
  earlierPlans.map(({ epoch, variants }) => ({ epoch, arms: plannedShares(variants) }));

/**
 * The plan that a state holds.
 *
 * @example planOf({ revision: 4, state }).epochs.at(-1); // { epoch: 1, arms: [{ variant: "control", share: 0.5 }, …] }
 */
export const planOf = ({
  revision,
  state,
}: {
  readonly revision: number;
  readonly state: ExperimentState;
}): LedgerPlan => {
  const { live, latest, approved, written } = state;
  return {
    revision,
    epochs: live === null ? earlierPlansOf(state) : [...earlierPlansOf(state), livePlan(state)],
    version: latest.version,
    digests: [
      ...new Set([...(live === null ? [] : [live.digest]), ...[...approved, ...written].map(({ digest }) => digest)]),
    ],
    metrics: (live ?? latest).configuration.metrics ?? [],
    dimensions: (live ?? latest).configuration.dimensions ?? [],
  };
};

/** A plan made ready for many questions. */
export interface PlanCheck {
  /** How its events are counted. */
  readonly counting: { readonly metrics: MetricSpecs; readonly dimensions: readonly Dimension[] };
  /** Why the event cannot be counted; undefined when it can. */
  problemOf(event: Envelope): string | undefined;
}

/** Event text is quoted in dead letters, and a digest may be of any length. */
const quoted = (text: string): string => JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);

/**
 * Checks events of one experiment against its plan. An event that names an older known epoch is fine: it counts there.
 *
 * @example planCheck(plan).problemOf(exposure) // "epoch 7 is not an epoch of this experiment"
 */
export const planCheck = ({
  revision,
  epochs,
  digests,
  version: newest,
  metrics,
  dimensions,
}: LedgerPlan): PlanCheck => {
  const arms = new Map(
    epochs.map(({ epoch, arms: planned }) => [epoch, new Set(planned.map(({ variant }) => variant))]),
  );
  const known = new Set(digests);
  const exposureProblem = ({ epoch, variantKey, digest, version }: Exposure): string | undefined => {
    const variants = arms.get(epoch);
    if (variants === undefined)
      return epochs.length === 0
        ? "the experiment has never started"
        : `epoch ${epoch} is no epoch of this experiment, or one of too long ago`;
    if (!variants.has(variantKey)) return `${quoted(variantKey)} is no variant of epoch ${epoch}`;
    if (digest !== undefined && !known.has(digest))
      return `no content of this experiment has the digest ${quoted(digest)}`;
    if (version !== undefined && (version < 1 || version > newest)) return `there is no version ${version}`;
    return undefined;
  };
  const signed = new Set(metrics.filter(({ negative }) => negative === true).map(({ name }) => name));
  return {
    counting: { metrics: metricSpecs(revision, metrics), dimensions },
    problemOf(event) {
      if (event.eventType === "Exposure") return exposureProblem(event.payload);
      if (event.eventType !== "Outcome") return undefined;
      const { kind, value, metric } = event.payload;
      return kind === "continuous" && value < 0 && !signed.has(metric)
        ? `a negative value of ${metric}, which does not say negative: true`
        : undefined;
    },
  };
};
