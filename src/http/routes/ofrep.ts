/**
 * OpenFeature Remote Evaluation Protocol: evaluation for applications that have an OFREP provider and no SDK of Proviso's.
 * A refusal is a problem document with OFREP's own members besides. Evaluating is not exposing: whoever serves what it
 * answers sends the exposure to `/api/events`.
 */
import { Hono } from "hono";
import * as v from "valibot";
import { digestOf } from "../../canonical.ts";
import { ProvisoError } from "../../errors.ts";
import { type Assign, type Assignment, compileRule, errorAssignment } from "../../evaluation/assign.ts";
import type { ExperimentRule } from "../../evaluation/rule-set.ts";
import { publishRules, ruleOf } from "../../governance/publish.ts";
import { attributesOf, flagMetadata } from "../../openfeature/flag.ts";
import { NameSchema } from "../../scope.ts";
import type { Dependencies, AppEnvironment } from "../dependencies.ts";
import { endpoint } from "../endpoint.ts";
import { conditional } from "../governed.ts";
import { messageOf } from "../../message-of.ts";

const Request = v.object({ context: v.optional(v.record(v.string(), v.unknown())) });

const metadata = v.record(v.string(), v.union([v.string(), v.number(), v.boolean()]));
const Success = v.object({
  key: v.string(),
  reason: v.string(),
  variant: v.string(),
  value: v.unknown(),
  metadata,
});
const Failure = v.object({ key: v.string(), errorCode: v.string(), errorDetails: v.string() });

const compiled = (rule: ExperimentRule): Assign => {
  try {
    return compileRule(rule);
  } catch (error) {
    const failure = errorAssignment(rule.name, "PARSE_ERROR", messageOf(error));
    return () => failure;
  }
};

const evaluate = (assign: Assign, context: Readonly<Record<string, unknown>> = {}): Assignment => {
  const { targetingKey } = context;
  return assign(typeof targetingKey === "string" ? targetingKey : "", attributesOf(context));
};

const success = (assignment: Assignment): v.InferOutput<typeof Success> => ({
  key: assignment.experiment,
  reason: assignment.reason,
  variant: assignment.variant,
  // OFREP does not say which type is asked for: the payload, or else the variant's key.
  value: assignment.payload ?? assignment.variant,
  metadata: flagMetadata(assignment),
});
const failure = ({ experiment, errorCode = "GENERAL", errorMessage = "" }: Assignment) => ({
  key: experiment,
  errorCode,
  errorDetails: errorMessage,
});

export const ofrepRoutes = (dependencies: Dependencies) => {
  const { store } = dependencies;
  return new Hono<AppEnvironment>()
    .post(
      "/evaluate/flags",
      endpoint(
        dependencies,
        {
          id: "evaluateFlags",
          summary: "Evaluate every flag of a scope (OFREP)",
          access: "evaluate",
          body: Request,
          answers: { 200: v.object({ flags: v.array(v.union([Success, Failure])) }), 304: null },
        },
        async (context) => {
          const { context: subject } = context.req.valid("json");
          const { experiments } = await publishRules(store, context.get("scope"));
          const assignments = experiments.map((rule) => evaluate(compiled(rule), subject));
          const flags = assignments.map((assignment) =>
            assignment.errorCode === undefined ? success(assignment) : failure(assignment),
          );
          return conditional(context, `"${digestOf(flags).slice(0, 32)}"`, { flags });
        },
      ),
    )
    .post(
      "/evaluate/flags/:key",
      endpoint(
        dependencies,
        {
          id: "evaluateFlag",
          summary: "Evaluate one flag (OFREP)",
          access: "evaluate",
          body: Request,
          answers: { 200: Success },
          problems: ["not-found"],
        },
        async (context) => {
          const key = context.req.param("key") ?? "";
          const loaded = v.is(NameSchema, key) ? await store.load({ ...context.get("scope"), experiment: key }) : null;
          const rule = loaded === null ? null : ruleOf(loaded.snapshot.state);
          if (rule === null) {
            const errorDetails = "the published rules have no experiment of this name";
            throw new ProvisoError("not-found", errorDetails, { key, errorCode: "FLAG_NOT_FOUND", errorDetails });
          }
          const assignment = evaluate(compiled(rule), context.req.valid("json").context);
          if (assignment.errorCode === undefined) return context.json(success(assignment), 200);
          const failed = failure(assignment);
          throw new ProvisoError("invalid-request", failed.errorDetails, failed);
        },
      ),
    );
};
