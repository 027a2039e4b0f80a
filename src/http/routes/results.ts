/** What an experiment has measured: counts from its ledger, judged. */
import { Hono } from "hono";
import * as v from "valibot";
import { ProvisoError } from "../../errors.ts";
import { controlOf, metricKinds } from "../../experiment.ts";
import type { LedgerCounts } from "../../ledger/counts.ts";
import { earlierPlansOf, livePlan } from "../../ledger/plan.ts";
import { limits } from "../../limits.ts";
import { results } from "../../ledger/results.ts";
import type { Dependencies, AppEnvironment } from "../dependencies.ts";
import { endpoint } from "../endpoint.ts";
import { loadExperiment } from "../governed.ts";
import { count, digest, members, State } from "../openapi/schemas.ts";

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

const Contrast = v.object({
  variant: v.string(),
  control: v.string(),
  difference: numberOrNull,
  statistic: numberOrNull,
  pValue: numberOrNull,
  interval: v.nullable(v.tuple([v.number(), v.number()])),
  degreesOfFreedom: v.optional(v.number()),
  reason,
  epochs: v.optional(v.array(count)),
  leftOut: v.optional(v.array(v.object({ epoch: count, reason: v.string() }))),
});

const Outcome = v.object({
  kind: v.picklist(metricKinds),
  arms: v.record(
    v.string(),
    v.object({
      subjects: count,
      sum: v.number(),
      exactSum: v.optional(v.string()),
      mean: numberOrNull,
      variance: numberOrNull,
    }),
  ),
  contrasts: v.array(Contrast),
});

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
        },
        answers: { 200: Results },
      },
      async (context) => {
        const { looks } = context.req.valid("query");
        const { ref, loaded } = await loadExperiment(context, dependencies);
        const { state } = loaded.snapshot;
        const measured = state.live ?? state.latest;
        const { arms: planned } = livePlan(state);
        const earlier = earlierPlansOf(state);
        const counts = await dependencies.ledger(ref).counts({
          plans: [...earlier, { epoch: state.epoch, arms: planned }],
          ...(looks === "subject" ? { looks } : {}),
        });
        if (looks === "subject") checkSubjects(counts);
        const kinds = Object.fromEntries(
          (measured.configuration.metrics ?? []).flatMap(({ name, kind }) => (kind === "ratio" ? [] : [[name, kind]])),
        );
        return context.json({
          experimentName: ref.experiment,
          state: state.lifecycle,
          version: measured.version,
          digest: measured.digest,
          epoch: state.epoch,
          received: counts.received,
          exposures: counts.exposures,
          outcomeEvents: counts.outcomes,
          ...results({
            counts,
            planned,
            control: controlOf(measured.configuration).key,
            epoch: state.epoch,
            earlier,
            kinds,
          }),
        });
      },
    ),
  );
