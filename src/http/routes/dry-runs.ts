/** What gates and policies say: of a move that nobody has made, and of those that were tried. */
import { Hono } from "hono";
import * as v from "valibot";
import { ProvisoError } from "../../errors.ts";
import type { DryRun } from "../../governance/dry-run.ts";
import type { EventRecord } from "../../governance/events.ts";
import { StateSchema } from "../../governance/gates/schema.ts";
import { personOf } from "../../governance/present.ts";
import { presentPolicyResult } from "../../governance/policies/policy.ts";
import { limits } from "../../limits.ts";
import { readOptionalJson } from "../body.ts";
import type { Dependencies, AppEnvironment } from "../dependencies.ts";
import { endpoint } from "../endpoint.ts";
import { loadExperiment, type RouteContext, refOf } from "../governed.ts";
import { count, Evaluation, members, next, person, State, time } from "../openapi/schemas.ts";
import { page } from "../query.ts";
import { MetadataSchema } from "./lifecycle.ts";

const share = v.pipe(v.number(), v.minValue(0, "0 to 1"), v.maxValue(1, "0 to 1"));

const DryRunSchema = v.strictObject({
  currentState: v.exactOptional(v.pipe(StateSchema, v.description("As if the experiment were there"))),
  targetState: v.exactOptional(v.pipe(StateSchema, v.description("Left out: the first state it could go to"))),
  telemetry: v.exactOptional(
    v.pipe(
      v.strictObject({
        exposed: v.exactOptional(v.pipe(v.number(), v.integer("a whole number"), v.minValue(0, "0 or more"))),
        worstErrorRate: v.exactOptional(share),
        worstVariant: v.exactOptional(v.nullable(v.string())),
      }),
      v.description("Stands in for a ledger that cannot be read, and never overrides one that can"),
    ),
  ),
  metadata: v.exactOptional(MetadataSchema),
});

const moved = { currentState: State, targetState: v.nullable(State) };

const Approval = v.object({
  experimentName: v.string(),
  ...moved,
  isApproved: v.boolean(),
  evaluations: v.array(v.object({ gate: v.string(), satisfied: v.boolean(), missing: v.exactOptional(v.string()) })),
  unapproved: v.pipe(v.nullable(v.string()), v.description("Why the content may not serve")),
});

const Compliance = v.object({
  experimentName: v.string(),
  ...moved,
  allCriticalPoliciesCompliant: v.boolean(),
  evaluations: v.array(Evaluation),
});

const Evaluations = v.object({
  experimentName: v.string(),
  evaluations: v.array(
    v.object({
      seq: count,
      type: v.string(),
      outcome: v.pipe(v.string(), v.description("`committed`, or the code of the refusal")),
      from: State,
      to: State,
      actor: person,
      timestamp: time,
      policies: v.array(v.object({ ...Evaluation.entries, evidence: members })),
    }),
  ),
  next,
});

const decidedTypes = ["Transitioned", "Published", "RampAdvanced", "Revived", "ChangeDenied"] as const;
type Decided = Extract<EventRecord, { type: (typeof decidedTypes)[number] }>;
const isDecided = (event: EventRecord): event is Decided => decidedTypes.some((type) => type === event.type);

const presentDecided = (event: Decided, people: ReadonlyMap<string, string>) => ({
  seq: event.seq,
  type: event.type,
  outcome: event.type === "ChangeDenied" ? event.data.code : "committed",
  from: event.data.from,
  to: event.data.to,
  actor: personOf(people, event.actor.ref),
  timestamp: event.at,
  policies: event.data.policies.map((result) => ({
    ...presentPolicyResult(result, Date.parse(event.at)),
    evidence: result.evidence,
  })),
});

export const dryRunRoutes = (dependencies: Dependencies) => {
  const run = async (context: RouteContext): Promise<DryRun> => {
    const ref = refOf(context);
    const { metadata: _claimed, ...asked } = await readOptionalJson(DryRunSchema, context.req.raw, limits.requestBytes);
    const found = await dependencies.governor(ref).evaluate({ ref, actor: context.get("actor"), ...asked });
    if (found === null) throw new ProvisoError("experiment-not-found", `there is no experiment ${ref.experiment}`);
    return found;
  };
  const dryRun = {
    access: "read",
    rawBody: DryRunSchema,
    description: "Recorded nowhere. The body may be left out.",
  } as const;
  return new Hono<AppEnvironment>()
    .post(
      "/:name/approvals/evaluate",
      endpoint(
        dependencies,
        {
          id: "evaluateApprovals",
          summary: "What the gates would say of a move",
          ...dryRun,
          answers: { 200: Approval },
        },
        async (context) => {
          const { currentState, targetState, isApproved, gates, unapproved } = await run(context);
          const { experiment } = refOf(context);
          return context.json({
            experimentName: experiment,
            currentState,
            targetState,
            isApproved,
            evaluations: gates,
            unapproved,
          });
        },
      ),
    )
    .post(
      "/:name/policies/evaluate",
      endpoint(
        dependencies,
        {
          id: "evaluatePolicies",
          summary: "What the policies would say of a move",
          ...dryRun,
          answers: { 200: Compliance },
        },
        async (context) => {
          const { currentState, targetState, policies } = await run(context);
          return context.json({
            experimentName: refOf(context).experiment,
            currentState,
            targetState,
            allCriticalPoliciesCompliant: policies.every(
              ({ severity, isCompliant }) => severity !== "Critical" || isCompliant === true,
            ),
            evaluations: policies,
          });
        },
      ),
    )
    .get(
      "/:name/policies/evaluations",
      endpoint(
        dependencies,
        {
          id: "listEvaluations",
          summary: "What policies said whenever a change was decided",
          access: "read",
          query: page(),
          answers: { 200: Evaluations },
        },
        async (context) => {
          const { ref } = await loadExperiment(context, dependencies);
          const found = await dependencies.store.history(ref, { ...context.req.valid("query"), types: decidedTypes });
          const evaluations = found.events.filter(isDecided).map((event) => presentDecided(event, found.people));
          return context.json({ experimentName: ref.experiment, evaluations, next: found.next });
        },
      ),
    );
};
