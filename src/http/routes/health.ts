/** Whether this deployment can do its work; public, so it names dependencies and nothing of their insides. */
import { Hono } from "hono";
import * as v from "valibot";
import type { Dependencies, AppEnvironment } from "../dependencies.ts";
import { endpoint } from "../endpoint.ts";

const Status = v.picklist(["healthy", "unhealthy"]);
const Health = v.object({
  status: Status,
  dependencies: v.record(v.string(), Status),
  /** What a dependency could not find out about itself, in sentences. */
  notes: v.exactOptional(v.record(v.string(), v.array(v.string()))),
});

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
        const notes = await store.check().then(
          (found) => [...(found ?? [])],
          (error: unknown) => {
            report(error);
            return null;
          },
        );
        const status = notes === null ? "unhealthy" : "healthy";
        const noted = notes === null || notes.length === 0 ? {} : { notes: { [store.name]: notes } };
        return context.json(
          { status, dependencies: { [store.name]: status }, ...noted },
          status === "healthy" ? 200 : 503,
        );
      },
    ),
  );
};
