/** Subjects that met another variant than their first, as the Assignment events that say so. */
import { Hono } from "hono";
import * as v from "valibot";
import { limits } from "../../limits.ts";
import type { Dependencies, AppEnvironment } from "../dependencies.ts";
import { endpoint } from "../endpoint.ts";
import { loadExperiment } from "../governed.ts";
import { next, time } from "../openapi/schemas.ts";
import { page } from "../query.ts";

const AssignmentEvent = v.object({
  eventId: v.string(),
  timestamp: time,
  eventType: v.literal("Assignment"),
  schemaVersion: v.string(),
  payload: v.object({
    experimentName: v.string(),
    subjectId: v.string(),
    tenantId: v.string(),
    environment: v.string(),
    previousVariantKey: v.string(),
    newVariantKey: v.string(),
    changeReason: v.string(),
    timestamp: time,
  }),
});

export const assignmentsRoutes = (dependencies: Dependencies) =>
  new Hono<AppEnvironment>().get(
    "/:name/assignments",
    endpoint(
      dependencies,
      {
        id: "listAssignments",
        summary: "Subjects who saw another variant later, as Assignment events",
        access: "read",
        query: page(limits.heavyPageRows),
        answers: { 200: v.object({ experimentName: v.string(), events: v.array(AssignmentEvent), next }) },
      },
      async (context) => {
        const { ref } = await loadExperiment(context, dependencies);
        const found = await dependencies.ledger(ref).crossovers(context.req.valid("query"));
        return context.json({ experimentName: ref.experiment, events: found.events, next: found.next });
      },
    ),
  );
