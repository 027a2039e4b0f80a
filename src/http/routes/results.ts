/** What an experiment has measured: counts from its ledger, judged. */
import { Hono } from "hono";
import { ProvisoError } from "../../errors.ts";
import { allocateBuckets } from "../../evaluation/allocation.ts";
import { bucketCount } from "../../evaluation/rule-set.ts";
import { controlOf } from "../../experiment.ts";
import { results } from "../../ledger/results.ts";
import { allow } from "../access.ts";
import type { AppDependencies, AppEnvironment } from "../dependencies.ts";
import { loadExperiment } from "../governed.ts";

const looksOf = (value: string | undefined): "subject" | "checkpoint" => {
  if (value === undefined || value === "checkpoint") return "checkpoint";
  if (value === "subject") return value;
  throw new ProvisoError("invalid-request", "?looks= is subject or checkpoint", {
    errors: [{ path: "?looks", message: "subject, checkpoint" }],
  });
};

export const resultsRoutes = (dependencies: AppDependencies): Hono<AppEnvironment> =>
  new Hono<AppEnvironment>().get("/:name/results", allow("read", dependencies.identity), async (context) => {
    const looks = looksOf(context.req.query("looks"));
    const { ref, loaded } = await loadExperiment(context, dependencies);
    const { state } = loaded.snapshot;
    const measured = state.live ?? state.latest;
    const { variants } = measured.configuration;
    const buckets = allocateBuckets(variants.map((variant) => variant.weight));
    const planned = variants.map((variant, index) => ({
      variant: variant.key,
      share: (buckets[index] ?? 0) / bucketCount,
    }));
    const counts = await dependencies.ledger(ref).counts(looks === "subject" ? { looks, planned } : {});
    return context.json({
      experimentName: ref.experiment,
      state: state.lifecycle,
      version: measured.version,
      digest: measured.digest,
      epoch: state.epoch,
      received: counts.received,
      exposures: counts.exposures,
      outcomeEvents: counts.outcomes,
      ...results({ counts, planned, control: controlOf(measured.configuration).key, epoch: state.epoch }),
    });
  });
