/**
 * Sends events as OpenTelemetry log records over OTLP/HTTP in its JSON encoding (`POST {url}/v1/logs`). Every event is a
 * record `proviso.<type>` with the whole event as its body; an exposure is a second one besides, `feature_flag.evaluation`
 * by the semantic conventions, for tools that know those and not Proviso.
 */
import type { EnvelopeInput } from "../../src/events/envelope.ts";
import { post } from "../../src/events/post.ts";
import { encodeBatch, runsOf, type PlacedEvent } from "../../src/events/send.ts";
import { SinkError } from "../../src/events/sink-error.ts";
import { trackHealth } from "../../src/events/sink-health.ts";
import type { EventSink, SinkReceipt } from "../../src/events/sink.ts";
import { endpoint, type Fetcher } from "../../src/fetcher.ts";

/** A value of OTLP: exactly one member, or none for null. 64-bit integers are texts in its JSON. */
export type AnyValue =
  | { readonly stringValue: string }
  | { readonly boolValue: boolean }
  | { readonly intValue: string }
  | { readonly doubleValue: number }
  | { readonly arrayValue: { readonly values: readonly AnyValue[] } }
  | { readonly kvlistValue: { readonly values: readonly KeyValue[] } }
  | Readonly<Record<string, never>>;
export interface KeyValue {
  readonly key: string;
  readonly value: AnyValue;
}

export interface OtelSinkOptions {
  /** Base address of a collector, e.g. `http://127.0.0.1:4318`. */
  readonly url: string;
  /** E.g. what authorises. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Attributes of the resource. Default `{ "service.name": "proviso" }`. */
  readonly resource?: Readonly<Record<string, string>>;
  /** Also write `feature_flag.evaluation` for exposures. Default true. */
  readonly evaluations?: boolean;
  readonly fetch?: Fetcher;
  /** Default 10 seconds, as OTLP exporters have it. */
  readonly timeoutMs?: number;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

/** The collector takes 20 MiB by default; attributes come on top of what is counted here. */
const partBytes = 2 * 1024 * 1024;
const partEvents = 1_000;

/** Protocol buffers hold Unicode; a lone surrogate would have the whole request refused. */
const text = (value: string): AnyValue => ({ stringValue: value.toWellFormed() });

/**
 * Readers of protocol buffers go a hundred messages deep, and a level of JSON is up to three. What lies deeper goes as its
 * text: attributes are the senders' to write, and one event must not have its whole batch refused.
 */
const levelsMax = 24;

const anyValue = (value: unknown, levels = levelsMax): AnyValue => {
  if (typeof value === "string") return text(value);
  if (typeof value === "boolean") return { boolValue: value };
  if (typeof value === "number") {
    return Number.isSafeInteger(value) && !Object.is(value, -0) ? { intValue: String(value) } : { doubleValue: value };
  }
  if (typeof value !== "object" || value === null) return {};
  if (levels === 0) return text(JSON.stringify(value));
  return Array.isArray(value)
    ? { arrayValue: { values: value.map((item) => anyValue(item, levels - 1)) } }
    : { kvlistValue: { values: keyValues(Object.entries(value), levels - 1) } };
};

const keyValues = (entries: readonly (readonly [string, unknown])[], levels = levelsMax): readonly KeyValue[] =>
  entries.flatMap(([key, value]) =>
    value === undefined ? [] : [{ key: key.toWellFormed(), value: anyValue(value, levels) }],
  );

const nanoseconds = (ms: number): string => `${Math.round(ms)}000000`;

/** Severity numbers of the log data model: INFO, WARN, ERROR, FATAL. */
const severities = { Info: [9, "INFO"], Warning: [13, "WARN"], Error: [17, "ERROR"], Critical: [21, "FATAL"] } as const;
const severityOf = (event: EnvelopeInput): readonly [number, string] => {
  if (event.eventType === "Error") return severities.Error;
  return event.eventType === "AnalysisSignal" ? severities[event.payload.severity] : severities.Info;
};

/** Reasons of the convention are lower-case, and those of OpenFeature are upper-case. */
const reasonOf = (reason: string | undefined): string => (reason ?? "unknown").toLowerCase();

/** Attributes of `feature_flag.evaluation`, semantic conventions 1.37. */
const evaluation = ({ payload }: Extract<EnvelopeInput, { eventType: "Exposure" }>): readonly KeyValue[] =>
  keyValues([
    ["feature_flag.key", payload.experimentName],
    ["feature_flag.provider.name", "proviso"],
    ["feature_flag.result.variant", payload.variantKey],
    ["feature_flag.result.reason", reasonOf(payload.selectionReason)],
    ["feature_flag.context.id", payload.subjectId],
    [
      "feature_flag.set.id",
      payload.tenantId === undefined ? undefined : `${payload.tenantId}/${payload.environment ?? "default"}`,
    ],
    ["feature_flag.version", payload.version === undefined ? undefined : String(payload.version)],
  ]);

const common = (event: EnvelopeInput): readonly KeyValue[] =>
  keyValues([
    ["proviso.event.id", event.eventId],
    ["proviso.event.type", event.eventType],
    ["proviso.experiment", event.payload.experimentName],
  ]);

const isPartial = (
  value: unknown,
): value is { readonly partialSuccess: { readonly rejectedLogRecords?: unknown; readonly errorMessage?: unknown } } =>
  typeof value === "object" &&
  value !== null &&
  "partialSuccess" in value &&
  typeof value.partialSuccess === "object" &&
  value.partialSuccess !== null;

const parse = (body: string): unknown => {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
};

/**
 * By the specification 429, 502, 503 and 504 may be tried again; every other refusal is for good. A collector that takes a
 * part does not say which: its message is reported in the health, and the batch counts as accepted.
 *
 * @throws TypeError when `url` is not an absolute URL
 * @example
 * const sink = otelSink({ url: "http://127.0.0.1:4318", resource: { "service.name": "checkout" } });
 */
export const otelSink = (options: OtelSinkOptions): EventSink => {
  const { resource = { "service.name": "proviso" }, evaluations = true, timeoutMs = 10_000, now = Date.now } = options;
  const url = endpoint(options.url, "v1/logs").href;
  const headers = { ...options.headers, "content-type": "application/json", accept: "application/json" };
  const tracker = trackHealth();
  let partial: string | undefined;

  const records = (event: EnvelopeInput): readonly object[] => {
    const time = nanoseconds(Date.parse(event.timestamp));
    const [severityNumber, severityText] = severityOf(event);
    const base = { timeUnixNano: time, observedTimeUnixNano: nanoseconds(now()), severityNumber, severityText };
    const own = {
      ...base,
      eventName: `proviso.${event.eventType.toLowerCase()}`,
      body: anyValue(JSON.parse(JSON.stringify(event))),
      attributes: common(event),
    };
    if (event.eventType !== "Exposure" || !evaluations) return [own];
    return [
      { ...base, eventName: "feature_flag.evaluation", attributes: [...evaluation(event), ...common(event)] },
      own,
    ];
  };

  const sendPart = async (part: readonly PlacedEvent[], events: readonly EnvelopeInput[]): Promise<SinkReceipt> => {
    const logRecords = part.flatMap(({ index }) => {
      const event = events[index];
      return event === undefined ? [] : records(event);
    });
    const body = JSON.stringify({
      resourceLogs: [
        {
          resource: { attributes: keyValues(Object.entries(resource)) },
          scopeLogs: [{ scope: { name: "proviso", version: "1.0.0" }, logRecords }],
        },
      ],
    });
    const answer = await post(url, body, { fetch: options.fetch, headers, timeoutMs, now });
    const message = `${url}: answered ${answer.status}: ${answer.text.slice(0, 200)}`;
    if (answer.ok) {
      const said = parse(answer.text);
      if (isPartial(said) && Number(said.partialSuccess.rejectedLogRecords ?? 0) > 0) partial = message;
      return { accepted: part.length, rejected: [] };
    }
    if ([408, 429, 502, 503, 504].includes(answer.status)) {
      throw new SinkError(message, { retryAfterMs: answer.retryAfterMs });
    }
    // A collector that breaks, or wants another key, may be mended; what it calls a bad request stays one.
    if (answer.status !== 400 && answer.status !== 413) throw new SinkError(message);
    return { accepted: 0, rejected: part.map(({ index }) => ({ index, message })) };
  };

  return {
    name: "otel",
    async send(events) {
      const { encoded, rejected } = encodeBatch(events);
      const receipts: SinkReceipt[] = [];
      const sendAll = async (): Promise<void> => {
        for (const part of runsOf(encoded, partEvents, partBytes)) receipts.push(await sendPart(part, events));
      };
      await tracker.watch(sendAll());
      return {
        accepted: receipts.reduce((sum, { accepted }) => sum + accepted, 0),
        rejected: [...rejected, ...receipts.flatMap((receipt) => receipt.rejected)].toSorted(
          (a, b) => a.index - b.index,
        ),
      };
    },
    health() {
      const health = tracker.health();
      if (partial === undefined || health.status !== "healthy") return health;
      return { status: "degraded", description: `the collector took a part only: ${partial}` };
    },
  };
};
