/** What an experiment has measured: counts from its ledger, judged. */
import { Hono } from "hono";
import { ProvisoError } from "../../errors.ts";
import { plannedShares } from "../../evaluation/allocation.ts";
import { controlOf } from "../../experiment.ts";
import type { LedgerCounts } from "../../ledger/counts.ts";
import { plannedVariants } from "../../governance/evolve.ts";
import { limits } from "../../limits.ts";
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

export const resultsRoutes = (dependencies: AppDependencies): Hono<AppEnvironment> =>
  new Hono<AppEnvironment>().get("/:name/results", allow("read", dependencies), async (context) => {
    const looks = looksOf(context.req.query("looks"));
    const { ref, loaded } = await loadExperiment(context, dependencies);
    const { state } = loaded.snapshot;
    const measured = state.live ?? state.latest;
    const planned = plannedShares(plannedVariants(measured.configuration, state.killed.variants));
    const earlier = state.earlierPlans.map(({ epoch, variants }) => ({ epoch, arms: plannedShares(variants) }));
    const counts = await dependencies.ledger(ref).counts({
      plans: [...earlier, { epoch: state.epoch, arms: planned }],
      ...(looks === "subject" ? { looks } : {}),
    });
    if (looks === "subject") checkSubjects(counts);
    const kinds = Object.fromEntries((measured.configuration.metrics ?? []).map(({ name, kind }) => [name, kind]));
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
  });
