/** An OpenTelemetry collector that is strict: what the published schema does not have is refused. */
import * as v from "valibot";
import type { Fetcher } from "../../src/fetcher.ts";

/** `opentelemetry-proto` 1.7, `logs/v1/logs.proto` and `common/v1/common.proto`, in the JSON encoding of OTLP. */
export interface Value {
  readonly stringValue?: string | undefined;
  readonly boolValue?: boolean | undefined;
  readonly intValue?: string | undefined;
  readonly doubleValue?: number | undefined;
  readonly arrayValue?: { readonly values: readonly Value[] } | undefined;
  readonly kvlistValue?: { readonly values: readonly { readonly key: string; readonly value: Value }[] } | undefined;
}
const unicode = v.pipe(
  v.string(),
  v.check((text) => text.isWellFormed(), "UTF-8"),
);
const AnyValue: v.GenericSchema<Value> = v.pipe(
  v.strictObject({
    stringValue: v.optional(unicode),
    boolValue: v.optional(v.boolean()),
    intValue: v.optional(v.pipe(v.string(), v.regex(/^-?\d{1,19}$/))),
    doubleValue: v.optional(v.number()),
    arrayValue: v.optional(v.strictObject({ values: v.array(v.lazy(() => AnyValue)) })),
    kvlistValue: v.optional(v.strictObject({ values: v.array(v.lazy(() => KeyValue)) })),
  }),
  v.check((value) => Object.keys(value).length <= 1, "one kind of value"),
);
const KeyValue = v.strictObject({ key: unicode, value: AnyValue });
const attributes = v.pipe(
  v.array(KeyValue),
  v.check((list) => new Set(list.map(({ key }) => key)).size === list.length, "keys that differ"),
);
const fixed64 = v.pipe(v.string(), v.regex(/^\d{1,20}$/));
const LogRecord = v.strictObject({
  timeUnixNano: fixed64,
  observedTimeUnixNano: fixed64,
  severityNumber: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(24)),
  severityText: unicode,
  eventName: v.pipe(unicode, v.minLength(1)),
  body: v.optional(AnyValue),
  attributes,
});
const ExportLogsServiceRequest = v.strictObject({
  resourceLogs: v.array(
    v.strictObject({
      resource: v.strictObject({ attributes }),
      scopeLogs: v.array(
        v.strictObject({ scope: v.strictObject({ name: unicode, version: unicode }), logRecords: v.array(LogRecord) }),
      ),
    }),
  ),
});

/** A value of OTLP as JSON has it. */
export const plain = (value: Value): unknown => {
  if (value.stringValue !== undefined) return value.stringValue;
  if (value.boolValue !== undefined) return value.boolValue;
  if (value.intValue !== undefined) return Number(value.intValue);
  if (value.doubleValue !== undefined) return value.doubleValue;
  if (value.arrayValue !== undefined) return value.arrayValue.values.map(plain);
  if (value.kvlistValue !== undefined) {
    return Object.fromEntries(value.kvlistValue.values.map((entry) => [entry.key, plain(entry.value)]));
  }
  return null;
};
/** A collector that takes what the published schema has, and nothing else. */
export const otlpCollector = () => {
  const records: v.InferOutput<typeof LogRecord>[] = [];
  const requests: { readonly url: string; readonly headers: Record<string, string> }[] = [];
  let answers: { readonly status: number; readonly body?: string; readonly retryAfter?: string }[] = [];
  const fetch: Fetcher = async (url, { method, headers, body = "" }) => {
    requests.push({ url, headers });
    if (method !== "POST" || headers["content-type"] !== "application/json") return new Response("", { status: 415 });
    if (body.length > 20 * 1024 * 1024) return new Response("", { status: 413 });
    const next = answers.shift();
    if (next !== undefined) {
      return new Response(next.body ?? "", {
        status: next.status,
        ...(next.retryAfter !== undefined && { headers: { "retry-after": next.retryAfter } }),
      });
    }
    const parsed = v.safeParse(ExportLogsServiceRequest, JSON.parse(body));
    if (!parsed.success) return new Response(JSON.stringify(v.flatten(parsed.issues)), { status: 400 });
    for (const { scopeLogs } of parsed.output.resourceLogs)
      records.push(...scopeLogs.flatMap((scope) => scope.logRecords));
    return new Response("{}", { status: 200 });
  };
  return {
    fetch,
    records,
    requests,
    answer: (...next: typeof answers) => void (answers = next),
    bodies: () => records.flatMap(({ body }) => (body === undefined ? [] : [plain(body)])),
    evaluations: () => records.filter(({ eventName }) => eventName === "feature_flag.evaluation"),
  };
};
