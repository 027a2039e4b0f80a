/** Whether this deployment can do its work; public, so it names dependencies and nothing of their insides. */
import { Hono } from "hono";
import type { AppDependencies, AppEnvironment } from "../dependencies.ts";

export const healthRoutes = ({ store, report }: AppDependencies): Hono<AppEnvironment> =>
  new Hono<AppEnvironment>().get("/health", async (context) => {
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
  });
