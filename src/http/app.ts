/** The HTTP application: routes put together, every failure turned into a problem document. */
import { Hono } from "hono";
import { withScope } from "./access.ts";
import { cors } from "./cors.ts";
import { type AppDependencies, type AppEnvironment, withDefaults } from "./dependencies.ts";
import { errorResponse, problemResponse } from "./problem.ts";
import { approvalRoutes } from "./routes/approvals.ts";
import { assignmentsRoutes } from "./routes/assignments.ts";
import { auditRoutes } from "./routes/audit.ts";
import { dryRunRoutes } from "./routes/dry-runs.ts";
import { eventsRoutes } from "./routes/events.ts";
import { experimentRoutes } from "./routes/experiments.ts";
import { healthRoutes } from "./routes/health.ts";
import { historyRoutes } from "./routes/history.ts";
import { lifecycleRoutes } from "./routes/lifecycle.ts";
import { ofrepRoutes } from "./routes/ofrep.ts";
import { metricsRoutes } from "./routes/metrics.ts";
import { openApiRoutes } from "./routes/openapi.ts";
import { pastRoutes } from "./routes/past.ts";
import { proposalRoutes } from "./routes/proposals.ts";
import { publishingRoutes } from "./routes/publishing.ts";
import { rampRoutes } from "./routes/ramp.ts";
import { resultsRoutes } from "./routes/results.ts";
import { signalsRoutes } from "./routes/signals.ts";
import { rulesRoutes } from "./routes/rules.ts";
import { scheduleRoutes } from "./routes/schedule.ts";
import { switchRoutes } from "./routes/switches.ts";
import { versionRoutes } from "./routes/versions.ts";
import { securityHeaders } from "./security-headers.ts";

/**
 * Builds the app. It holds no state of its own, so one instance serves every request.
 *
 * Routes are chained, so that the type of the app knows all of them: it is what the typed client is made of.
 *
 * @example const app = createApp(dependencies); await app.fetch(new Request("http://127.0.0.1/health"));
 */
export const createApp = (given: AppDependencies) => {
  const dependencies = withDefaults(given);
  // A path with a slash at its end is the same path.
  const app = new Hono<AppEnvironment>({ strict: false });
  app.onError((error) => errorResponse(error, dependencies.report));
  app.notFound((context) => problemResponse("not-found", `${context.req.method} ${context.req.path} is not a route`));
  app.use(securityHeaders);
  app.use(cors(dependencies.cors));
  app.use("/metrics", withScope);
  const open = app
    .route("/", healthRoutes(dependencies))
    .route("/", metricsRoutes(dependencies))
    .route("/api", openApiRoutes(dependencies, app));
  app.use("/api/*", withScope);
  app.use("/ofrep/*", withScope);
  return (
    open
      .route("/api/events", eventsRoutes(dependencies))
      .route("/api/rules", rulesRoutes(dependencies))
      .route("/ofrep/v1", ofrepRoutes(dependencies))
      // Before the routes of one experiment: no experiment has the name of one of these.
      .route("/api/governance", proposalRoutes(dependencies))
      .route("/api/governance", historyRoutes(dependencies))
      .route("/api/governance", experimentRoutes(dependencies))
      .route("/api/governance", lifecycleRoutes(dependencies))
      .route("/api/governance", publishingRoutes(dependencies))
      .route("/api/governance", pastRoutes(dependencies))
      .route("/api/governance", versionRoutes(dependencies))
      .route("/api/governance", scheduleRoutes(dependencies))
      .route("/api/governance", rampRoutes(dependencies))
      .route("/api/governance", switchRoutes(dependencies))
      .route("/api/governance", dryRunRoutes(dependencies))
      .route("/api/governance", approvalRoutes(dependencies))
      .route("/api/governance", auditRoutes(dependencies))
      .route("/api/governance", resultsRoutes(dependencies))
      .route("/api/governance", assignmentsRoutes(dependencies))
      .route("/api/governance", signalsRoutes(dependencies))
  );
};

/** The app as a client's compiler sees it. */
export type AppType = ReturnType<typeof createApp>;
