/** The configuration of an experiment: its schema, its normal form and its digest. */
import * as v from "valibot";
import { canonicalJson, byteLength, digestOf } from "./canonical.ts";
import { DurationSchema, parseDuration } from "./duration.ts";
import { TargetingSchema } from "./evaluation/targeting-schema.ts";
import { limits } from "./limits.ts";
import { pauseModes } from "./lifecycle.ts";
import { differ, exactlyOne } from "./list-checks.ts";
import { ExperimentNameSchema, NameSchema } from "./scope.ts";

const prose = (characters: number) => v.pipe(v.string(), v.maxLength(characters, `at most ${characters} characters`));

/** 1–64 printable characters. `__proto__` is refused, so a variant key is safe as a member name anywhere. */
export const VariantKeySchema = v.pipe(
  v.string(),
  v.minLength(1, "at least one character"),
  v.maxLength(limits.variantKeyCharacters, `at most ${limits.variantKeyCharacters} characters`),
  v.regex(/^[\p{L}\p{M}\p{N}\p{P}\p{S} ]+$/u, "printable characters only"),
  v.check((key) => key !== "__proto__", "a key other than __proto__"),
);

const VariantSchema = v.strictObject({
  key: VariantKeySchema,
  /** Relative to the other weights; the planned share is the number of buckets that follows from it. */
  weight: v.optional(v.pipe(v.number(), v.finite("a finite number"), v.minValue(0, "0 or more")), 1),
  control: v.optional(v.boolean()),
  /** Anything JSON can say, handed to the application with the variant. */
  payload: v.optional(v.unknown()),
});

const InstantSchema = v.pipe(
  v.string(),
  v.isoTimestamp("a time with its zone, such as 2026-12-01T09:00:00Z"),
  v.check((text) => !Number.isNaN(Date.parse(text)), "a time that exists"),
);

/** A time with its zone, or a day (its end, in UTC). */
const InstantOrDaySchema = v.union(
  [InstantSchema, v.pipe(v.string(), v.isoDate())],
  "a day such as 2026-12-15, or a time with its zone",
);

const dayMs = 86_400_000;

/** When a time comes, or a day is over, in ms since 1970. */
export const instantOrDayEnd = (text: string): number =>
  Date.parse(text) + (text.length === "2026-12-15".length ? dayMs : 0);

/** What an outcome event carries. A duration is a number of milliseconds. */
export const metricKinds = ["binary", "count", "continuous", "duration"] as const;
export type MetricKind = (typeof metricKinds)[number];

/** What a metric may be declared as: `ratio` is made of two others and never sent. */
export const declaredKinds = [...metricKinds, "ratio"] as const;

const finite = v.pipe(v.number(), v.finite("a finite number"));
const positive = v.pipe(finite, v.gtValue(0, "more than 0"));

const longestWindowMs = 365 * 24 * 60 * 60_000;

const WindowSchema = v.pipe(
  v.strictObject({
    /** Opens so long after the first exposure; 0 allows for five minutes of clock skew. */
    from: v.exactOptional(DurationSchema),
    /** Closes so long after the first exposure; default 7 days. */
    to: v.exactOptional(DurationSchema),
    /** Instead of all that: the time before the first exposure, and nothing after it. For covariates. */
    before: v.exactOptional(DurationSchema),
    /** Never closes: every later outcome counts, and everybody counts as matured. */
    open: v.exactOptional(v.literal(true, "true, or left out")),
  }),
  v.check(({ to, open }) => to === undefined || open === undefined, "either to or open"),
  v.check(
    ({ before, from, to, open }) =>
      before === undefined ||
      (from === undefined && to === undefined && open === undefined && parseDuration(before) !== 0),
    "before by itself, and longer than nothing",
  ),
  v.check(
    ({ before }) => before === undefined || (parseDuration(before) ?? 0) <= longestWindowMs,
    "a window of at most 365d",
  ),
  v.check(
    ({ from, to }) =>
      (parseDuration(from ?? "0s") ?? 0) < (to === undefined ? Infinity : (parseDuration(to) ?? Infinity)),
    "a window that closes after it opens",
  ),
  v.check(({ to }) => to === undefined || (parseDuration(to) ?? 0) <= longestWindowMs, "a window of at most 365d"),
);

/**
 * One subject has one value of a metric: yes if any outcome in the window is (binary), their sum (count), or what
 * `aggregate` makes of them (continuous, duration). A ratio is the sum of one metric over the sum of another.
 */
const MetricSchema = v.pipe(
  v.strictObject({
    name: NameSchema,
    kind: v.picklist(declaredKinds, declaredKinds.join(", ")),
    goal: v.optional(v.picklist(["increase", "decrease"], "increase or decrease")),
    primary: v.optional(v.boolean()),
    /** The smallest difference worth finding; power is computed for it. */
    minimumDetectableEffect: v.exactOptional(positive),
    window: v.exactOptional(WindowSchema),
    /** What a subject without a value counts as; `exclude` compares different populations, and results say so. */
    missing: v.exactOptional(v.picklist(["zero", "exclude"], "zero or exclude")),
    aggregate: v.exactOptional(v.picklist(["sum", "mean", "last", "max"], "sum, mean, last or max")),
    /** Larger values of a subject count as this. */
    cap: v.exactOptional(positive),
    /** Negative values count; otherwise they are refused. */
    negative: v.exactOptional(v.boolean()),
    /** A metric of the time before the first exposure, by which the difference is adjusted (CUPED). */
    covariate: v.exactOptional(NameSchema),
    numerator: v.exactOptional(NameSchema),
    denominator: v.exactOptional(NameSchema),
  }),
  v.check(
    ({ kind, aggregate, missing }) =>
      kind === "continuous" || kind === "duration" || (aggregate === undefined && missing === undefined),
    "aggregate and missing beside kind continuous or duration only",
  ),
  v.check(
    ({ kind, cap }) => cap === undefined || (kind !== "binary" && kind !== "ratio"),
    "cap beside kind count, continuous or duration only",
  ),
  v.check(
    ({ kind, negative }) => negative === undefined || kind === "continuous",
    "negative beside kind continuous only",
  ),
  v.check(
    ({ kind, numerator, denominator }) =>
      kind === "ratio"
        ? numerator !== undefined && denominator !== undefined && numerator !== denominator
        : numerator === undefined && denominator === undefined,
    "numerator and denominator, two different metrics, beside kind ratio and no other",
  ),
  v.check(
    ({ kind, covariate, missing, window }) =>
      covariate === undefined || (kind !== "ratio" && missing !== "exclude" && window?.before === undefined),
    "covariate beside an outcome of everybody: no ratio, no missing: exclude, and no window before the exposure",
  ),
  v.check(
    ({ kind, window }) => kind !== "ratio" || window === undefined,
    "no window: a ratio has those of its metrics",
  ),
);

/** A part of the subjects that results show apart: by an attribute of the first exposure. */
const DimensionSchema = v.strictObject({
  /** Name of the attribute. */
  attribute: NameSchema,
  /** Values that are shown; all others are `other`, and subjects without one `none`. */
  values: v.pipe(
    v.array(
      v.pipe(
        v.string(),
        v.minLength(1, "at least one character"),
        v.maxLength(64, "at most 64 characters"),
        v.check((value) => !value.startsWith("("), "a value that does not begin with '('"),
      ),
    ),
    v.minLength(1, "at least one value"),
    v.maxLength(limits.dimensionValues, `at most ${limits.dimensionValues} values`),
    differ("values that differ"),
  ),
});

/** What is to be found out, and how: fixed when the experiment starts. It has a digest of its own. */
const PlanSchema = v.strictObject({
  hypothesis: v.exactOptional(prose(10_000)),
  /** Name of the primary metric. */
  primary: v.exactOptional(NameSchema),
  /** The difference from control that the experiment is to find. */
  effect: v.exactOptional(positive),
  /** Two-sided level of the tests. */
  alpha: v.optional(v.pipe(finite, v.gtValue(0, "more than 0"), v.maxValue(0.5, "at most 0.5")), 0.05),
  /** Subjects in all arms together; also what confidence sequences are tuned for. */
  sample: v.exactOptional(v.pipe(v.number(), v.integer("a whole number"), v.minValue(1, "1 or more"))),
  /** How often somebody plans to look; shown, and not enforced. */
  looks: v.exactOptional(v.pipe(v.number(), v.integer("a whole number"), v.minValue(1, "1 or more"))),
  end: v.exactOptional(InstantOrDaySchema),
});

export const assignmentPolicies = ["bestEffort"] as const;

const hundredths = (value: number): boolean => Math.abs(value * 100 - Math.round(value * 100)) < 1e-9;

const percentage = v.pipe(
  v.number(),
  v.minValue(0, "0 to 100"),
  v.maxValue(100, "0 to 100"),
  v.check(hundredths, "a percentage with at most two decimals"),
);

const RampStepSchema = v.strictObject({
  /** Percent of eligible subjects; what is served is the lesser of this and `traffic`. */
  traffic: percentage,
  /** How long the step is watched before the next one is asked for; left out: until somebody advances it. */
  hold: v.optional(DurationSchema),
});

const RampSchema = v.strictObject({
  steps: v.pipe(
    v.array(RampStepSchema),
    v.minLength(1, "at least one step"),
    v.maxLength(limits.rampSteps, `at most ${limits.rampSteps} steps`),
    v.check(
      (steps) => steps.every((step, index) => step.traffic > (steps[index - 1]?.traffic ?? -1)),
      "steps whose traffic rises",
    ),
  ),
});

/** What a guardrail does when its bound is broken: to RolledBack, to Paused, or only a notice. */
export const guardrailActions = ["rollBack", "pause", "notify"] as const;

/** What missing evidence means for a change. */
export const onMissingChoices = ["allow", "hold", "deny"] as const;

const GuardrailSchema = v.pipe(
  v.strictObject({
    metric: NameSchema,
    kind: v.optional(v.picklist(metricKinds, metricKinds.join(", ")), "binary"),
    /** Bound on the arm itself. */
    maximum: v.optional(v.pipe(v.number(), v.finite("a finite number"))),
    /** Bound on variant − control; with `relative`, on that difference as a share of control. */
    maximumIncrease: v.optional(v.pipe(v.number(), v.finite("a finite number"), v.minValue(0, "0 or more"))),
    relative: v.optional(v.boolean()),
    /** Of every kind but binary: a subject's total beyond it counts as it. Without one a single subject decides. */
    cap: v.optional(v.pipe(v.number(), v.finite("a finite number"), v.gtValue(0, "above 0"))),
    /** Exposed subjects that each arm needs before the guardrail may act. */
    minimumSample: v.optional(v.pipe(v.number(), v.integer("a whole number"), v.minValue(1, "1 or more")), 100),
    onViolation: v.optional(v.picklist(guardrailActions, guardrailActions.join(", ")), "rollBack"),
    /** What follows for a change that lets more people in when it cannot be read. Default: hold, or allow for notify. */
    onMissing: v.optional(v.picklist(onMissingChoices, onMissingChoices.join(", "))),
  }),
  v.check(
    ({ maximum, maximumIncrease }) => (maximum === undefined) !== (maximumIncrease === undefined),
    "either maximum or maximumIncrease",
  ),
  v.check(
    ({ relative, maximumIncrease }) => relative === undefined || maximumIncrease !== undefined,
    "relative beside maximumIncrease only",
  ),
  v.check(({ kind, cap }) => kind === "binary" || cap !== undefined, "a cap beside every kind but binary"),
  v.check(({ kind, cap }) => kind !== "binary" || cap === undefined, "no cap beside the kind binary"),
  // A mean of values that are cut there cannot be beyond it: the guardrail would never act.
  v.check(
    ({ cap, maximum, maximumIncrease, relative }) =>
      cap === undefined || relative === true || cap > (maximum ?? maximumIncrease ?? 0),
    "a cap above the bound: values are cut at the cap, so their mean cannot be beyond it",
  ),
);

/** Signals that a rule may stop an experiment on: those of tests that may be looked at at any time, and no others. */
export const stopSignals = ["SampleRatioMismatch", "SequentialCheckpoint"] as const;

const AutoStopSchema = v.pipe(
  v.strictObject({
    signal: v.picklist(stopSignals, `${stopSignals.join(", ")}: what may be looked at at any time`),
    /** SequentialCheckpoint: the declared metric whose confidence sequence excludes no difference. */
    metric: v.exactOptional(NameSchema),
    /** SequentialCheckpoint: only when it is better, or worse, than control by the metric's goal; left out: either. */
    when: v.exactOptional(v.picklist(["better", "worse"], "better or worse")),
    action: v.optional(v.picklist(guardrailActions, guardrailActions.join(", ")), "pause"),
  }),
  v.check(
    ({ signal, metric }) => (signal === "SequentialCheckpoint") === (metric !== undefined),
    "a metric beside SequentialCheckpoint, and beside nothing else",
  ),
  v.check(({ when, metric }) => when === undefined || metric !== undefined, "when beside a metric only"),
);

const ScheduleSchema = v.pipe(
  v.strictObject({
    /** When the approved experiment starts: Ramping where there is a ramp, else Running. */
    start: v.optional(InstantSchema),
    /** When it pauses. */
    end: v.optional(InstantSchema),
    /** What the pause at the end does: everybody gets control (the default), or whoever is in stays in. */
    mode: v.exactOptional(v.picklist(pauseModes, pauseModes.join(", "))),
  }),
  v.check(({ start, end }) => start !== undefined || end !== undefined, "a start, an end, or both"),
  v.check(
    ({ start, end }) => start === undefined || end === undefined || Date.parse(start) < Date.parse(end),
    "an end after the start",
  ),
  v.check(({ end, mode }) => mode === undefined || end !== undefined, "mode beside an end only"),
);

const ConfigurationObject = v.strictObject({
  name: ExperimentNameSchema,
  description: v.optional(prose(10_000)),
  owner: v.optional(prose(256)),
  labels: v.optional(v.record(prose(128), prose(1_024))),
  /** Subject type: what an id stands for (user, device, account …). */
  subject: v.optional(NameSchema, "user"),
  salt: v.optional(
    v.pipe(v.string(), v.minLength(1, "at least one character"), v.maxLength(256, "at most 256 characters")),
  ),
  variants: v.pipe(
    v.array(VariantSchema),
    v.minLength(2, "at least two variants"),
    v.maxLength(limits.variants, `at most ${limits.variants} variants`),
    differ("variant keys that differ", "key"),
    exactlyOne("exactly one variant with control: true", "control"),
    v.check((variants) => variants.some((variant) => variant.weight > 0), "at least one weight above 0"),
  ),
  /** Percent of eligible subjects, in steps of 0.01: one step is one bucket. */
  traffic: v.optional(percentage, 100),
  targeting: v.optional(TargetingSchema),
  /** Subjects of one group meet at most one of its experiments at a time; each takes its `traffic` of them. */
  exclusion: v.optional(v.strictObject({ group: NameSchema })),
  surfaces: v.optional(
    v.pipe(
      v.array(NameSchema),
      v.maxLength(limits.surfaces, `at most ${limits.surfaces} surfaces`),
      differ("surfaces that differ"),
    ),
  ),
  assignmentPolicy: v.optional(v.picklist(assignmentPolicies, assignmentPolicies.join(", ")), "bestEffort"),
  metrics: v.optional(
    v.pipe(
      v.array(MetricSchema),
      v.maxLength(limits.metrics, `at most ${limits.metrics} metrics`),
      differ("metric names that differ", "name"),
      v.check((metrics) => {
        const plain = new Set(metrics.filter(({ kind }) => kind !== "ratio").map(({ name }) => name));
        return metrics.every(
          ({ kind, numerator = "", denominator = "" }) =>
            kind !== "ratio" || (plain.has(numerator) && plain.has(denominator)),
        );
      }, "ratios of metrics that are declared beside them, and are no ratios themselves"),
      v.check((metrics) => {
        const earlier = new Set(metrics.filter(({ window }) => window?.before !== undefined).map(({ name }) => name));
        return metrics.every(({ covariate }) => covariate === undefined || earlier.has(covariate));
      }, "covariates that are declared beside them, with a window before the first exposure"),
    ),
  ),
  /** What results show apart, beside the whole. */
  dimensions: v.exactOptional(
    v.pipe(
      v.array(DimensionSchema),
      v.maxLength(limits.dimensions, `at most ${limits.dimensions} dimensions`),
      differ("attributes that differ", "attribute"),
    ),
  ),
  plan: v.exactOptional(PlanSchema),
  ramp: v.optional(RampSchema),
  guardrails: v.optional(
    v.pipe(v.array(GuardrailSchema), v.maxLength(limits.guardrails, `at most ${limits.guardrails} guardrails`)),
  ),
  /** What stops it by itself, besides guardrails. */
  autoStop: v.optional(
    v.pipe(v.array(AutoStopSchema), v.maxLength(limits.guardrails, `at most ${limits.guardrails} rules`)),
  ),
  schedule: v.optional(ScheduleSchema),
});

/** A rule on a metric that nobody counts under that name, or whose sequence is never shown, would never act. */
const namesDeclared = ({ autoStop = [], metrics = [] }: v.InferOutput<typeof ConfigurationObject>): boolean =>
  autoStop.every(
    ({ metric }) =>
      metric === undefined ||
      metrics.some(
        ({ name, kind, cap }) => name === metric && kind !== "ratio" && (kind === "binary" || cap !== undefined),
      ),
  );

/** Parses what a person wrote into a {@link Configuration}: defaults filled in, unknown members refused. */
export const ConfigurationSchema = v.pipe(
  ConfigurationObject,
  v.check(namesDeclared, "autoStop on declared metrics, binary or with a cap"),
  v.rawCheck(({ dataset, addIssue }) => {
    if (!dataset.typed) return;
    try {
      if (byteLength(canonicalJson(dataset.value)) > limits.configurationBytes)
        addIssue({ message: `at most ${limits.configurationBytes} bytes as canonical JSON` });
    } catch {
      // JSON text can hold both: 1e400 is read as Infinity, and \ud800 stands alone. Neither has a canonical form.
      addIssue({ message: "finite numbers, and text without lone surrogates" });
    }
  }),
);

/** One experiment's definition at one version; immutable once written. */
export type Configuration = v.InferOutput<typeof ConfigurationSchema>;
/** A configuration as a person writes it, before defaults. */
export type ConfigurationInput = v.InferInput<typeof ConfigurationSchema>;
export type Guardrail = NonNullable<Configuration["guardrails"]>[number];
export type RampStep = NonNullable<Configuration["ramp"]>["steps"][number];
export type Variant = Configuration["variants"][number];
export type DeclaredMetric = NonNullable<Configuration["metrics"]>[number];
export type Dimension = NonNullable<Configuration["dimensions"]>[number];
export type AnalysisPlan = NonNullable<Configuration["plan"]>;

/** A configuration as it is stored: the salt is settled when the version is written. */
export type SettledConfiguration = Configuration & { readonly salt: string };

const proseMembers = new Set(["description", "owner", "labels"]);

/**
 * SHA-256 of the canonical configuration without its prose, so that a typo mended in a description voids no
 * approval while any change of behaviour does. Computed once, when a version is written, and stored.
 *
 * @example configurationDigest(configuration) // "9f86d081884c7d65…" (64 hex digits)
 */
export const configurationDigest = (configuration: SettledConfiguration): string =>
  digestOf(Object.fromEntries(Object.entries(configuration).filter(([member]) => !proseMembers.has(member))));

/** The variant everybody gets when the experiment does not serve. The schema has made sure there is exactly one. */
export const controlOf = (configuration: Pick<Configuration, "variants">): Variant => {
  const control = configuration.variants.find((variant) => variant.control === true);
  if (control === undefined) throw new TypeError("configuration: no control variant");
  return control;
};
