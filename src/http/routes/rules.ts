/** Published rules of a scope: what the SDK evaluates. They hold nothing that a browser must not see. */
import { Hono } from "hono";
import * as v from "valibot";
import { TargetingSchema } from "../../evaluation/targeting-schema.ts";
import { envelopeTypes } from "../../events/envelope.ts";
import { publishRules, rulesETag } from "../../governance/publish.ts";
import type { Scope } from "../../scope.ts";
import type { Dependencies, AppEnvironment } from "../dependencies.ts";
import { endpoint } from "../endpoint.ts";
import { conditional, conditionalText, knownTags } from "../governed.ts";
import { count, digest, State } from "../openapi/schemas.ts";

const Rule = v.object({
  name: v.string(),
  state: State,
  version: count,
  digest,
  epoch: count,
  hashVersion: v.literal(1),
  salt: v.string(),
  subject: v.string(),
  variants: v.array(
    v.object({ key: v.string(), buckets: count, control: v.boolean(), payload: v.optional(v.unknown()) }),
  ),
  trafficBuckets: count,
  targeting: v.optional(TargetingSchema),
  exclusion: v.exactOptional(v.object({ group: v.string(), slots: v.array(count) })),
  assignmentPolicy: v.string(),
  mode: v.exactOptional(v.literal("stopEnrolment")),
  killed: v.exactOptional(v.boolean()),
  killedVariants: v.exactOptional(v.array(v.string())),
  dimensions: v.exactOptional(v.array(v.string())),
  shipped: v.exactOptional(v.string()),
});

const RuleSet = v.object({
  ruleSetVersion: v.literal(1),
  tenant: v.string(),
  environment: v.string(),
  experiments: v.array(Rule),
  dataPlane: v.optional(
    v.object({
      flushEvents: count,
      flushBytes: count,
      flushIntervalMs: count,
      sampling: v.number(),
      off: v.exactOptional(v.array(v.picklist(envelopeTypes))),
    }),
  ),
});

export const rulesRoutes = (dependencies: Dependencies) => {
  const { store, dataPlane, publishedRules, report } = dependencies;

  /** Merged already, where this host keeps them so; null where it does not, or where they cannot be had. */
  const readPublished = async (
    scope: Scope,
    known: readonly string[],
  ): Promise<{ readonly etag: string; readonly text: string | null } | null> => {
    if (publishedRules === undefined) return null;
    try {
      return await publishedRules(scope, known);
    } catch (error) {
      report(error);
      return null;
    }
  };

  return new Hono<AppEnvironment>().get(
    "/",
    endpoint(
      dependencies,
      {
        id: "readRules",
        summary: "Published rules of a scope, for evaluation",
        access: "evaluate",
        answers: { 200: RuleSet, 304: null },
      },
      async (context) => {
        const scope = context.get("scope");
        const published = await readPublished(scope, knownTags(context));
        if (published !== null) return conditionalText(context, published);
        const listed = await publishRules(store, scope);
        const rules = dataPlane === undefined ? listed : { ...listed, dataPlane };
        return conditional(context, rulesETag(rules), { ...rules });
      },
    ),
  );
};
