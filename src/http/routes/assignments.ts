/** Subjects that met another variant than their first, as the Assignment events that say so. */
import { Hono } from "hono";
import { limits } from "../../limits.ts";
import { allow } from "../access.ts";
import type { AppDependencies, AppEnvironment } from "../dependencies.ts";
import { loadExperiment, pageOf } from "../governed.ts";

export const assignmentsRoutes = (dependencies: AppDependencies): Hono<AppEnvironment> =>
  new Hono<AppEnvironment>().get("/:name/assignments", allow("read", dependencies), async (context) => {
    const page = pageOf(context, limits.heavyPageRows);
    const { ref } = await loadExperiment(context, dependencies);
    const { events, next } = await dependencies.ledger(ref).crossovers(page);
    return context.json({ experimentName: ref.experiment, events, next });
  });
