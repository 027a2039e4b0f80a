/** The HTTP application: routes put together, every failure turned into a problem document. */
import { Hono } from "hono";
import { admit, withScope } from "./access.ts";
import { cors } from "./cors.ts";
import type { AppDependencies, AppEnvironment } from "./dependencies.ts";
import { errorResponse, problemResponse } from "./problem.ts";
import { approvalRoutes } from "./routes/approvals.ts";
import { assignmentsRoutes } from "./routes/assignments.ts";
import { auditRoutes } from "./routes/audit.ts";
import { eventsRoutes } from "./routes/events.ts";
import { experimentRoutes } from "./routes/experiments.ts";
import { healthRoutes } from "./routes/health.ts";
import { lifecycleRoutes } from "./routes/lifecycle.ts";
import { resultsRoutes } from "./routes/results.ts";
import { rulesRoutes } from "./routes/rules.ts";
import { versionRoutes } from "./routes/versions.ts";
import { securityHeaders } from "./security-headers.ts";

/**
 * Builds the app. It holds no state of its own, so one instance serves every request.
 *
 * @example const app = createApp(dependencies); await app.fetch(new Request("http://127.0.0.1/health"));
 */
export const createApp = (dependencies: AppDependencies): Hono<AppEnvironment> => {
  // A path with a slash at its end is the same path.
  const app = new Hono<AppEnvironment>({ strict: false });
  app.onError((error) => errorResponse(error, dependencies.report));
  app.notFound((context) => problemResponse("not-found", `${context.req.method} ${context.req.path} is not a route`));
  app.use(securityHeaders);
  app.use(cors(dependencies.cors));
  app.route("/", healthRoutes(dependencies));
  app.use("/api/*", withScope);
  app.use("/api/events", admit("ingest", dependencies));
  app.route("/api/events", eventsRoutes(dependencies));
  app.use("/api/rules", admit("evaluate", dependencies));
  app.route("/api/rules", rulesRoutes(dependencies));
  app.route("/api/governance", experimentRoutes(dependencies));
  app.route("/api/governance", lifecycleRoutes(dependencies));
  app.route("/api/governance", versionRoutes(dependencies));
  app.route("/api/governance", approvalRoutes(dependencies));
  app.route("/api/governance", auditRoutes(dependencies));
  app.route("/api/governance", resultsRoutes(dependencies));
  app.route("/api/governance", assignmentsRoutes(dependencies));
  return app;
};
