/** Making a version live, bringing an old one back, carrying one to another environment. */
import { Hono } from "hono";
import * as v from "valibot";
import { ProvisoError } from "../../errors.ts";
import { StateSchema } from "../../governance/gates/schema.ts";
import { promote } from "../../governance/promote.ts";
import { limits } from "../../limits.ts";
import { NameSchema } from "../../scope.ts";
import { allowScope } from "../access.ts";
import type { Dependencies, AppEnvironment } from "../dependencies.ts";
import { endpoint } from "../endpoint.ts";
import { answerResponse, attemptOf, execute, refOf } from "../governed.ts";
import { readOptionalJson } from "../body.ts";
import { count, digest, Held, Proposal, State } from "../openapi/schemas.ts";
import { changeProblems, MetadataSchema, ProposeSchema, ReasonSchema } from "./lifecycle.ts";
import { Written } from "./versions.ts";

const PublishSchema = v.strictObject({
  reason: v.exactOptional(ReasonSchema),
  metadata: v.exactOptional(MetadataSchema),
  propose: v.exactOptional(ProposeSchema),
});

const PromoteSchema = v.strictObject({
  environment: v.pipe(NameSchema, v.description("Where the version goes, within the same tenant")),
  changeDescription: v.exactOptional(ReasonSchema),
});

const RollBackSchema = v.strictObject({
  targetVersion: v.pipe(
    v.number(),
    v.integer("a whole number"),
    v.minValue(1, "1 or more"),
    v.maxValue(1e9, "a version"),
  ),
  reason: v.exactOptional(ReasonSchema),
  metadata: v.exactOptional(MetadataSchema),
  transition: v.exactOptional(v.pipe(StateSchema, v.description("Move the lifecycle in the same commit"))),
});

export const Published = v.object({
  experimentName: v.string(),
  revision: count,
  state: State,
  liveVersion: v.nullable(count),
  epoch: count,
  actor: v.string(),
});

const RolledBack = v.object({
  experimentName: v.string(),
  revision: count,
  newVersion: count,
  rolledBackFrom: v.nullable(count),
  rolledBackTo: count,
  digest,
  isLive: v.pipe(v.boolean(), v.description("False: it was never approved, and waits like any other content")),
  state: State,
  actor: v.string(),
  reason: v.nullable(v.string()),
  proposal: v.nullable(Proposal),
});

const versionOf = (text: string | undefined): number => {
  if (text !== undefined && /^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new ProvisoError("version-not-found", "there is no version of that number");
};

export const publishingRoutes = (dependencies: Dependencies) =>
  new Hono<AppEnvironment>()
    .post(
      "/:name/versions/rollback",
      endpoint(
        dependencies,
        {
          id: "rollBack",
          summary: "Write a new version with the content of an old one",
          description:
            "Live in the same commit where that content is still approved, past gates and policies; else a draft, with its proposal.",
          access: "transition",
          command: true,
          body: RollBackSchema,
          answers: { 200: RolledBack, 201: RolledBack, 202: Held },
          problems: [...changeProblems, "version-not-found"],
        },
        (context) => execute(context, dependencies, { type: "RollBack", ...context.req.valid("json") }),
      ),
    )
    .post(
      "/:name/versions/:version/publish",
      endpoint(
        dependencies,
        {
          id: "publish",
          summary: "Make the newest version live without leaving the state",
          description: "202 when a gate holds it. The body may be left out.",
          access: "transition",
          command: true,
          rawBody: PublishSchema,
          answers: { 200: Published, 202: Held },
          problems: [...changeProblems, "version-not-found"],
        },
        async (context) => {
          const version = versionOf(context.req.param("version"));
          const asked = await readOptionalJson(PublishSchema, context.req.raw, limits.requestBytes);
          return execute(context, dependencies, { type: "Publish", version, ...asked });
        },
      ),
    )
    .post(
      "/:name/versions/:version/promote",
      endpoint(
        dependencies,
        {
          id: "promote",
          summary: "Carry a version to another environment",
          description: "It is a draft there, with its provenance: the gates of the target apply to all that follows.",
          access: "writeVersion",
          command: true,
          body: PromoteSchema,
          answers: { 201: Written },
          problems: ["version-not-found"],
        },
        async (context) => {
          const ref = refOf(context);
          const { environment, changeDescription } = context.req.valid("json");
          allowScope(context, { tenant: ref.tenant, environment });
          const answer = await promote(
            {
              ref,
              version: versionOf(context.req.param("version")),
              environment,
              ...(changeDescription === undefined ? {} : { changeDescription }),
              ...attemptOf(context, dependencies),
            },
            dependencies.store,
            dependencies.governor,
          );
          return answerResponse(context, { ...ref, environment }, answer);
        },
      ),
    );
