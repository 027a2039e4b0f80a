/** Policies as a configuration names them: what must be true for a change. One file a rule beside this one judges them. */
import * as v from "valibot";
import { DurationSchema } from "../../duration.ts";
import { NameSchema } from "../../scope.ts";
import { StateSchema } from "../gates/schema.ts";

export const severities = ["Critical", "Error", "Warning"] as const;
/** Critical blocks; Error and Warning are recorded. */
export type Severity = (typeof severities)[number];

export const onMissingChoices = ["allow", "hold", "deny"] as const;

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
  maxErrorRate: v.pipe(v.number(), v.minValue(0, "0 to 1"), v.maxValue(1, "0 to 1")),
  /** What follows when the ledger cannot be read. Default: hold where traffic grows, allow elsewhere. */
  onMissing: v.optional(v.picklist(onMissingChoices, onMissingChoices.join(", "))),
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
]);

export type Policy = v.InferOutput<typeof PolicySchema>;
export type PolicyInput = v.InferInput<typeof PolicySchema>;
