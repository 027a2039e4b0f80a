/** Ramps: starting one, its next step, staying where it is, ending it. */
import { Hono } from "hono";
import * as v from "valibot";
import { limits } from "../../limits.ts";
import { readOptionalJson } from "../body.ts";
import type { Dependencies, AppEnvironment } from "../dependencies.ts";
import { endpoint } from "../endpoint.ts";
import { execute } from "../governed.ts";
import { count, Held, Ramp, State } from "../openapi/schemas.ts";
import { changeProblems, ReasonSchema, Transitioned } from "./lifecycle.ts";

const ReasonedSchema = v.strictObject({ reason: v.exactOptional(ReasonSchema) });

const Ramped = v.object({
  experimentName: v.string(),
  revision: count,
  action: v.picklist(["hold", "advance", "abort"]),
  state: State,
  ramp: v.nullable(Ramp),
});

export const rampRoutes = (dependencies: Dependencies) => {
  const act = <const Action extends "hold" | "advance" | "abort">(action: Action, summary: string) =>
    endpoint(
      dependencies,
      {
        id: `${action}Ramp`,
        summary,
        description: "The body may be left out.",
        access: "transition",
        command: true,
        rawBody: ReasonedSchema,
        answers: { 200: Ramped, 202: Held },
        problems: changeProblems,
      },
      async (context) => {
        const asked = await readOptionalJson(ReasonedSchema, context.req.raw, limits.requestBytes);
        return execute(context, dependencies, { type: "Ramp", action, ...asked });
      },
    );
  return new Hono<AppEnvironment>()
    .post(
      "/:name/ramp/start",
      endpoint(
        dependencies,
        {
          id: "startRamp",
          summary: "Begin the ramp: the move to Ramping",
          description: "The body may be left out.",
          access: "transition",
          command: true,
          rawBody: ReasonedSchema,
          answers: { 200: Transitioned, 202: Held },
          problems: changeProblems,
        },
        async (context) => {
          const asked = await readOptionalJson(ReasonedSchema, context.req.raw, limits.requestBytes);
          return execute(context, dependencies, { type: "Transition", to: "Ramping", ...asked });
        },
      ),
    )
    .post("/:name/ramp/hold", act("hold", "Stay at the present step until somebody advances it"))
    .post("/:name/ramp/advance", act("advance", "Ask for the next step now; after the last one, for Running"))
    .post("/:name/ramp/abort", act("abort", "Pause, and forget the step"));
};
