/** Counters and durations of the isolate that answers, for Prometheus. */
import { Hono } from "hono";
import * as v from "valibot";
import { ProvisoError } from "../../errors.ts";
import { metricsType } from "../../observe/metrics.ts";
import type { AppEnvironment, Dependencies } from "../dependencies.ts";
import { endpoint } from "../endpoint.ts";

export const metricsRoutes = (dependencies: Dependencies) => {
  const { metrics } = dependencies;
  return new Hono<AppEnvironment>().get(
    "/metrics",
    endpoint(
      dependencies,
      {
        id: "readMetrics",
        summary: "Counters and durations of the isolate that answers, for Prometheus",
        access: metrics?.public === true ? "public" : "metrics",
        answers: { 200: v.string() },
        answerType: "text/plain",
        problems: ["not-found"],
      },
      (context) => {
        if (metrics === undefined) throw new ProvisoError("not-found", "this deployment keeps its metrics to itself");
        // They are of the whole deployment: a credential for one tenant does not get to see them.
        if (!metrics.public && context.get("pin").tenant !== undefined)
          throw new ProvisoError("forbidden", "metrics are of all tenants");
        return new Response(metrics.text(), {
          headers: { "content-type": metricsType, "cache-control": "no-store" },
        });
      },
    ),
  );
};
