/**
 * Events as they arrive from outside, checked against {@link EnvelopeSchema}. Tens of thousands of events a second
 * pass here twice (ingest and consumer) and the schema takes 3 to 5 µs for each, so well-formed events of the common
 * shapes are recognised by hand. The quick check may be narrower than the schema, never wider: whatever it does not
 * recognise is left to the schema, and a test holds the two against each other.
 */
import * as v from "valibot";
import type { LocatedMessage } from "../errors.ts";
import { limits } from "../limits.ts";
import {
  type Envelope,
  type EnvelopeInput,
  EnvelopeSchema,
  type Exposure,
  type Outcome,
  schemaVersion,
} from "./envelope.ts";

type Members = Readonly<Record<string, unknown>>;

const isMembers = (value: unknown): value is Members =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const zonedTime = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?Z$/;
const name = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
const asciiKey = /^[ -~]{1,64}$/;

const isId = (value: unknown): value is string => typeof value === "string" && uuid.test(value);
const isTime = (value: unknown): value is string =>
  typeof value === "string" && zonedTime.test(value) && Number.isFinite(Date.parse(value));
const isPlainName = (value: unknown): value is string => typeof value === "string" && name.test(value);
const isVariantKey = (value: unknown): value is string =>
  typeof value === "string" && asciiKey.test(value) && value !== "__proto__";
const isSubjectId = (value: unknown): value is string =>
  typeof value === "string" &&
  value.length >= 1 &&
  value.length <= limits.subjectIdCharacters &&
  !value.includes("\u0000") &&
  value.isWellFormed();
const isBoolean = (value: unknown): value is boolean => typeof value === "boolean";
const isText = (value: unknown): value is string => typeof value === "string";
const isWhole = (value: unknown): value is number =>
  typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
const isWeight = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value) && value >= 1;
const isMagnitude = (value: unknown): value is number =>
  typeof value === "number" && Math.abs(value) <= limits.outcomeMagnitude;

/** Keys that the schema drops from a record; records with one of them are left to it. */
const isPlainRecord = (value: unknown): value is Record<string, unknown> =>
  isMembers(value) &&
  !Object.hasOwn(value, "__proto__") &&
  !Object.hasOwn(value, "prototype") &&
  !Object.hasOwn(value, "constructor");

const optional = <Type>(value: unknown, is: (value: unknown) => value is Type): value is Type | undefined =>
  value === undefined || is(value);

const commonExposure = (payload: Members): Exposure | undefined => {
  const { experimentName, subjectId, tenantId, environment, variantKey, subjectType, timestamp } = payload;
  const { selectionReason, assignmentPolicy, isRepeatExposure, rulePath, attributes, version, digest } = payload;
  const { epoch = 0, weight = 1 } = payload;
  if (!isPlainName(experimentName) || !isSubjectId(subjectId) || !isVariantKey(variantKey)) return undefined;
  if (!optional(tenantId, isPlainName) || !optional(environment, isPlainName)) return undefined;
  if (!optional(timestamp, isTime) || !isWhole(epoch) || !isWeight(weight)) return undefined;
  if (!optional(subjectType, isText) || !optional(selectionReason, isText) || !optional(rulePath, isText)) {
    return undefined;
  }
  if (!optional(assignmentPolicy, isText) || !optional(digest, isText) || !optional(version, isWhole)) return undefined;
  if (!optional(isRepeatExposure, isBoolean) || !optional(attributes, isPlainRecord)) return undefined;
  return {
    experimentName,
    subjectId,
    tenantId,
    environment,
    variantKey,
    subjectType,
    timestamp,
    selectionReason,
    assignmentPolicy,
    isRepeatExposure,
    rulePath,
    attributes,
    version,
    digest,
    epoch,
    weight,
  };
};

const commonOutcome = (payload: Members): Outcome | undefined => {
  const { experimentName, subjectId, tenantId, environment, metric, timestamp, kind, value } = payload;
  if (!isPlainName(experimentName) || !isSubjectId(subjectId) || !isPlainName(metric)) return undefined;
  if (!optional(tenantId, isPlainName) || !optional(environment, isPlainName)) return undefined;
  if (!optional(timestamp, isTime)) return undefined;
  const addressed = { experimentName, subjectId, tenantId, environment, metric, timestamp };
  if (kind === "binary" && (isBoolean(value) || value === 0 || value === 1)) return { ...addressed, kind, value };
  if (kind === "count" && isMagnitude(value) && value >= 0) return { ...addressed, kind, value };
  if (kind === "continuous" && isMagnitude(value)) return { ...addressed, kind, value };
  if (kind === "duration" && isMagnitude(value) && value >= 0) return { ...addressed, kind, value };
  return undefined;
};

const common = (input: unknown): Envelope | undefined => {
  if (!isMembers(input)) return undefined;
  const { eventId, timestamp, eventType, payload, correlationId, metadata } = input;
  if (!isId(eventId) || !isTime(timestamp) || !isMembers(payload)) return undefined;
  if (input["schemaVersion"] !== undefined && input["schemaVersion"] !== schemaVersion) return undefined;
  if (correlationId !== undefined || !optional(metadata, isPlainRecord)) return undefined;
  const enveloped = { eventId: eventId.toLowerCase(), timestamp, schemaVersion, metadata };
  if (eventType === "Exposure") {
    const exposure = commonExposure(payload);
    return exposure && { ...enveloped, eventType, payload: exposure };
  }
  if (eventType === "Outcome") {
    const outcome = commonOutcome(payload);
    return outcome && { ...enveloped, eventType, payload: outcome };
  }
  return undefined;
};

/** True for exactly what {@link EnvelopeSchema} accepts. */
export const isEvent = (input: unknown): input is EnvelopeInput =>
  common(input) !== undefined || v.is(EnvelopeSchema, input);

const messageCharacters = 300;

const pointer = (issue: v.BaseIssue<unknown>): string =>
  (issue.path ?? []).map(({ key }) => `/${String(key).replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");

const located = (issue: v.BaseIssue<unknown>): LocatedMessage => {
  const expected = issue.kind === "schema" ? (issue.expected ?? issue.message) : issue.message;
  const message = `expected ${expected}, found ${issue.received}`;
  // What was found is quoted, and may be as long as an event.
  return { path: pointer(issue), message: message.slice(0, messageCharacters) };
};

type Problems = readonly [LocatedMessage, ...LocatedMessage[]];

const problemsFrom = ([first, ...others]: readonly [v.BaseIssue<unknown>, ...v.BaseIssue<unknown>[]]): Problems => [
  located(first),
  ...others.map(located),
];

/** Every place that is wrong in something that {@link isEvent} refused. */
export const problemsOf = (input: unknown): Problems => {
  const result = v.safeParse(EnvelopeSchema, input);
  if (result.success) throw new TypeError("problemsOf: nothing is wrong with this event");
  return problemsFrom(result.issues);
};

/** A parsed event (ids in lower case, defaults filled in, unknown members left out), or every place that is wrong. */
export type ParsedEvent =
  | { readonly ok: true; readonly event: Envelope }
  | { readonly ok: false; readonly problems: Problems };

/**
 * Parses one event. Members that a newer minor version adds are ignored; another major version is refused.
 *
 * @example parseEvent({ eventType: "Click" }) // { ok: false, problems: [{ path: "/eventType", message: "expected …" }] }
 */
export const parseEvent = (input: unknown): ParsedEvent => {
  const event = common(input);
  if (event !== undefined) return { ok: true, event };
  const result = v.safeParse(EnvelopeSchema, input);
  return result.success ? { ok: true, event: result.output } : { ok: false, problems: problemsFrom(result.issues) };
};
