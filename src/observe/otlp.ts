/** Spans over OTLP/HTTP as JSON, for a runtime without an OpenTelemetry SDK: one request for each trace. */
import { createPoster, type Post } from "../delivery/post.ts";
import { nameOf, prefixed } from "./open-telemetry.ts";
import { type Attributes, type Observer, watched } from "./observer.ts";

/** Hands the present span on to what it calls: `AsyncLocalStorage` fits. Without one, every span is its own trace. */
export interface SpanScope {
  getStore(): unknown;
  run<Result>(store: unknown, work: () => Result): Result;
}

export interface OtlpObserverOptions {
  /** The collector's address for traces, e.g. `https://otel.example/v1/traces`. */
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly service?: string | undefined;
  /** Share of traces that are kept. Default 1. */
  readonly sampling?: number | undefined;
  readonly scope?: SpanScope | undefined;
  /** Keeps the sending alive. */
  readonly background?: ((work: Promise<unknown>) => void) | undefined;
  readonly report?: ((error: unknown) => void) | undefined;
  readonly fetch?: Post | undefined;
  readonly timeoutMs?: number | undefined;
  readonly development?: boolean | undefined;
  /** Milliseconds since the epoch. */
  readonly now?: (() => number) | undefined;
  /** So many random bytes, as hex. */
  readonly randomHex?: ((bytes: number) => string) | undefined;
}

type Value = { readonly stringValue: string } | { readonly boolValue: boolean } | { readonly doubleValue: number };

interface EndedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  /** `SPAN_KIND_INTERNAL`. */
  readonly kind: 1;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly { readonly key: string; readonly value: Value }[];
  readonly status?: { readonly code: 2; readonly message: string };
}

/** A trace while it runs. */
class Trace {
  readonly id: string;
  readonly spans: EndedSpan[] = [];
  constructor(id: string) {
    this.id = id;
  }
}

class Position {
  readonly trace: Trace;
  readonly spanId: string;
  constructor(trace: Trace, spanId: string) {
    this.trace = trace;
    this.spanId = spanId;
  }
}

/** A trace that goes on for ever must not fill the memory: its later spans are left out. */
const spansMax = 500;

const valueOf = (value: string | number | boolean): Value =>
  typeof value === "string"
    ? { stringValue: value }
    : typeof value === "boolean"
      ? { boolValue: value }
      : { doubleValue: value };

const attributesOf = (attributes: Attributes): EndedSpan["attributes"] =>
  Object.entries(prefixed(attributes)).map(([key, value]) => ({ key, value: valueOf(value) }));

const hexOf = (bytes: number): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (byte) => byte.toString(16).padStart(2, "0")).join("");

const nanoseconds = (ms: number): string => `${Math.round(ms * 1_000)}000`;

/**
 * Observability must not hold up what it observes: a collector that is away loses traces, and nothing else.
 *
 * @throws TypeError for an address that nothing is posted to
 * @example const observer = otlpObserver({ url: "https://otel.example/v1/traces", scope: new AsyncLocalStorage() });
 */
export const otlpObserver = (options: OtlpObserverOptions): Observer => {
  const { url, fetch, timeoutMs, development, headers = {}, service = "proviso", sampling = 1, scope } = options;
  const { now = Date.now, randomHex = hexOf, background = () => undefined, report = () => undefined } = options;
  const post = createPoster({ url, fetch, timeoutMs, development, now });
  const resource = { attributes: [{ key: "service.name", value: { stringValue: service } }] };

  const send = ({ spans }: Trace): void => {
    const body = JSON.stringify({ resourceSpans: [{ resource, scopeSpans: [{ scope: { name: "proviso" }, spans }] }] });
    background(post(body, { "content-type": "application/json", ...headers }).catch(report));
  };

  /** Of 32 random bits of the trace's id: everybody who looks at it decides the same. */
  const isKept = (traceId: string): boolean => Number.parseInt(traceId.slice(0, 8), 16) < sampling * 2 ** 32;

  return {
    run(operation, attributes, work) {
      const parent = scope?.getStore();
      const above = parent instanceof Position ? parent : undefined;
      const trace = above?.trace ?? new Trace(randomHex(16));
      const position = new Position(trace, randomHex(8));
      const began = now();
      let noted = attributes;
      const body = () => work((more) => void (noted = { ...noted, ...more }));
      return watched(
        () => (scope === undefined ? body() : scope.run(position, body)),
        (failure) => {
          if (trace.spans.length < spansMax)
            trace.spans.push({
              traceId: trace.id,
              spanId: position.spanId,
              ...(above === undefined ? {} : { parentSpanId: above.spanId }),
              name: `proviso.${operation}`,
              kind: 1,
              startTimeUnixNano: nanoseconds(began),
              endTimeUnixNano: nanoseconds(now()),
              attributes: attributesOf(noted),
              ...(failure === undefined ? {} : { status: { code: 2, message: nameOf(failure.error) } }),
            });
          if (above === undefined && isKept(trace.id)) send(trace);
        },
      );
    },
  };
};
