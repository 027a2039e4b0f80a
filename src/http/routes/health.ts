/** Whether this deployment can do its work; public, so it names dependencies and nothing of their insides. */
import { Hono } from "hono";
import * as v from "valibot";
import type { Dependencies, AppEnvironment } from "../dependencies.ts";
import { endpoint } from "../endpoint.ts";

/** `degraded`: the deployment does its work, and somebody does not hear of it. */
const Status = v.picklist(["healthy", "degraded", "unhealthy"]);
const Health = v.object({
  status: Status,
  dependencies: v.record(v.string(), Status),
  /** What a dependency could not find out about itself, in sentences. */
  notes: v.exactOptional(v.record(v.string(), v.array(v.string()))),
});

export const healthRoutes = (dependencies: Dependencies) => {
  const { store, report, troubled = () => Promise.resolve([]) } = dependencies;
  const subscribersInTrouble = (): Promise<readonly string[]> =>
    troubled().catch((error: unknown) => {
      report(error);
      return [];
    });
  return new Hono<AppEnvironment>().get(
    "/health",
    endpoint(
      dependencies,
      {
        id: "checkHealth",
        summary: "Whether the deployment can do its work",
        access: "public",
        answers: { 200: Health, 503: Health },
      },
      async (context) => {
        const notes = await store.check().then(
          (found) => [...(found ?? [])],
          (error: unknown) => {
            report(error);
            return null;
          },
        );
        const storeStatus = notes === null ? "unhealthy" : "healthy";
        const behind = await subscribersInTrouble();
        // A load balancer must not take a deployment away because somebody's webhook is dead.
        const status = storeStatus === "healthy" && behind.length > 0 ? "degraded" : storeStatus;
        const subscribers = Object.fromEntries(behind.map((name) => [name, "degraded" as const]));
        const noted = notes === null || notes.length === 0 ? {} : { notes: { [store.name]: notes } };
        return context.json(
          { status, dependencies: { [store.name]: storeStatus, ...subscribers }, ...noted },
          storeStatus === "healthy" ? 200 : 503,
        );
      },
    ),
  );
};
