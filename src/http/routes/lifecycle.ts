/** The lifecycle of one experiment: where it is, where it can go, where it has been, and asking it to move. */
import { Hono } from "hono";
import * as v from "valibot";
import { byteLength, canonicalJson } from "../../canonical.ts";
import { VariantKeySchema } from "../../experiment.ts";
import { outcomes } from "../../governance/events.ts";
import { StateSchema } from "../../governance/gates/schema.ts";
import { presentTransition } from "../../governance/present.ts";
import { allowedTransitions, pauseModes } from "../../lifecycle.ts";
import { limits } from "../../limits.ts";
import type { Dependencies, AppEnvironment } from "../dependencies.ts";
import { endpoint } from "../endpoint.ts";
import { conditionalOn, execute, loadExperiment } from "../governed.ts";
import { Conclusion, count, digest, Held, members, next, person, Proposal, State, time } from "../openapi/schemas.ts";
import { page } from "../query.ts";

/** Free text that a person gives with a change. */
export const ReasonSchema = v.pipe(
  v.string(),
  v.check((text) => byteLength(text) <= limits.reasonBytes, `at most ${limits.reasonBytes} bytes`),
  v.description(`At most ${limits.reasonBytes} bytes`),
);

export const MetadataSchema = v.pipe(
  v.record(v.string(), v.unknown()),
  v.check(
    (metadata) => byteLength(canonicalJson(metadata)) <= limits.metadataBytes,
    `at most ${limits.metadataBytes} bytes as JSON`,
  ),
  v.description(`At most ${limits.metadataBytes} bytes as JSON`),
);

export const PauseModeSchema = v.pipe(
  v.picklist(pauseModes, pauseModes.join(", ")),
  v.description("To Paused: everybody gets control, or whoever is in stays in and nobody new enters"),
);

/** Open the proposal and wait for approvals, even where the change could be made at once. */
export const ProposeSchema = v.pipe(v.boolean(), v.description("Open the proposal and wait, whatever the gates say"));

/** Refusals that any change can meet. */
export const changeProblems = [
  "gate-rejected",
  "invalid-transition",
  "approval-required",
  "approval-stale",
  "policy-violation",
  "evidence-inconclusive",
  "surface-claimed",
] as const;

const TransitionSchema = v.strictObject({
  targetState: StateSchema,
  reason: v.exactOptional(ReasonSchema),
  metadata: v.exactOptional(MetadataSchema),
  propose: v.exactOptional(ProposeSchema),
  mode: v.exactOptional(PauseModeSchema),
  outcome: v.exactOptional(
    v.pipe(v.picklist(outcomes, outcomes.join(", ")), v.description("To Archived, of an experiment that has run")),
  ),
  variant: v.exactOptional(v.pipe(VariantKeySchema, v.description("What is shipped"))),
});

const Transitions = v.object({
  experimentName: v.string(),
  transitions: v.array(
    v.object({
      seq: count,
      from: State,
      to: State,
      timestamp: time,
      actor: person,
      reason: person,
      version: count,
      digest,
      changeDigest: digest,
      breakGlass: v.exactOptional(v.boolean()),
      mode: v.exactOptional(v.picklist(pauseModes)),
      conclusion: v.exactOptional(Conclusion),
      guardrail: v.exactOptional(members),
      onBehalfOf: v.exactOptional(person),
    }),
  ),
  next,
});

export const Transitioned = v.object({
  experimentName: v.string(),
  revision: count,
  previousState: v.nullable(State),
  newState: State,
  actor: v.string(),
  reason: v.nullable(v.string()),
  timestamp: time,
  proposal: v.nullable(Proposal),
});

export const lifecycleRoutes = (dependencies: Dependencies) => {
  const { store } = dependencies;
  return new Hono<AppEnvironment>()
    .get(
      "/:name/lifecycle/state",
      endpoint(
        dependencies,
        {
          id: "readState",
          summary: "Where the experiment is",
          access: "read",
          answers: {
            200: v.object({ experimentName: v.string(), state: State, allowedTransitions: v.array(State) }),
            304: null,
          },
        },
        async (context) => {
          const { loaded } = await loadExperiment(context, dependencies);
          const { name, lifecycle } = loaded.snapshot.state;
          return conditionalOn(context, loaded.snapshot, {
            experimentName: name,
            state: lifecycle,
            allowedTransitions: allowedTransitions(lifecycle),
          });
        },
      ),
    )
    .get(
      "/:name/lifecycle/allowed-transitions",
      endpoint(
        dependencies,
        {
          id: "readAllowedTransitions",
          summary: "Where the experiment can go",
          access: "read",
          answers: {
            200: v.object({ experimentName: v.string(), currentState: State, allowedTransitions: v.array(State) }),
            304: null,
          },
        },
        async (context) => {
          const { loaded } = await loadExperiment(context, dependencies);
          const { name, lifecycle } = loaded.snapshot.state;
          return conditionalOn(context, loaded.snapshot, {
            experimentName: name,
            currentState: lifecycle,
            allowedTransitions: allowedTransitions(lifecycle),
          });
        },
      ),
    )
    .get(
      "/:name/lifecycle/history",
      endpoint(
        dependencies,
        {
          id: "listTransitions",
          summary: "Where the experiment has been",
          access: "read",
          query: page(),
          answers: { 200: Transitions },
        },
        async (context) => {
          const { ref } = await loadExperiment(context, dependencies);
          const found = await store.history(ref, { ...context.req.valid("query"), types: ["Transitioned"] });
          const transitions = found.events.flatMap((event) =>
            event.type === "Transitioned" ? [presentTransition(event, found.people)] : [],
          );
          return context.json({ experimentName: ref.experiment, transitions, next: found.next });
        },
      ),
    )
    .post(
      "/:name/lifecycle/transition",
      endpoint(
        dependencies,
        {
          id: "transition",
          summary: "Move the experiment to another state",
          description: "202 when a gate holds the change: it waits as a proposal, and is made by asking again.",
          access: "transition",
          command: true,
          body: TransitionSchema,
          answers: { 200: Transitioned, 202: Held },
          problems: changeProblems,
        },
        (context) => {
          const { targetState, ...rest } = context.req.valid("json");
          return execute(context, dependencies, { type: "Transition", to: targetState, ...rest });
        },
      ),
    );
};
