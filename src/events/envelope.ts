/** What travels from an application to the ledger: event schemas, version 1.0.0, and their envelope. */
import * as v from "valibot";
import { VariantKeySchema } from "../experiment.ts";
import { limits } from "../limits.ts";
import { NameSchema } from "../scope.ts";

export const schemaVersion = "1.0.0";

const IdSchema = v.pipe(
  v.string(),
  v.regex(/^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$/, "a UUID"),
  v.toLowerCase(),
);
const TimestampSchema = v.pipe(
  v.string(),
  v.maxLength(40, "an ISO 8601 time"),
  v.regex(/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2})$/, "an ISO 8601 time with a zone"),
  v.check((text) => Number.isFinite(Date.parse(text)), "a time that exists"),
);
const SubjectIdSchema = v.pipe(
  v.string(),
  v.minLength(1, "at least one character"),
  v.maxLength(limits.subjectIdCharacters, `at most ${limits.subjectIdCharacters} characters`),
  // Stores change such text at rest, and two subjects would become one.
  v.check((text) => text.isWellFormed() && !text.includes("\u0000"), "well-formed text without U+0000"),
);

const addressed = {
  experimentName: NameSchema,
  subjectId: SubjectIdSchema,
  tenantId: v.optional(NameSchema),
  environment: v.optional(NameSchema),
};

const wholeNumber = v.pipe(v.number(), v.safeInteger("a whole number"), v.minValue(0, "0 or more"));

/** A subject was served a variant. Version, digest and epoch say which approved configuration served it. */
export const ExposureSchema = v.object({
  ...addressed,
  variantKey: VariantKeySchema,
  subjectType: v.optional(v.string()),
  timestamp: v.optional(TimestampSchema),
  selectionReason: v.optional(v.string()),
  assignmentPolicy: v.optional(v.string()),
  isRepeatExposure: v.optional(v.boolean()),
  rulePath: v.optional(v.string()),
  attributes: v.optional(v.record(v.string(), v.unknown())),
  version: v.optional(wholeNumber),
  digest: v.optional(v.string()),
  epoch: v.optional(wholeNumber, 0),
  /** 1 / sampling rate: scales displayed totals, never a test. */
  weight: v.optional(v.pipe(v.number(), v.finite("a finite number"), v.minValue(1, "1 or more")), 1),
});

const magnitude = v.pipe(
  v.number(),
  v.finite("a finite number"),
  v.check((value) => Math.abs(value) <= limits.outcomeMagnitude, `at most ${limits.outcomeMagnitude} either way`),
);
const outcome = { ...addressed, metric: NameSchema, timestamp: v.optional(TimestampSchema) };

/** Something a subject did afterwards, for one metric. */
export const OutcomeSchema = v.variant("kind", [
  v.object({
    ...outcome,
    kind: v.literal("binary"),
    value: v.union([v.boolean(), v.picklist([0, 1])], "true, false, 1 or 0"),
  }),
  v.object({ ...outcome, kind: v.literal("count"), value: v.pipe(magnitude, v.minValue(0, "0 or more")) }),
  v.object({ ...outcome, kind: v.literal("continuous"), value: magnitude }),
  /** Milliseconds. */
  v.object({ ...outcome, kind: v.literal("duration"), value: v.pipe(magnitude, v.minValue(0, "0 or more")) }),
]);

/** A subject's variant changed, or was seen to differ from its first one. */
export const AssignmentSchema = v.object({
  ...addressed,
  previousVariantKey: VariantKeySchema,
  newVariantKey: VariantKeySchema,
  changeReason: v.string(),
  timestamp: v.optional(TimestampSchema),
});

/** A variant's implementation failed. It counts in the *assigned* arm, also when control was served instead. */
export const ErrorEventSchema = v.object({
  ...addressed,
  variantKey: VariantKeySchema,
  errorName: v.string(),
  message: v.optional(v.string()),
  fallback: v.optional(v.string()),
  timestamp: v.optional(TimestampSchema),
});

export const signalSeverities = ["Info", "Warning", "Error", "Critical"] as const;

/** Something that an analysis found out about an experiment; `signalType` is one of Proviso's or a name of your own. */
export const AnalysisSignalSchema = v.object({
  experimentName: NameSchema,
  tenantId: v.optional(NameSchema),
  environment: v.optional(NameSchema),
  signalType: NameSchema,
  severity: v.picklist(signalSeverities, signalSeverities.join(", ")),
  message: v.string(),
  data: v.optional(v.record(v.string(), v.unknown())),
  /** Where it is about one subject, as a difference that a shadow showed. */
  subjectId: v.optional(SubjectIdSchema),
  timestamp: v.optional(TimestampSchema),
});

const VersionSchema = v.pipe(v.string(), v.regex(/^1\.\d+\.\d+$/, "schema version 1.x.y"));

const enveloped = {
  eventId: IdSchema,
  timestamp: TimestampSchema,
  schemaVersion: v.optional(VersionSchema, schemaVersion),
  correlationId: v.optional(v.pipe(v.string(), v.maxLength(256, "at most 256 characters"))),
  metadata: v.optional(v.record(v.string(), v.unknown())),
};

/** One event in its envelope. Members that a newer minor version adds are ignored; another major version is refused. */
export const EnvelopeSchema = v.variant("eventType", [
  v.object({ ...enveloped, eventType: v.literal("Exposure"), payload: ExposureSchema }),
  v.object({ ...enveloped, eventType: v.literal("Outcome"), payload: OutcomeSchema }),
  v.object({ ...enveloped, eventType: v.literal("Assignment"), payload: AssignmentSchema }),
  v.object({ ...enveloped, eventType: v.literal("Error"), payload: ErrorEventSchema }),
  v.object({ ...enveloped, eventType: v.literal("AnalysisSignal"), payload: AnalysisSignalSchema }),
]);

export const envelopeTypes = ["Exposure", "Outcome", "Assignment", "Error", "AnalysisSignal"] as const;
export type EnvelopeType = (typeof envelopeTypes)[number];

/** An event as it travels. `Envelope` is parsed; `EnvelopeInput` is what a sender may write. */
export type Envelope = v.InferOutput<typeof EnvelopeSchema>;
export type EnvelopeInput = v.InferInput<typeof EnvelopeSchema>;
export type ExposureEnvelope = Extract<Envelope, { eventType: "Exposure" }>;
export type OutcomeEnvelope = Extract<Envelope, { eventType: "Outcome" }>;
export type Exposure = v.InferOutput<typeof ExposureSchema>;
export type Outcome = v.InferOutput<typeof OutcomeSchema>;
