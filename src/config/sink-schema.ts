/** The part of the configuration language that says where events go besides the ledger. */
import * as v from "valibot";
import { envelopeTypes } from "../events/envelope.ts";
import { limits } from "../limits.ts";
import { NameSchema } from "../scope.ts";
import { AddressSchema, binding, secret, TimeLimitSchema } from "./parts.ts";

/** Bindings of the Worker's own queues: what a sink put there would come back to it. */
export const ownQueues: readonly string[] = ["EVENTS", "DEAD_LETTERS"];

const of = (type: string) => ({
  /** Health and logs call it by this name. */
  name: v.optional(NameSchema, type),
  /** Types of events that it gets; left out: all. */
  types: v.exactOptional(
    v.pipe(
      v.array(v.picklist(envelopeTypes, envelopeTypes.join(", "))),
      v.minLength(1, "at least one"),
      v.maxLength(envelopeTypes.length, `at most ${envelopeTypes.length}`),
    ),
  ),
  /** For one batch. What takes longer has failed. */
  timeLimit: TimeLimitSchema,
});

/**
 * A message of the queue comes again until a required sink has its events, and goes to the dead letters when it never
 * takes them; any other sink is tried once. The ledger counts either way, before any of them is asked.
 */
const required = { required: v.optional(v.boolean(), false) };

/** The secret that holds what the far side wants to see in `Authorization`. */
const authorization = { authorizationSecret: v.exactOptional(secret("COLLECTOR_AUTHORIZATION")) };

const prefix = "a path without a slash at its end, of A-Z a-z 0-9 ! _ . * ' ( ) / -";
const stored = {
  /** Name of the R2 binding. */
  bucket: binding("ARCHIVE"),
  /** In front of every key. */
  prefix: v.optional(
    v.pipe(v.string(prefix), v.regex(/^(?:[A-Za-z0-9!_.*'()/-]{0,199}[A-Za-z0-9!_.*'()-])?$/, prefix)),
    "events",
  ),
};

const topic = "a topic: 1 to 249 of A-Z a-z 0-9 . _ -";

const SinkSchema = v.variant("type", [
  v.strictObject({ type: v.literal("log"), ...of("log"), ...required }),
  v.strictObject({
    type: v.literal("queue"),
    ...of("queue"),
    ...required,
    /** Name of the binding of a queue that somebody else reads. */
    queue: binding("EXPORT"),
  }),
  v.strictObject({
    type: v.literal("http"),
    ...of("http"),
    ...required,
    /** Another Proviso: events go to its `/api/events`. */
    url: AddressSchema,
    ...authorization,
  }),
  v.strictObject({
    type: v.literal("openTelemetry"),
    ...of("openTelemetry"),
    ...required,
    /** Base address of a collector: records go to its `/v1/logs`. */
    url: AddressSchema,
    ...authorization,
    /** `service.name` of the resource. */
    service: v.optional(NameSchema, "proviso"),
    /** Also `feature_flag.evaluation` for exposures. */
    evaluations: v.optional(v.boolean(), true),
  }),
  v.strictObject({
    type: v.literal("analyticsEngine"),
    ...of("analyticsEngine"),
    /** Name of the binding. It is never required: the platform says nothing of what it drops. */
    dataset: binding("EXPERIMENT_EVENTS"),
  }),
  v.strictObject({ type: v.literal("r2"), ...of("r2"), ...required, ...stored }),
  v.strictObject({ type: v.literal("parquet"), ...of("parquet"), ...required, ...stored }),
  v.strictObject({
    type: v.literal("kafka"),
    ...of("kafka"),
    ...required,
    /** A REST proxy: records go to its `/topics/{topic}`. */
    url: AddressSchema,
    topic: v.pipe(
      v.string(topic),
      v.regex(/^[A-Za-z0-9._-]{1,249}$/, topic),
      v.check((name) => name !== "." && name !== "..", topic),
    ),
    ...authorization,
  }),
]);

export const SinksSchema = v.pipe(v.array(SinkSchema), v.maxLength(limits.eventSinks, `at most ${limits.eventSinks}`));

/** One sink as the configuration names it, defaults filled in. */
export type SinkSettings = v.InferOutput<typeof SinkSchema>;
