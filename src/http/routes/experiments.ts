/** The list of experiments, and one experiment as a whole. */
import { Hono } from "hono";
import * as v from "valibot";
import { presentSnapshot } from "../../governance/present.ts";
import { surfacesOf } from "../../governance/store.ts";
import { lifecycleStates, parseState, pauseModes } from "../../lifecycle.ts";
import { limits } from "../../limits.ts";
import type { Dependencies, AppEnvironment } from "../dependencies.ts";
import { endpoint } from "../endpoint.ts";
import { conditionalOn, loadExperiment, viewOf } from "../governed.ts";
import {
  Conclusion,
  Configuration,
  count,
  digest,
  FrozenPlan,
  Killed,
  person,
  Proposal,
  Ramp,
  ScheduledChange,
  State,
  time,
} from "../openapi/schemas.ts";
import { listOf, page, text } from "../query.ts";

const Experiments = v.object({
  experiments: v.array(
    v.object({
      experimentName: v.string(),
      state: State,
      latestVersion: count,
      liveVersion: v.nullable(count),
      surfaces: v.array(v.string()),
      revision: count,
      createdAt: time,
      updatedAt: time,
    }),
  ),
  next: v.nullable(v.string()),
});

const Snapshot = v.object({
  experimentName: v.string(),
  tenant: v.string(),
  environment: v.string(),
  state: State,
  allowedTransitions: v.array(State),
  blockedBy: v.pipe(
    v.record(v.string(), v.array(v.string())),
    v.description("What stands between the asker and each allowed transition; policies look only when it is tried"),
  ),
  latestVersion: count,
  liveVersion: v.nullable(count),
  digest,
  liveDigest: v.nullable(digest),
  epoch: count,
  configuration: Configuration,
  proposals: v.array(Proposal),
  surfaces: v.array(v.string()),
  traffic: v.pipe(v.number(), v.description("Percent of eligible subjects that treatments reach now")),
  ramp: v.nullable(Ramp),
  schedule: v.nullable(v.array(ScheduledChange)),
  paused: v.nullable(v.object({ mode: v.picklist(pauseModes) })),
  killed: Killed,
  conclusion: v.nullable(Conclusion),
  plan: v.pipe(v.nullable(FrozenPlan), v.description("The analysis plan, frozen at the first start; null before it")),
  revision: count,
  createdAt: time,
  updatedAt: time,
  updatedBy: person,
});

export const experimentRoutes = (dependencies: Dependencies) => {
  const { store } = dependencies;
  return new Hono<AppEnvironment>()
    .get(
      "/",
      endpoint(
        dependencies,
        {
          id: "listExperiments",
          summary: "Experiments of a scope, by name",
          access: "read",
          query: {
            state: listOf(lifecycleStates, "Only those in one of these states", parseState),
            surface: text("Only the one that holds this surface", limits.nameCharacters),
            cursor: text("`next` of the last page", 1_024),
            limit: page(limits.heavyPageRows).limit,
          },
          answers: { 200: Experiments },
        },
        async (context) => {
          const { state: states, surface, cursor, limit } = context.req.valid("query");
          const found = await store.list(context.get("scope"), {
            limit,
            ...(states.length === 0 ? {} : { states }),
            ...(surface === undefined ? {} : { surface }),
            ...(cursor === undefined ? {} : { cursor }),
          });
          return context.json({
            experiments: found.items.map(({ snapshot: { state, revision } }) => ({
              experimentName: state.name,
              state: state.lifecycle,
              latestVersion: state.latest.version,
              liveVersion: state.live?.version ?? null,
              surfaces: surfacesOf(state.claims),
              revision,
              createdAt: state.createdAt,
              updatedAt: state.updatedAt,
            })),
            next: found.next,
          });
        },
      ),
    )
    .get(
      "/:name",
      endpoint(
        dependencies,
        {
          id: "readExperiment",
          summary: "One experiment, as the asker sees it",
          access: "read",
          answers: { 200: Snapshot, 304: null },
        },
        async (context) => {
          const { ref, loaded } = await loadExperiment(context, dependencies);
          return conditionalOn(
            context,
            loaded.snapshot,
            presentSnapshot(loaded.snapshot, viewOf(context, dependencies, ref, loaded)),
          );
        },
      ),
    );
};
