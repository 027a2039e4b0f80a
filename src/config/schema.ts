/** The whole configuration language as one valibot schema. */
import * as v from "valibot";
import { DurationSchema, parseDuration } from "../duration.ts";
import { ConfigurationSchema } from "../experiment.ts";
import { GateSchema } from "../governance/gates/schema.ts";
import { PolicySchema } from "../governance/policies/schema.ts";
import { isShardCount } from "../ledger/shard.ts";
import { limits } from "../limits.ts";
import { NameSchema } from "../scope.ts";
import { AuthSchema, CorsSchema, HistorySchema, RateLimitsSchema } from "./http-schema.ts";
import { AuditSchema, NoticesSchema, RulesSchema, TelemetrySchema } from "./delivery-schema.ts";
import { PersistenceSchema } from "./persistence.ts";
import { SinksSchema } from "./sink-schema.ts";

const longestIntervalMs = 3_600_000;

const GovernanceSchema = v.strictObject({
  persistence: v.optional(PersistenceSchema, {}),
  approvalGates: v.optional(
    v.pipe(v.array(GateSchema), v.maxLength(limits.dslRules, `at most ${limits.dslRules} gates`)),
    [],
  ),
  policies: v.optional(
    v.pipe(v.array(PolicySchema), v.maxLength(limits.dslRules, `at most ${limits.dslRules} policies`)),
    [],
  ),
  /** Who may go past gates and policies, with a reason that is recorded; nobody when it is left out. */
  breakGlass: v.optional(
    v.strictObject({
      roles: v.pipe(v.array(NameSchema), v.minLength(1, "at least one role"), v.maxLength(32, "at most 32 roles")),
    }),
  ),
  /** How often the guardrails of an experiment that serves are evaluated. */
  guardrailInterval: v.optional(
    v.pipe(
      DurationSchema,
      v.check((text) => {
        const milliseconds = parseDuration(text);
        return milliseconds === undefined || (milliseconds >= 1_000 && milliseconds <= longestIntervalMs);
      }, "1s to 1h"),
    ),
    "60s",
  ),
  /**
   * An experiment under `experiments` that reads differently from its newest version is written as a new one. Off by
   * default: a version that somebody wrote through the API would be undone by the next start.
   */
  enableAutoVersioning: v.optional(v.boolean(), false),
  optimisticConcurrency: v.optional(
    v.literal(true, "true: every commit names the state it was decided on, and nothing turns that off"),
    true,
  ),
  retainHistory: v.optional(
    v.literal(true, "true: the history is append-only and proves what happened, so it is always kept"),
    true,
  ),
  auth: v.optional(AuthSchema, { type: "development" }),
  /** Who hears of what happens: signed webhooks, and Slack. */
  notices: v.optional(NoticesSchema, []),
  /** Where every event goes besides the history. */
  audit: v.optional(AuditSchema, []),
  telemetry: v.optional(TelemetrySchema, {}),
  /** Where the rules go that applications evaluate. */
  rules: v.optional(RulesSchema, {}),
  /** Pages of which origins may speak to the API; left out: of none but its own. */
  cors: v.exactOptional(CorsSchema),
  /** Counted by each isolate for itself; under development identity not at all. */
  rateLimits: v.optional(RateLimitsSchema, {}),
  history: v.optional(HistorySchema, {}),
  /** Writes without `If-Match` are refused (428). */
  requireIfMatch: v.optional(v.boolean(), false),
  /** Writes without `Idempotency-Key` are refused (428). */
  requireIdempotencyKey: v.optional(v.boolean(), false),
});

const BatchingSchema = v.strictObject({
  maxEvents: v.optional(
    v.pipe(
      v.number(),
      v.integer("a whole number"),
      v.minValue(1, `1 to ${limits.batchEvents}`),
      v.maxValue(limits.batchEvents, `1 to ${limits.batchEvents}`),
    ),
    100,
  ),
  /** UTF-8 bytes; a batch must have room for one event of the largest size. */
  maxBytes: v.optional(
    v.pipe(
      v.number(),
      v.integer("a whole number"),
      v.minValue(limits.eventBytes, `${limits.eventBytes} to ${limits.batchBytes}`),
      v.maxValue(limits.batchBytes, `${limits.eventBytes} to ${limits.batchBytes}`),
    ),
    64 * 1024,
  ),
  /** The longest an event waits for its batch. */
  interval: v.optional(
    v.pipe(
      DurationSchema,
      v.check((text) => {
        const milliseconds = parseDuration(text);
        return milliseconds === undefined || (milliseconds > 0 && milliseconds <= longestIntervalMs);
      }, "more than 0 and at most 1h"),
    ),
    "1s",
  ),
});

const SamplingSchema = v.strictObject({
  /** Share of subjects whose exposures are sent; the weight travels with the event. */
  rate: v.optional(v.pipe(v.number(), v.minValue(0, "0 to 1"), v.maxValue(1, "0 to 1")), 1),
});

/** Which types of events applications send, and the Worker takes. */
const EventTogglesSchema = v.strictObject({
  exposures: v.optional(v.boolean(), true),
  outcomes: v.optional(v.boolean(), true),
  assignments: v.optional(v.boolean(), true),
  errors: v.optional(v.boolean(), true),
  signals: v.optional(v.boolean(), true),
});

const LedgerSchema = v.strictObject({
  /**
   * Objects that count one experiment, each some of its subjects. It may be raised while experiments run, and then their
   * subjects move; a lower number than an experiment has already changes nothing.
   */
  shards: v.optional(
    v.pipe(
      v.number(),
      v.check(
        (count) => isShardCount(count) && count <= limits.ledgerShards,
        `a power of two, 1 to ${limits.ledgerShards}`,
      ),
    ),
    1,
  ),
});

const DataPlaneSchema = v.strictObject({
  events: v.optional(EventTogglesSchema, {}),
  ledger: v.optional(LedgerSchema, {}),
  batching: v.optional(BatchingSchema, {}),
  sampling: v.optional(SamplingSchema, {}),
  /** Where the Worker's consumer puts events besides the ledger. */
  sinks: v.optional(SinksSchema, []),
});

/**
 * The configuration language, defaults filled in. Rules that look at several parts at once (names that must differ,
 * gates that contradict each other) are checked beside it, by `loadDsl` and `defineDsl`.
 */
export const DslSchema = v.strictObject({
  governance: v.optional(GovernanceSchema, {}),
  dataPlane: v.optional(DataPlaneSchema, {}),
  experiments: v.optional(
    v.pipe(
      v.array(ConfigurationSchema),
      v.maxLength(limits.dslExperiments, `at most ${limits.dslExperiments} experiments`),
    ),
    [],
  ),
});

/** A configuration with every default filled in. */
export type Dsl = v.InferOutput<typeof DslSchema>;
/** A configuration as a person writes it. */
export type DslInput = v.InferInput<typeof DslSchema>;

/** A file may put everything under this one key, beside nothing else. */
export const rootKey = "experimentFramework";
