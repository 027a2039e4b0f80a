/** Policies as a configuration names them: what must be true for a change. One file a rule beside this one judges them. */
import * as v from "valibot";
import { DurationSchema, parseDuration } from "../../duration.ts";
import { ConfigurationSchema, onMissingChoices } from "../../experiment.ts";
import { limits } from "../../limits.ts";
import { NameSchema } from "../../scope.ts";
import { changeKinds } from "../events.ts";
import { StateSchema } from "../gates/schema.ts";
import { parseFieldPath } from "./field-path.ts";

export const severities = ["Critical", "Error", "Warning"] as const;
/** Critical blocks; Error and Warning are recorded. */
export type Severity = (typeof severities)[number];

export { onMissingChoices };
export type OnMissing = (typeof onMissingChoices)[number];

/** A policy on pausing or rolling back would hold the brake, so there is none. */
const TargetSchema = v.pipe(
  StateSchema,
  v.check(
    (state) => state !== "Paused" && state !== "RolledBack",
    "a state other than Paused and RolledBack: the brake never waits for a policy",
  ),
);

const common = {
  name: v.optional(NameSchema),
  severity: v.optional(v.picklist(severities, severities.join(", ")), "Critical"),
  /** Target states on which the policy is asked; left out: each policy's own default. */
  to: v.optional(v.pipe(v.array(TargetSchema), v.minLength(1, "at least one state"))),
  /** Kinds of change on which the policy is asked; left out: each policy's own default. */
  on: v.optional(
    v.pipe(v.array(v.picklist(changeKinds, changeKinds.join(", "))), v.minLength(1, "at least one kind of change")),
  ),
};

const missing = {
  /**
   * What follows when the evidence cannot be read. Default: a Critical policy holds where traffic grows; everything else
   * is allowed.
   */
  onMissing: v.optional(v.picklist(onMissingChoices, onMissingChoices.join(", "))),
};

const percentage = v.pipe(v.number(), v.minValue(0, "0 to 100"), v.maxValue(100, "0 to 100"));
const clock = v.pipe(v.string(), v.regex(/^([01]\d|2[0-3]):[0-5]\d$/, "a time of day such as 09:30"));
export const weekdays = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"] as const;

const isTimeZone = (zone: string): boolean => {
  try {
    // The constructor is the only check that every runtime has: it throws RangeError for an unknown zone.
    return new Intl.DateTimeFormat("en", { timeZone: zone }).resolvedOptions().timeZone !== "";
  } catch {
    return false;
  }
};

/** Traffic at or under the limit; above it only after `minStableTime` of serving at or under it. */
export const TrafficLimitSchema = v.strictObject({
  type: v.literal("trafficLimit"),
  ...common,
  maxTrafficPercentage: percentage,
  minStableTime: v.optional(DurationSchema),
});

/** Share of exposed subjects that met an error, in the worst arm, as the ledger counted it: 0 to 1. */
export const ErrorRateSchema = v.strictObject({
  type: v.literal("errorRate"),
  ...common,
  ...missing,
  maxErrorRate: v.pipe(v.number(), v.minValue(0, "0 to 1"), v.maxValue(1, "0 to 1")),
});

/** Distinct exposed subjects that a conclusion needs, or any other change that `to` and `on` name. */
export const MinimumSampleSchema = v.strictObject({
  type: v.literal("minimumSample"),
  ...common,
  ...missing,
  minSubjects: v.pipe(v.number(), v.integer("a whole number"), v.minValue(1, "1 or more")),
  /** In every variant with a weight above 0, rather than in all of them together. */
  perVariant: v.optional(v.boolean(), false),
});

/** No mismatch in the sequential sample ratio test of the live epoch. */
export const SampleRatioSchema = v.strictObject({ type: v.literal("sampleRatio"), ...common, ...missing });

/** The experiment has not served, without a break, for longer than this. */
export const MaxDurationSchema = v.strictObject({
  type: v.literal("maxDuration"),
  ...common,
  maxDuration: DurationSchema,
});

const configurationMembers = Object.keys(ConfigurationSchema.pipe[0].entries);
const configurationPath = `a path that begins with one of ${configurationMembers.join(", ")}, such as labels.team or /labels/team`;

/** Members of the configuration that must be there and not empty. */
export const RequireFieldsSchema = v.strictObject({
  type: v.literal("requireFields"),
  ...common,
  /** Dotted (`labels.team`), or a JSON Pointer (`/labels/cost.centre`) where a name has a dot. */
  fields: v.pipe(
    v.array(
      v.pipe(
        v.string(configurationPath),
        v.maxLength(limits.fieldPathCharacters, `at most ${limits.fieldPathCharacters} characters`),
        v.check((path) => configurationMembers.includes(parseFieldPath(path)?.[0] ?? ""), configurationPath),
      ),
    ),
    v.minLength(1, "at least one path"),
    v.maxLength(50, "at most 50"),
  ),
});

/** A condition in CEL; `cel.ts` says what it may look at. That it can be understood is checked beside the schema. */
export const ExpressionSchema = v.strictObject({
  type: v.literal("expression"),
  ...common,
  ...missing,
  expression: v.pipe(
    v.string(),
    v.minLength(1, "at least one character"),
    v.maxLength(limits.expressionCharacters, `at most ${limits.expressionCharacters} characters`),
  ),
  /** The reason that is given when the condition does not hold. */
  message: v.optional(
    v.pipe(v.string(), v.minLength(1, "at least one character"), v.maxLength(1_024, "at most 1024 characters")),
  ),
});

const longestCustomMs = 10_000;

/** A rule that the host registered in code under this name. */
export const CustomPolicySchema = v.strictObject({
  type: v.literal("custom"),
  ...common,
  function: NameSchema,
  /** Must be the version that is registered. It is part of what people approve: a new version voids what was given. */
  version: v.optional(
    v.pipe(v.string(), v.minLength(1, "at least one character"), v.maxLength(128, "at most 128 characters")),
  ),
  /** Handed to the function as they are. */
  parameters: v.optional(v.record(v.string(), v.unknown())),
  /** How long the function may take; an answer after that is no answer. */
  timeLimit: v.optional(
    v.pipe(
      DurationSchema,
      v.check((text) => {
        const milliseconds = parseDuration(text);
        return milliseconds === undefined || (milliseconds > 0 && milliseconds <= longestCustomMs);
      }, "more than 0 and at most 10s"),
    ),
    "1s",
  ),
});

/** Changes only inside a window of local time; a window whose end is before its start wraps midnight. */
export const TimeWindowSchema = v.strictObject({
  type: v.literal("timeWindow"),
  ...common,
  allowedStartTime: clock,
  allowedEndTime: clock,
  timeZone: v.optional(v.pipe(v.string(), v.check(isTimeZone, "an IANA time zone such as Europe/Paris")), "UTC"),
  days: v.optional(
    v.pipe(
      v.array(v.pipe(v.string(), v.toLowerCase(), v.picklist(weekdays, weekdays.join(", ")))),
      v.minLength(1, "at least one day"),
    ),
  ),
});

/**
 * The listed experiments run beside no other: of a pair that conflicts, one runs at a time, whichever comes first. Two
 * that start at one moment cannot both win.
 */
export const ConflictPreventionSchema = v.strictObject({
  type: v.literal("conflictPrevention"),
  ...common,
  /** Only beside these; left out: beside any experiment of the scope. */
  experiments: v.optional(
    v.pipe(v.array(NameSchema), v.minLength(1, "at least one experiment"), v.maxLength(50, "at most 50")),
  ),
  conflictingExperiments: v.pipe(
    v.array(NameSchema),
    v.minLength(1, "at least one experiment"),
    v.maxLength(50, "at most 50"),
  ),
});

export const PolicySchema = v.variant("type", [
  TrafficLimitSchema,
  ErrorRateSchema,
  TimeWindowSchema,
  ConflictPreventionSchema,
  MinimumSampleSchema,
  SampleRatioSchema,
  MaxDurationSchema,
  RequireFieldsSchema,
  ExpressionSchema,
  CustomPolicySchema,
]);

export type Policy = v.InferOutput<typeof PolicySchema>;
export type PolicyInput = v.InferInput<typeof PolicySchema>;
