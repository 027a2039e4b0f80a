/** The lifecycle of one experiment: where it is, where it can go, where it has been, and asking it to move. */
import { Hono } from "hono";
import * as v from "valibot";
import { byteLength, canonicalJson } from "../../canonical.ts";
import { StateSchema } from "../../governance/gates/schema.ts";
import { presentTransition } from "../../governance/present.ts";
import { allowedTransitions } from "../../lifecycle.ts";
import { limits } from "../../limits.ts";
import { allow } from "../access.ts";
import { readJson } from "../body.ts";
import type { AppDependencies, AppEnvironment } from "../dependencies.ts";
import { conditionalOn, execute, loadExperiment, pageOf } from "../governed.ts";

/** Free text that a person gives with a change. */
export const ReasonSchema = v.pipe(
  v.string(),
  v.check((text) => byteLength(text) <= limits.reasonBytes, `at most ${limits.reasonBytes} bytes`),
);

const MetadataSchema = v.pipe(
  v.record(v.string(), v.unknown()),
  v.check(
    (metadata) => byteLength(canonicalJson(metadata)) <= limits.metadataBytes,
    `at most ${limits.metadataBytes} bytes as JSON`,
  ),
);

const TransitionSchema = v.strictObject({
  targetState: StateSchema,
  reason: v.exactOptional(ReasonSchema),
  metadata: v.exactOptional(MetadataSchema),
});

export const lifecycleRoutes = (dependencies: AppDependencies): Hono<AppEnvironment> => {
  const { store } = dependencies;
  return new Hono<AppEnvironment>()
    .get("/:name/lifecycle/state", allow("read", dependencies), async (context) => {
      const { loaded } = await loadExperiment(context, dependencies);
      const { name, lifecycle } = loaded.snapshot.state;
      return conditionalOn(context, loaded.snapshot, {
        experimentName: name,
        state: lifecycle,
        allowedTransitions: allowedTransitions(lifecycle),
      });
    })
    .get("/:name/lifecycle/allowed-transitions", allow("read", dependencies), async (context) => {
      const { loaded } = await loadExperiment(context, dependencies);
      const { name, lifecycle } = loaded.snapshot.state;
      return conditionalOn(context, loaded.snapshot, {
        experimentName: name,
        currentState: lifecycle,
        allowedTransitions: allowedTransitions(lifecycle),
      });
    })
    .get("/:name/lifecycle/history", allow("read", dependencies), async (context) => {
      const { ref } = await loadExperiment(context, dependencies);
      const page = await store.history(ref, { ...pageOf(context), types: ["Transitioned"] });
      const transitions = page.events.flatMap((event) =>
        event.type === "Transitioned" ? [presentTransition(event, page.people)] : [],
      );
      return context.json({ experimentName: ref.experiment, transitions, next: page.next });
    })
    .post("/:name/lifecycle/transition", allow("transition", dependencies), async (context) => {
      const { targetState, ...rest } = await readJson(TransitionSchema, context.req.raw, limits.requestBytes);
      return execute(context, dependencies, { type: "Transition", to: targetState, ...rest });
    });
};
