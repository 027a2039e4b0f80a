/** The history as it is stored, and whether it holds together. */
import { Hono } from "hono";
import { ProvisoError } from "../../errors.ts";
import { createVerifier, type Verification } from "../../governance/chain.ts";
import { type EventType, eventTypes } from "../../governance/events.ts";
import type { GovernanceStore } from "../../governance/store.ts";
import { limits } from "../../limits.ts";
import type { ExperimentRef } from "../../scope.ts";
import { allow } from "../access.ts";
import type { AppDependencies, AppEnvironment } from "../dependencies.ts";
import { loadExperiment, pageOf } from "../governed.ts";

const isEventType = (name: string): name is EventType => eventTypes.some((type) => type === name);

const typesOf = (values: readonly string[]): readonly EventType[] =>
  values
    .flatMap((value) => value.split(","))
    .map((name) => {
      if (isEventType(name)) return name;
      throw new ProvisoError("invalid-request", `?types= is a list of ${eventTypes.join(", ")}`, {
        errors: [{ path: "?types", message: eventTypes.join(", ") }],
      });
    });

/** Page by page, so that a long history needs no more memory than a short one. */
const verify = async (store: GovernanceStore, ref: ExperimentRef): Promise<Verification> => {
  const verifier = createVerifier();
  for (let after: number | null = 0; after !== null;) {
    const page: Awaited<ReturnType<GovernanceStore["history"]>> = await store.history(ref, {
      after,
      limit: limits.heavyPageRows,
    });
    verifier.add(page.events);
    after = page.next;
  }
  return verifier.result();
};

export const auditRoutes = (dependencies: AppDependencies): Hono<AppEnvironment> => {
  const { store } = dependencies;
  return new Hono<AppEnvironment>()
    .get("/:name/audit", allow("read", dependencies), async (context) => {
      const { ref } = await loadExperiment(context, dependencies);
      const types = typesOf(context.req.queries("types") ?? []);
      const page = await store.history(ref, {
        ...pageOf(context, limits.heavyPageRows),
        ...(types.length === 0 ? {} : { types }),
      });
      return context.json({
        experimentName: ref.experiment,
        events: page.events,
        people: Object.fromEntries(page.people),
        next: page.next,
      });
    })
    .get("/:name/audit/verify", allow("read", dependencies), async (context) => {
      const { ref } = await loadExperiment(context, dependencies);
      return context.json({ experimentName: ref.experiment, ...(await verify(store, ref)) });
    });
};
