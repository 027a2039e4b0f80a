/** What analyses have said of an experiment, as AnalysisSignal events: each crossing once, oldest first. */
import { Hono } from "hono";
import * as v from "valibot";
import type { EventRecord } from "../../governance/events.ts";
import { limits } from "../../limits.ts";
import type { ExperimentRef } from "../../scope.ts";
import type { Dependencies, AppEnvironment } from "../dependencies.ts";
import { endpoint } from "../endpoint.ts";
import { loadExperiment } from "../governed.ts";
import { members, next, time } from "../openapi/schemas.ts";
import { page } from "../query.ts";

const SignalEvent = v.object({
  eventId: v.pipe(v.string(), v.description("Of the event of the history that it was recorded with")),
  timestamp: time,
  eventType: v.literal("AnalysisSignal"),
  schemaVersion: v.string(),
  payload: v.object({
    experimentName: v.string(),
    tenantId: v.string(),
    environment: v.string(),
    signalType: v.string(),
    severity: v.picklist(["Info", "Warning", "Critical"]),
    message: v.string(),
    data: members,
  }),
});

/** Events that may hold one: a warning is part of the change that it is about. */
const types = ["SignalRaised", "Transitioned", "Published"] as const;

const warningIn = (event: EventRecord) => {
  if (event.type === "Transitioned") return event.data.conclusion?.warning;
  return event.type === "Published" ? event.data.warning : undefined;
};

const signalIn = (event: EventRecord) => {
  if (event.type === "SignalRaised") {
    const { signalType, severity, message, data, version, epoch } = event.data;
    return { signalType, severity, message, data: { ...data, version, epoch } };
  }
  const warning = warningIn(event);
  return warning === undefined ? null : { ...warning, severity: "Warning" as const };
};

const envelopesOf = ({ tenant, environment, experiment }: ExperimentRef, events: readonly EventRecord[]) =>
  events.flatMap((event) => {
    const signal = signalIn(event);
    if (signal === null) return [];
    const { signalType, severity, message, data } = signal;
    return [
      {
        eventId: event.id,
        timestamp: event.at,
        eventType: "AnalysisSignal" as const,
        schemaVersion: "1.0.0",
        payload: {
          experimentName: experiment,
          tenantId: tenant,
          environment,
          signalType,
          severity,
          message,
          data: { ...data },
        },
      },
    ];
  });

export const signalsRoutes = (dependencies: Dependencies) =>
  new Hono<AppEnvironment>().get(
    "/:name/signals",
    endpoint(
      dependencies,
      {
        id: "listSignals",
        summary: "What analyses have said, as AnalysisSignal events; a page may be short, and `next` goes on",
        access: "read",
        query: page(limits.heavyPageRows),
        answers: { 200: v.object({ experimentName: v.string(), events: v.array(SignalEvent), next }) },
      },
      async (context) => {
        const { ref } = await loadExperiment(context, dependencies);
        const found = await dependencies.store.history(ref, { ...context.req.valid("query"), types });
        return context.json({
          experimentName: ref.experiment,
          events: envelopesOf(ref, found.events),
          next: found.next,
        });
      },
    ),
  );
