/** The part of the configuration language that says who is told of what happens, and what is measured of the work itself. */
import * as v from "valibot";
import { isPostAddress } from "../delivery/post.ts";
import { limits } from "../limits.ts";
import { noticeKinds, personalChoices } from "../notices/notice.ts";
import { ExperimentNameSchema, NameSchema } from "../scope.ts";
import { AddressSchema, between, binding, secret, TimeLimitSchema } from "./parts.ts";

const namesMax = 100;
const names = <Schema extends v.GenericSchema>(schema: Schema) =>
  v.exactOptional(
    v.pipe(v.array(schema), v.minLength(1, "at least one"), v.maxLength(namesMax, `at most ${namesMax}`)),
  );

const PersonalSchema = v.optional(v.picklist(personalChoices, personalChoices.join(", ")), "none");

const link = "an https: address, in which {tenant}, {environment} and {experiment} are filled in";

const ofNotices = {
  /** Its place in every history is kept under this name: another name begins anew. */
  name: NameSchema,
  /** Left out: all, here and below. */
  kinds: names(v.picklist(noticeKinds, noticeKinds.join(", "))),
  tenants: names(NameSchema),
  environments: names(NameSchema),
  experiments: names(ExperimentNameSchema),
  /** What of people leaves with a notice: nothing, their ids, or also what they wrote. It cannot be erased there. */
  personal: PersonalSchema,
  /** Where a person looks at the experiment. */
  link: v.exactOptional(
    v.pipe(
      v.string(link),
      v.maxLength(limits.webhookAddressCharacters, `at most ${limits.webhookAddressCharacters} characters`),
      v.check((text) => isPostAddress(text.replaceAll(/[{}]/g, ""), true), link),
    ),
  ),
  /** What happened longer ago is no news any more. */
  maxAge: v.optional(between("1m", "30d"), "3d"),
  timeLimit: TimeLimitSchema,
};

const NoticeSchema = v.variant("type", [
  v.strictObject({
    type: v.literal("webhook"),
    url: AddressSchema,
    /** The secret that notices are signed with: `whsec_…`, or several with blanks between. */
    secret: secret("WEBHOOK_SECRET"),
    ...ofNotices,
  }),
  v.strictObject({
    type: v.literal("slack"),
    /** The secret that holds the address of the incoming webhook: whoever knows it can post. */
    urlSecret: secret("SLACK_WEBHOOK_URL"),
    ...ofNotices,
  }),
]);

export const NoticesSchema = v.pipe(v.array(NoticeSchema), v.maxLength(limits.notices, `at most ${limits.notices}`));

const AuditSinkSchema = v.variant("type", [
  v.strictObject({ type: v.literal("log"), name: v.optional(NameSchema, "log"), personal: PersonalSchema }),
  v.strictObject({
    type: v.literal("webhook"),
    name: v.optional(NameSchema, "webhook"),
    url: AddressSchema,
    /** The secret that batches are signed with. */
    secret: secret("AUDIT_SECRET"),
    /** The secret that holds what the collector wants to see in `Authorization`. */
    authorizationSecret: v.exactOptional(secret("SIEM_AUTHORIZATION")),
    personal: PersonalSchema,
    timeLimit: TimeLimitSchema,
  }),
  v.strictObject({
    type: v.literal("queue"),
    name: v.optional(NameSchema, "queue"),
    /** Name of the queue binding. */
    queue: binding("AUDIT"),
    personal: PersonalSchema,
  }),
]);

export const AuditSchema = v.pipe(
  v.array(AuditSinkSchema),
  v.maxLength(limits.auditSinks, `at most ${limits.auditSinks}`),
);

/** Who may read `GET /metrics`. */
export const metricsChoices = ["off", "operators", "public"] as const;

export const TelemetrySchema = v.strictObject({
  metrics: v.optional(v.picklist(metricsChoices, metricsChoices.join(", ")), "off"),
  /** Spans over OTLP/HTTP. */
  traces: v.exactOptional(
    v.strictObject({
      /** The collector's address for traces, such as https://otel.example.com/v1/traces. */
      url: AddressSchema,
      /** The secret that holds what the collector wants to see in `Authorization`. */
      authorizationSecret: v.exactOptional(secret("OTEL_AUTHORIZATION")),
      service: v.optional(NameSchema, "proviso"),
      /** Share of traces that are kept. */
      sampling: v.optional(v.pipe(v.number(), v.minValue(0, "0 to 1"), v.maxValue(1, "0 to 1")), 1),
    }),
  ),
});

export const RulesSchema = v.strictObject({
  /** Name of the KV binding that published rules are written to; left out: they are read over HTTP alone. */
  kv: v.exactOptional(binding("RULES")),
});
