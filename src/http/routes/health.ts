/** Whether this deployment can do its work; public, so it names dependencies and nothing of their insides. */
import { Hono } from "hono";
import * as v from "valibot";
import type { Dependencies, AppEnvironment } from "../dependencies.ts";
import { endpoint } from "../endpoint.ts";

const Status = v.picklist(["healthy", "unhealthy"]);
const Health = v.object({ status: Status, dependencies: v.record(v.string(), Status) });

export const healthRoutes = (dependencies: Dependencies) => {
  const { store, report } = dependencies;
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
        const storeStatus = await store.check().then(
          () => "healthy",
          (error: unknown) => {
            report(error);
            return "unhealthy";
          },
        );
        return context.json(
          { status: storeStatus, dependencies: { [store.name]: storeStatus } },
          storeStatus === "healthy" ? 200 : 503,
        );
      },
    ),
  );
};
