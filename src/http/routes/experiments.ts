/** The list of experiments, and one experiment as a whole. */
import { Hono } from "hono";
import { ProvisoError } from "../../errors.ts";
import { surfacesOf } from "../../governance/store.ts";
import { lifecycleStates, parseState, type LifecycleState } from "../../lifecycle.ts";
import { limits } from "../../limits.ts";
import { allow } from "../access.ts";
import type { AppDependencies, AppEnvironment } from "../dependencies.ts";
import { conditionalOn, loadExperiment, pageOf, viewOf } from "../governed.ts";
import { presentSnapshot } from "../../governance/present.ts";

const statesOf = (values: readonly string[]): readonly LifecycleState[] =>
  values
    .flatMap((value) => value.split(","))
    .map((name) => {
      const state = parseState(name.trim());
      if (state !== undefined) return state;
      throw new ProvisoError("invalid-request", `?state= is one of ${lifecycleStates.join(", ")}`, {
        errors: [{ path: "?state", message: lifecycleStates.join(", ") }],
      });
    });

export const experimentRoutes = (dependencies: AppDependencies): Hono<AppEnvironment> => {
  const { store } = dependencies;
  return new Hono<AppEnvironment>()
    .get("/", allow("read", dependencies), async (context) => {
      const states = statesOf(context.req.queries("state") ?? []);
      const surface = context.req.query("surface");
      const cursor = context.req.query("cursor");
      const page = await store.list(context.get("scope"), {
        limit: pageOf(context, limits.heavyPageRows).limit,
        ...(states.length === 0 ? {} : { states }),
        ...(surface === undefined ? {} : { surface }),
        ...(cursor === undefined ? {} : { cursor }),
      });
      return context.json({
        experiments: page.items.map(({ snapshot: { state, revision } }) => ({
          experimentName: state.name,
          state: state.lifecycle,
          latestVersion: state.latest.version,
          liveVersion: state.live?.version ?? null,
          surfaces: surfacesOf(state.claims),
          revision,
          createdAt: state.createdAt,
          updatedAt: state.updatedAt,
        })),
        next: page.next,
      });
    })
    .get("/:name", allow("read", dependencies), async (context) => {
      const { ref, loaded } = await loadExperiment(context, dependencies);
      return conditionalOn(
        context,
        loaded.snapshot,
        presentSnapshot(loaded.snapshot, viewOf(context, dependencies, ref, loaded)),
      );
    });
};
