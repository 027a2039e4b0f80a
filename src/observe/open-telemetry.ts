/** Spans through a tracer of `@opentelemetry/api` that the host brings: parents come from its context manager. */
import { type Attributes, type Observer, watched } from "./observer.ts";

/** As much of a span as is used. */
export interface SpanLike {
  setAttributes(attributes: Record<string, string | number | boolean>): unknown;
  setStatus(status: { code: number; message?: string }): unknown;
  end(): void;
}

/** As much of a tracer as is used. */
export interface TracerLike {
  startActiveSpan<Work extends (span: SpanLike) => unknown>(
    name: string,
    options: { attributes?: Record<string, string | number | boolean> },
    work: Work,
  ): ReturnType<Work>;
}

/** `SpanStatusCode.ERROR`. */
const errorStatus = 2;

/** Attributes under names of their own, as the semantic conventions want it. */
export const prefixed = (attributes: Attributes): Record<string, string | number | boolean> =>
  Object.fromEntries(Object.entries(attributes).map(([name, value]) => [`proviso.${name}`, value]));

/** What an error calls itself: its message may hold what a span must not. */
export const nameOf = (error: unknown): string => (error instanceof Error ? error.name : typeof error);

/**
 * @example createGovernance({ store, observer: openTelemetryObserver(trace.getTracer("proviso")) });
 */
export const openTelemetryObserver = (tracer: TracerLike): Observer => ({
  run: (operation, attributes, work) =>
    tracer.startActiveSpan(`proviso.${operation}`, { attributes: prefixed(attributes) }, (span) =>
      watched(
        () => work((more) => void span.setAttributes(prefixed(more))),
        (failure) => {
          if (failure !== undefined) span.setStatus({ code: errorStatus, message: nameOf(failure.error) });
          span.end();
        },
      ),
    ),
});
