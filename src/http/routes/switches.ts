/** Kill switches, and the way past the rules in an emergency. */
import { Hono } from "hono";
import * as v from "valibot";
import { VariantKeySchema } from "../../experiment.ts";
import { StateSchema } from "../../governance/gates/schema.ts";
import type { Dependencies, AppEnvironment } from "../dependencies.ts";
import { endpoint } from "../endpoint.ts";
import { execute } from "../governed.ts";
import { count, Held, Killed, State } from "../openapi/schemas.ts";
import { changeProblems, MetadataSchema, ReasonSchema, Transitioned } from "./lifecycle.ts";
import { Published } from "./publishing.ts";

const SwitchSchema = v.strictObject({
  on: v.pipe(v.boolean(), v.description("true: control is served at once; false: as resuming, it is decided")),
  variant: v.exactOptional(v.pipe(VariantKeySchema, v.description("One treatment; left out: the whole experiment"))),
  reason: v.exactOptional(ReasonSchema),
});

const UrgentReasonSchema = v.pipe(ReasonSchema, v.regex(/\S/, "a reason: blanks are none"));

const BreakGlassSchema = v.union(
  [
    v.strictObject({ targetState: StateSchema, reason: UrgentReasonSchema, metadata: v.exactOptional(MetadataSchema) }),
    v.strictObject({
      version: v.pipe(v.number(), v.integer("a whole number"), v.minValue(1, "1 or more")),
      reason: UrgentReasonSchema,
      metadata: v.exactOptional(MetadataSchema),
    }),
  ],
  "{ targetState, reason } or { version, reason }",
);

const Switched = v.object({
  experimentName: v.string(),
  revision: count,
  state: State,
  killed: Killed,
  epoch: count,
});

export const switchRoutes = (dependencies: Dependencies) =>
  new Hono<AppEnvironment>()
    .post(
      "/:name/kill-switch",
      endpoint(
        dependencies,
        {
          id: "killSwitch",
          summary: "Serve control at once, or serve again",
          access: "transition",
          command: true,
          body: SwitchSchema,
          answers: { 200: Switched, 202: Held },
          problems: changeProblems,
        },
        (context) => {
          const { on, ...target } = context.req.valid("json");
          return execute(context, dependencies, { type: on ? "Kill" : "Revive", ...target });
        },
      ),
    )
    .post(
      "/:name/break-glass",
      endpoint(
        dependencies,
        {
          id: "breakGlass",
          summary: "Make a change past gates and policies",
          description: "Takes one of the roles under `breakGlass` and a reason; the history marks it.",
          access: "breakGlass",
          command: true,
          body: BreakGlassSchema,
          answers: { 200: v.union([Transitioned, Published]) },
          problems: [...changeProblems, "version-not-found"],
        },
        (context) => {
          const asked = context.req.valid("json");
          const { reason, metadata } = asked;
          const how = { breakGlass: true, reason, ...(metadata === undefined ? {} : { metadata }) } as const;
          return "targetState" in asked
            ? execute(context, dependencies, { type: "Transition", to: asked.targetState, ...how })
            : execute(context, dependencies, { type: "Publish", version: asked.version, ...how });
        },
      ),
    );
