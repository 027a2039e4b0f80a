/**
 * Deciding a variant: pure, without a clock, a random number or I/O, and without an exception.
 *
 * A rule is compiled once. All it can ever answer (a handful of assignments, one a variant) is made then and frozen, so
 * an evaluation hashes twice, walks the targeting and returns an object that was there before. The order is that of the
 * design: kill switch, lifecycle, targeting, exclusion, traffic, variant.
 */
import { isServing } from "../lifecycle.ts";
import { subjectIdCharacters } from "./bounds.ts";
import { bucketOf, bucketSeed } from "./bucket.ts";
import { bucketCount, exclusionSlots, type ExperimentRule, type VariantRule } from "./rule-set.ts";
import { compileTargeting, type Attributes } from "./targeting.ts";

/**
 * Why a variant was chosen, in OpenFeature's words.
 *
 * - `SPLIT`: randomised; there is no targeting
 * - `TARGETING_MATCH`: randomised, the targeting matched
 * - `DEFAULT`: control, because the targeting does not match, the subject is another experiment's by mutual exclusion,
 *   or it is outside the traffic; `rulePath` says which
 * - `DISABLED`: control, because the experiment is not running, or a kill switch is on; `rulePath` says which
 * - `STATIC`: the experiment is over, and everybody gets the variant that was shipped
 * - `STALE`: as one of the above by rules that could not be refreshed for too long; `rulePath` says which
 * - `ERROR`: control, because something is wrong; `errorCode` says what
 */
export type AssignmentReason = "SPLIT" | "TARGETING_MATCH" | "DEFAULT" | "DISABLED" | "STATIC" | "STALE" | "ERROR";

/** OpenFeature's error codes, as far as they occur. */
export type AssignmentErrorCode =
  | "PROVIDER_NOT_READY"
  | "FLAG_NOT_FOUND"
  | "PARSE_ERROR"
  | "TARGETING_KEY_MISSING"
  | "INVALID_CONTEXT"
  | "GENERAL";

/** What a subject is to get, and why. Frozen, and the same object for equal answers. */
export interface Assignment {
  readonly experiment: string;
  /** Key of the variant; `control` where the experiment is not known. */
  readonly variant: string;
  readonly control: boolean;
  /** Anything JSON can say, from the configuration. */
  readonly payload?: unknown;
  readonly reason: AssignmentReason;
  readonly errorCode?: AssignmentErrorCode;
  readonly errorMessage?: string;
  /** The live version, its digest and epoch; 0 and "" where the experiment is not known. */
  readonly version: number;
  readonly digest: string;
  readonly epoch: number;
  /**
   * The subject was randomised, so serving it this variant is an exposure. Control for any other reason is an
   * evaluation and must not be recorded: it would be counted as an arm it never was drawn for.
   */
  readonly exposed: boolean;
  /** JSON Pointer to the member of the published rule that decided, e.g. `/targeting` or `/variants/1`. */
  readonly rulePath?: string;
  readonly subjectType?: string;
  readonly assignmentPolicy?: string;
  /** Attributes whose values an exposure carries. */
  readonly dimensions?: readonly string[] | undefined;
}

/**
 * Whether a subject is in an experiment already. Asked only while its enrolment is stopped, and believed: evaluation has no
 * memory. What throws says no.
 */
export type Enrolled = (experiment: string, subjectId: string) => boolean;

/** Decides for one subject. Never throws. */
export type Assign = (subjectId: string, attributes?: Attributes, enrolled?: Enrolled) => Assignment;

/** What every experiment answers about which nothing is known; nobody is randomised by it. */
export const errorAssignment = (
  experiment: string,
  errorCode: AssignmentErrorCode,
  errorMessage: string,
): Assignment => ({
  experiment,
  variant: "control",
  control: true,
  reason: "ERROR",
  errorCode,
  errorMessage,
  version: 0,
  digest: "",
  epoch: 0,
  exposed: false,
});

const deepFreeze = (value: unknown): unknown => {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.values(Object.freeze(value)).forEach(deepFreeze);
  }
  return value;
};

const slotBuckets = bucketCount / exclusionSlots;
const noAttributes: Attributes = Object.freeze({});

/** The arms as rising upper ends of their bucket ranges. */
const upperEnds = (variants: readonly VariantRule[]): readonly number[] => {
  let end = 0;
  return variants.map(({ buckets }) => {
    end += buckets;
    return end;
  });
};

/**
 * Compiles a published rule.
 *
 * @param rule as `parseRuleSet` lets it through: one control, buckets that add up to 10,000
 * @param stale the rules are older than they may be: every answer that is not an error says `STALE`
 * @throws TypeError when the rule has no control or an operator that this version does not know
 * @example
 * const assign = compileRule(rule);
 * assign("user-42", { country: "US" }).variant; // "treatment"
 */
export const compileRule = (rule: ExperimentRule, stale = false): Assign => {
  // A copy, because the caller's object is not ours to freeze, and one subject's code must not change another's payload.
  const variants = rule.variants.map((variant) =>
    variant.payload === undefined ? variant : { ...variant, payload: deepFreeze(structuredClone(variant.payload)) },
  );
  const controlVariant = variants.find((variant) => variant.control);
  if (controlVariant === undefined) throw new TypeError(`rule of ${rule.name}: no control variant`);

  const answer = (variant: VariantRule, reason: AssignmentReason, more: Partial<Assignment>): Assignment =>
    Object.freeze<Assignment>({
      experiment: rule.name,
      variant: variant.key,
      control: variant.control,
      ...(variant.payload === undefined ? {} : { payload: variant.payload }),
      reason: stale && reason !== "ERROR" ? "STALE" : reason,
      version: rule.version,
      digest: rule.digest,
      epoch: rule.epoch,
      exposed: false,
      subjectType: rule.subject,
      assignmentPolicy: rule.assignmentPolicy,
      dimensions: rule.dimensions,
      ...more,
    });
  const failure = (errorCode: AssignmentErrorCode, errorMessage: string): Assignment =>
    answer(controlVariant, "ERROR", { errorCode, errorMessage });

  // Stores change a lone surrogate and U+0000 at rest: two subjects would become one, so the ingest refuses such ids.
  const subjectForm = `the subject id must be a text of 1 to ${subjectIdCharacters} characters, well-formed, without U+0000`;
  const noSubject = failure("TARGETING_KEY_MISSING", subjectForm);
  const badSubject = failure("INVALID_CONTEXT", subjectForm);
  const badAttributes = failure("INVALID_CONTEXT", "the attributes must be an object");
  const unreadable = failure("INVALID_CONTEXT", "an attribute threw");
  const killed = rule.killedVariants ?? [];
  const disabled = answer(controlVariant, "DISABLED", { rulePath: rule.killed === true ? "/killed" : "/state" });
  const shippedVariant = variants.find(({ key }) => key === rule.shipped);
  /** What everybody gets while treatments are not served. */
  const resting =
    shippedVariant === undefined || rule.killed === true
      ? disabled
      : answer(shippedVariant, "STATIC", { rulePath: "/shipped" });
  const notEnrolled = answer(controlVariant, "DISABLED", { rulePath: "/mode" });
  const unmatched = answer(controlVariant, "DEFAULT", { rulePath: "/targeting" });
  const excluded = answer(controlVariant, "DEFAULT", { rulePath: "/exclusion" });
  const outside = answer(controlVariant, "DEFAULT", { rulePath: "/trafficBuckets" });
  const arms = variants.map((variant, index) =>
    killed.includes(variant.key)
      ? answer(controlVariant, "DISABLED", { rulePath: "/killedVariants" })
      : answer(variant, rule.targeting === undefined ? "SPLIT" : "TARGETING_MATCH", {
          exposed: true,
          rulePath: `/variants/${index}`,
        }),
  );

  const staysIn = rule.state === "Paused" && rule.mode === "stopEnrolment";
  const serving = (isServing(rule.state) || staysIn) && rule.killed !== true;
  const matches = rule.targeting === undefined ? undefined : compileTargeting(rule.targeting);
  const { trafficBuckets, exclusion } = rule;
  const trafficSeed = exclusion ? bucketSeed(exclusion.group, "exclusion") : bucketSeed(rule.salt, "traffic");
  const variantSeed = bucketSeed(rule.salt, "variant");
  const ends = upperEnds(variants);

  const isIn = (subjectId: string, enrolled: Enrolled | undefined): boolean => {
    try {
      return enrolled?.(rule.name, subjectId) === true;
    } catch {
      return false;
    }
  };

  return (subjectId, attributes = noAttributes, enrolled) => {
    // The types say so already, but a page's own JavaScript may not have been checked by them.
    if (typeof subjectId !== "string" || subjectId.length === 0) return noSubject;
    if (subjectId.length > subjectIdCharacters || !subjectId.isWellFormed() || subjectId.includes("\u0000")) {
      return badSubject;
    }
    if (typeof attributes !== "object" || attributes === null) return badAttributes;
    if (!serving) return resting;
    if (staysIn && !isIn(subjectId, enrolled)) return notEnrolled;
    if (matches !== undefined) {
      try {
        if (!matches(attributes)) return unmatched;
      } catch {
        return unreadable;
      }
    }
    // Below the mark or not: raising the mark lets subjects in and moves none that are.
    let place = bucketOf(trafficSeed, subjectId);
    if (exclusion) {
      // The experiment's slots, one behind the other; no two experiments of a group have one in common.
      const inSlot = place % slotBuckets;
      const slot = exclusion.slots.indexOf((place - inSlot) / slotBuckets);
      if (slot < 0) return excluded;
      place = slot * slotBuckets + inSlot;
    }
    if (place >= trafficBuckets) return outside;
    const bucket = bucketOf(variantSeed, subjectId);
    let arm = 0;
    while (bucket >= (ends[arm] ?? Infinity)) arm += 1;
    return arms[arm] ?? disabled;
  };
};
