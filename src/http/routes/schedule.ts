/** Changes that wait for their time. They are decided when it comes, by the rules of then. */
import { Hono } from "hono";
import * as v from "valibot";
import { VariantKeySchema } from "../../experiment.ts";
import { outcomes } from "../../governance/events.ts";
import { StateSchema } from "../../governance/gates/schema.ts";
import { presentSchedule } from "../../governance/present.ts";
import { limits } from "../../limits.ts";
import type { Dependencies, AppEnvironment } from "../dependencies.ts";
import { endpoint } from "../endpoint.ts";
import { conditionalOn, execute, loadExperiment } from "../governed.ts";
import { count, Proposal, ScheduledChange, State } from "../openapi/schemas.ts";
import { PauseModeSchema, ReasonSchema } from "./lifecycle.ts";

const ScheduleSchema = v.strictObject({
  changes: v.pipe(
    v.array(
      v.strictObject({
        at: v.pipe(
          v.string(),
          v.isoTimestamp("a time with its zone, such as 2026-12-01T09:00:00Z"),
          v.check((text) => !Number.isNaN(Date.parse(text)), "a time that exists"),
        ),
        targetState: StateSchema,
        outcome: v.exactOptional(v.picklist(outcomes, outcomes.join(", "))),
        variant: v.exactOptional(VariantKeySchema),
        mode: v.exactOptional(PauseModeSchema),
      }),
    ),
    v.minLength(1, "at least one change; DELETE clears the schedule"),
    v.maxLength(limits.scheduledChanges, `at most ${limits.scheduledChanges} changes`),
  ),
  reason: v.exactOptional(ReasonSchema),
});

const Scheduled = v.object({
  experimentName: v.string(),
  revision: count,
  state: State,
  schedule: v.array(ScheduledChange),
  proposals: v.pipe(v.array(Proposal), v.description("What can be approved for these times already")),
});

export const scheduleRoutes = (dependencies: Dependencies) =>
  new Hono<AppEnvironment>()
    .get(
      "/:name/schedule",
      endpoint(
        dependencies,
        {
          id: "readSchedule",
          summary: "What waits for its time",
          access: "read",
          answers: { 200: v.object({ experimentName: v.string(), schedule: v.array(ScheduledChange) }), 304: null },
        },
        async (context) => {
          const { ref, loaded } = await loadExperiment(context, dependencies);
          return conditionalOn(context, loaded.snapshot, {
            experimentName: ref.experiment,
            schedule: presentSchedule(loaded.snapshot.state, loaded.people),
          });
        },
      ),
    )
    .put(
      "/:name/schedule",
      endpoint(
        dependencies,
        {
          id: "schedule",
          summary: "Replace what waits for its time",
          access: "transition",
          command: true,
          body: ScheduleSchema,
          answers: { 200: Scheduled },
          problems: ["invalid-transition"],
        },
        (context) => {
          const { changes, reason } = context.req.valid("json");
          return execute(context, dependencies, {
            type: "Schedule",
            changes: changes.map(({ targetState, ...rest }) => ({ to: targetState, ...rest })),
            ...(reason === undefined ? {} : { reason }),
          });
        },
      ),
    )
    .delete(
      "/:name/schedule",
      endpoint(
        dependencies,
        {
          id: "unschedule",
          summary: "Nothing waits for its time any more",
          access: "transition",
          command: true,
          answers: { 200: Scheduled },
        },
        (context) => execute(context, dependencies, { type: "Schedule", changes: [] }),
      ),
    );
