/** What an experiment has measured: counts from its ledger, judged. */
import { Hono } from "hono";
import * as v from "valibot";
import { ProvisoError } from "../../errors.ts";
import { controlOf, declaredKinds } from "../../experiment.ts";
import { afterStart, changesAfterStart, planInForce } from "../../governance/frozen-plan.ts";
import { presentPlan } from "../../governance/present.ts";
import type { LedgerCounts } from "../../ledger/counts.ts";
import { earlierPlansOf, livePlan } from "../../ledger/plan.ts";
import { limits } from "../../limits.ts";
import { results } from "../../ledger/results.ts";
import { countsOfRun } from "../../ledger/run.ts";
import type { Dependencies, AppEnvironment } from "../dependencies.ts";
import { endpoint } from "../endpoint.ts";
import { loadExperiment } from "../governed.ts";
import { count, digest, FrozenPlan, members, State } from "../openapi/schemas.ts";

const numberOrNull = v.nullable(v.number());
const reason = v.optional(v.string());
const byVariant = v.record(v.string(), v.number());

const SampleRatio = v.object({
  epoch: count,
  planned: byVariant,
  subjects: byVariant,
  chiSquare: v.object({ statistic: numberOrNull, degreesOfFreedom: numberOrNull, pValue: numberOrNull, reason }),
  sequential: v.object({
    logBayesFactor: numberOrNull,
    pValue: numberOrNull,
    looks: count,
    level: v.number(),
    lookAt: v.picklist(["subject", "checkpoint"]),
    mismatch: v.boolean(),
    reason,
  }),
});

const interval = v.nullable(v.tuple([v.number(), v.number()]));

const withoutArms = {
  difference: numberOrNull,
  statistic: numberOrNull,
  pValue: numberOrNull,
  interval,
  degreesOfFreedom: v.optional(v.number()),
  reason,
};

const Contrast = v.object({
  variant: v.string(),
  control: v.string(),
  ...withoutArms,
  epochs: v.optional(v.array(count)),
  leftOut: v.optional(v.array(v.object({ epoch: count, reason: v.string() }))),
});

const Arms = v.record(
  v.string(),
  v.object({
    subjects: count,
    sum: v.number(),
    exactSum: v.optional(v.string()),
    mean: numberOrNull,
    variance: numberOrNull,
  }),
);

const Part = v.object({ subjects: byVariant, contrasts: v.array(Contrast) });

const Outcome = v.object({
  kind: v.picklist(declaredKinds),
  primary: v.boolean(),
  exploratory: v.boolean(),
  arms: Arms,
  contrasts: v.array(
    v.object({
      ...Contrast.entries,
      relativeDifference: v.object({ value: numberOrNull, interval, reason }),
      sequential: v.object({ difference: numberOrNull, interval, pValue: numberOrNull, reason }),
      adjustedPValue: numberOrNull,
      adjusted: v.optional(
        v.pipe(
          v.object({
            ...withoutArms,
            covariate: v.string(),
            slopes: v.array(v.object({ epoch: count, theta: numberOrNull, newSubjects: numberOrNull })),
            varianceReduction: numberOrNull,
          }),
          v.description("CUPED: adjusted by what was known before the first exposure"),
        ),
      ),
      series: v.optional(
        v.pipe(
          v.array(v.object({ day: v.string(), subjects: count, difference: numberOrNull, interval })),
          v.description("Over everybody first exposed up to the end of each day, UTC, with the confidence sequence"),
        ),
      ),
    }),
  ),
  matured: v.optional(Part),
  withoutCrossovers: v.optional(Part),
  missing: v.optional(v.literal("exclude")),
  afterStart: v.optional(v.picklist(changesAfterStart)),
});

const changes = v.record(v.string(), v.picklist(changesAfterStart));

const breakdown = {
  subjects: byVariant,
  deviation: byVariant,
  sampleRatioPValue: numberOrNull,
  outcomes: v.record(v.string(), Arms),
};

const Results = v.object({
  experimentName: v.string(),
  state: State,
  version: count,
  digest,
  epoch: count,
  received: count,
  exposures: count,
  outcomeEvents: count,
  subjects: byVariant,
  repeats: count,
  crossovers: count,
  sampleRatio: v.object({ ...SampleRatio.entries, byEpoch: v.optional(v.array(SampleRatio)) }),
  trustworthy: v.boolean(),
  withheld: v.nullable(v.string()),
  fixedHorizon: v.object({ status: v.picklist(["early", "final"]), fraction: numberOrNull }),
  shards: count,
  recounted: v.number(),
  dropped: count,
  sampleRatioSeries: v.array(v.object({ epoch: count, looks: v.array(v.tuple([v.number(), v.number()])) })),
  days: v.optional(v.array(v.object({ day: v.string(), ...breakdown }))),
  dimensions: v.optional(
    v.array(
      v.object({
        dimension: v.string(),
        value: v.string(),
        ...breakdown,
        afterStart: v.optional(v.picklist(changesAfterStart)),
      }),
    ),
  ),
  plan: v.pipe(v.nullable(FrozenPlan), v.description("The analysis plan as it was frozen at the first start")),
  afterStart: v.pipe(
    v.object({ metrics: changes, dimensions: changes, guardrails: changes }),
    v.description("What is declared otherwise than at the start, by name: shown, and exploratory"),
  ),
  outcomes: v.record(v.string(), Outcome),
  signals: v.array(v.object({ signalType: v.string(), severity: v.string(), message: v.string(), data: members })),
});

/** A look at every subject reads all of them, so a ledger that has too many leaves it out. */
const checkSubjects = ({ arms }: LedgerCounts): void => {
  const subjects = arms.reduce((sum, arm) => sum + arm.subjects, 0);
  if (subjects <= limits.subjectLooks) return;
  throw new ProvisoError(
    "invalid-request",
    `?looks=subject is for up to ${limits.subjectLooks} subjects; there are ${subjects}`,
    {
      errors: [{ path: "?looks", message: "checkpoint" }],
    },
  );
};

export const resultsRoutes = (dependencies: Dependencies) =>
  new Hono<AppEnvironment>().get(
    "/:name/results",
    endpoint(
      dependencies,
      {
        id: "readResults",
        summary: "Counts, sample ratio, outcomes and signals",
        access: "read",
        query: {
          looks: v.optional(
            v.pipe(
              v.picklist(["checkpoint", "subject"], "checkpoint, subject"),
              v.description("When the sequential test looks"),
            ),
            "checkpoint",
          ),
          untrusted: v.optional(
            v.pipe(v.picklist(["show"], "show"), v.description("Show effects that are withheld under a mismatch")),
          ),
        },
        answers: { 200: Results },
      },
      async (context) => {
        const { looks, untrusted } = context.req.valid("query");
        const { ref, loaded } = await loadExperiment(context, dependencies);
        const { state } = loaded.snapshot;
        const measured = state.live ?? state.latest;
        const plan = planInForce(state);
        const { arms: planned } = livePlan(state);
        const earlier = earlierPlansOf(state);
        const counts = await dependencies.ledger(ref).counts({
          plans: [...earlier, { epoch: state.epoch, arms: planned }],
          parts: true,
          ...(looks === "subject" ? { looks } : {}),
        });
        if (looks === "subject") checkSubjects(counts);
        const ofRun = countsOfRun(counts, state);
        return context.json({
          experimentName: ref.experiment,
          state: state.lifecycle,
          version: measured.version,
          digest: measured.digest,
          epoch: state.epoch,
          received: counts.received,
          exposures: counts.exposures,
          outcomeEvents: counts.outcomes,
          shards: counts.shards,
          recounted: counts.recounted,
          dropped: counts.dropped,
          plan: presentPlan(state),
          sampleRatioSeries: ofRun.checkpointLooks.map(({ epoch, series = [] }) => ({ epoch, looks: series })),
          ...results({
            counts: ofRun,
            planned,
            control: controlOf(measured.configuration).key,
            epoch: state.epoch,
            earlier,
            metrics: measured.configuration.metrics ?? [],
            now: dependencies.now(),
            afterStart: afterStart(state),
            ...(plan === undefined ? {} : { plan }),
            ...(state.servingSince === null ? {} : { start: Date.parse(state.servingSince) }),
            ...(untrusted === undefined ? {} : { showUntrusted: true }),
          }),
        });
      },
    ),
  );
