/** The history as it is stored, and whether it holds together. */
import { Hono } from "hono";
import * as v from "valibot";
import { checkHistory } from "../../governance/check-history.ts";
import { eventTypes } from "../../governance/events.ts";
import { actorKinds } from "../../governance/gates/schema.ts";
import { limits } from "../../limits.ts";
import type { Dependencies, AppEnvironment } from "../dependencies.ts";
import { endpoint } from "../endpoint.ts";
import { loadExperiment } from "../governed.ts";
import { count, digest, members, next, time } from "../openapi/schemas.ts";
import { listOf, page } from "../query.ts";

const Event = v.object({
  v: v.literal(1),
  seq: count,
  id: v.string(),
  type: v.picklist(eventTypes),
  at: time,
  actor: v.object({ ref: digest, kind: v.picklist(actorKinds), roles: v.array(v.string()) }),
  data: members,
  prevHash: digest,
  hash: digest,
});

const Audit = v.object({
  experimentName: v.string(),
  events: v.array(Event),
  people: v.pipe(
    v.record(v.string(), v.string()),
    v.description("Values of the references in these events; erased ones are missing"),
  ),
  next,
});

const Verified = v.object({
  experimentName: v.string(),
  valid: v.boolean(),
  length: count,
  head: v.nullable(v.object({ seq: count, hash: digest, at: v.optional(time) })),
  firstInvalid: v.nullable(count),
  checkpoint: v.pipe(
    v.nullable(v.object({ keyId: v.string(), checked: v.boolean() })),
    v.description("The key that the checkpoint says to be signed by, and whether that was checked"),
  ),
  from: v.pipe(count, v.description("Where the history begins: 0, or the place of a checkpoint")),
});

export const auditRoutes = (dependencies: Dependencies) => {
  const { store, signer } = dependencies;
  return new Hono<AppEnvironment>()
    .get(
      "/:name/audit",
      endpoint(
        dependencies,
        {
          id: "listEvents",
          summary: "The history as it is stored",
          access: "read",
          query: { ...page(limits.heavyPageRows), types: listOf(eventTypes, "Only events of these types") },
          answers: { 200: Audit },
        },
        async (context) => {
          const { ref } = await loadExperiment(context, dependencies);
          const { types, ...range } = context.req.valid("query");
          const found = await store.history(ref, { ...range, ...(types.length === 0 ? {} : { types }) });
          return context.json({
            experimentName: ref.experiment,
            events: found.events,
            people: Object.fromEntries(found.people),
            next: found.next,
          });
        },
      ),
    )
    .get(
      "/:name/audit/verify",
      endpoint(
        dependencies,
        {
          id: "verifyHistory",
          summary: "Whether the hash chain of the history holds",
          access: "read",
          answers: { 200: Verified },
        },
        async (context) => {
          const { ref } = await loadExperiment(context, dependencies);
          return context.json({
            experimentName: ref.experiment,
            ...(await checkHistory(store, ref, await signer?.())),
          });
        },
      ),
    );
};
