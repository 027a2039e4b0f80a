/** Ingest: events come in over HTTP, each is checked alone, and what is good goes to the queue. */
import { Hono } from "hono";
import * as v from "valibot";
import { type LocatedMessage, ProvisoError } from "../../errors.ts";
import { isObject } from "../../evaluation/guards.ts";
import { isCloudEvent, readCloudEvent } from "../../events/cloud-event.ts";
import { type EnvelopeInput, EnvelopeSchema, type EnvelopeType } from "../../events/envelope.ts";
import { encodeEvent, type EncodedEvent, packMessages, type Sender } from "../../events/message.ts";
import { runsOf } from "../../events/send.ts";
import { isEvent, problemsOf } from "../../events/validate.ts";
import { limits } from "../../limits.ts";
import type { Scope } from "../../scope.ts";
import { utf8Length } from "../../utf8.ts";
import { parseJson, readText } from "../body.ts";
import type { Guarding } from "../access.ts";
import type { Dependencies, AppEnvironment } from "../dependencies.ts";
import { endpoint } from "../endpoint.ts";
import { count } from "../openapi/schemas.ts";

/** One call to a Cloudflare Queue takes 100 messages and 256 KB, of which some goes to metadata. */
const callMessages = 100;
const callBytes = 250_000;

/** `{ events: […] }`, a bare list, or one event. */
const batchOf = (body: unknown): readonly unknown[] => {
  const events: unknown = isObject(body) && "events" in body ? body["events"] : body;
  if (Array.isArray(events)) {
    if (events.length <= limits.batchEvents) return events;
    throw new ProvisoError(
      "payload-too-large",
      `a batch of at most ${limits.batchEvents} events, not ${events.length}`,
      {
        limitEvents: limits.batchEvents,
      },
    );
  }
  if (isObject(events) && events === body) return [events];
  throw new ProvisoError("invalid-request", "the body is no batch of events", {
    errors: [{ path: events === body ? "" : "/events", message: "{ events: [envelope, …] }, a list of them, or one" }],
  });
};

/** Another scope than the request's own, which is where the sender is allowed to write. */
const scopeProblem = ({ payload }: EnvelopeInput, scope: Scope): LocatedMessage | undefined => {
  const { tenantId, environment } = payload;
  if (tenantId !== undefined && tenantId !== scope.tenant) {
    return { path: "/payload/tenantId", message: `expected ${scope.tenant}, the tenant of the request` };
  }
  if (environment !== undefined && environment !== scope.environment) {
    return { path: "/payload/environment", message: `expected ${scope.environment}, the environment of the request` };
  }
  return undefined;
};

/** The event with its scope filled in. Members that this version does not know travel on: a newer consumer may. */
const inScope = (event: EnvelopeInput, { tenant, environment }: Scope): EnvelopeInput => {
  if (event.payload.tenantId !== undefined && event.payload.environment !== undefined) return event;
  const scope = { tenantId: tenant, environment };
  switch (event.eventType) {
    case "Exposure":
      return { ...event, payload: { ...event.payload, ...scope } };
    case "Outcome":
      return { ...event, payload: { ...event.payload, ...scope } };
    case "Assignment":
      return { ...event, payload: { ...event.payload, ...scope } };
    case "Error":
      return { ...event, payload: { ...event.payload, ...scope } };
    case "AnalysisSignal":
      return { ...event, payload: { ...event.payload, ...scope } };
    default:
      return event satisfies never;
  }
};

/** What is deeper ends the stack of one who reads it later, or is refused there with everything that came beside it. */
const isTooDeep = (value: unknown, levels: number = limits.jsonDepth): boolean =>
  typeof value === "object" &&
  value !== null &&
  (levels === 0 || Object.values(value).some((member) => isTooDeep(member, levels - 1)));

/** The event as text for the queue, or what is wrong with it. */
const admit = (
  given: unknown,
  scope: Scope,
  off: readonly EnvelopeType[],
  sender: Sender,
): EncodedEvent | LocatedMessage => {
  const input = isCloudEvent(given) ? readCloudEvent(given) : given;
  if (!isEvent(input)) return problemsOf(input)[0];
  if (off.includes(input.eventType)) {
    return { path: "/eventType", message: `${input.eventType} events are switched off here (dataPlane.events)` };
  }
  if (sender === "browser" && input.eventType !== "Exposure")
    return { path: "/eventType", message: "Exposure: a browser's key sends nothing else" };
  if (isTooDeep(input)) return { path: "", message: `at most ${limits.jsonDepth} levels of nesting` };
  const problem = scopeProblem(input, scope);
  if (problem !== undefined) return problem;
  const encoded = encodeEvent(inScope(input, scope));
  return "message" in encoded ? { path: "", message: encoded.message } : encoded;
};

/** Typed by the event's name: written out, its shape would stand in the client's types once for every answer. */
const Batch: v.GenericSchema<{ events: EnvelopeInput[] } | EnvelopeInput[] | EnvelopeInput> = v.union([
  v.object({ events: v.array(EnvelopeSchema) }),
  v.array(EnvelopeSchema),
  EnvelopeSchema,
]);
const Taken = v.object({
  accepted: count,
  rejected: v.array(v.object({ index: count, path: v.string(), message: v.string() })),
});

/**
 * `POST /` takes at most 1,000 events and answers 202 `{ accepted, rejected: [{ index, path, message }] }` once the
 * queue has the accepted ones. 400 is for a body that is no batch at all, 413 for one over a limit, 503 for a queue
 * that failed: the whole batch may then be sent again, since an event id counts once.
 */
export const eventsRoutes = (dependencies: Guarding & Pick<Dependencies, "sendMessages" | "dataPlane">) =>
  new Hono<AppEnvironment>().post(
    "/",
    endpoint(
      dependencies,
      {
        id: "sendEvents",
        summary: "Send events of an application",
        description: `At most ${limits.batchEvents} events, as envelopes or as CloudEvents 1.0 (structured mode). Each is checked alone; an event id counts once, however often it is sent.`,
        access: "ingest",
        rawBody: Batch,
        answers: { 202: Taken },
      },
      async (context) => {
        const scope = context.get("scope");
        const sender = context.get("sender");
        const encoded: EncodedEvent[] = [];
        const rejected: (LocatedMessage & { readonly index: number })[] = [];
        for (const [index, input] of batchOf(parseJson(await readText(context.req.raw, limits.batchBytes))).entries()) {
          const result = admit(input, scope, dependencies.dataPlane?.off ?? [], sender);
          if ("text" in result) encoded.push(result);
          else rejected.push({ index, ...result });
        }
        const messages = Array.from(packMessages(encoded, sender), (body) => ({ body, bytes: utf8Length(body) }));
        try {
          for (const run of runsOf(messages, callMessages, callBytes))
            await dependencies.sendMessages(run.map(({ body }) => body));
        } catch (cause) {
          throw new ProvisoError(
            "store-unavailable",
            "the queue did not take the events: send the batch again",
            { retryAfterSeconds: 1 },
            { cause },
          );
        }
        return context.json({ accepted: encoded.length, rejected }, 202);
      },
    ),
  );
