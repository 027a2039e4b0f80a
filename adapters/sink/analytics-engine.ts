/**
 * Writes events as data points into Workers Analytics Engine: for dashboards, not for counting. The platform samples what
 * it stores, keeps it three months, and says nothing of what it drops; results come from the ledger.
 */
import type { EnvelopeInput } from "../../src/events/envelope.ts";
import { encodeBatch } from "../../src/events/send.ts";
import { trackHealth } from "../../src/events/sink-health.ts";
import type { EventSink } from "../../src/events/sink.ts";
import { utf8Length } from "../../src/utf8.ts";

/** As much of an Analytics Engine binding as is used. The platform's own type asks for arrays that may be written to. */
export interface AnalyticsEngineBinding {
  writeDataPoint(point: { readonly indexes: string[]; readonly blobs: string[]; readonly doubles: number[] }): void;
}

export interface AnalyticsEngineSinkOptions {
  readonly dataset: AnalyticsEngineBinding;
  /**
   * Points in one `send`: the platform takes 250 in one invocation of a Worker and drops the rest without a word, so what
   * comes on top is refused here. Default 250; let batches be smaller than that.
   */
  readonly maxPoints?: number;
}

/** All blobs of a point may have 16 KB together, and its index 96 bytes. */
const blobBytes = 1_000;
const indexBytes = 96;

/** Cuts between characters so that the text has no more than so many bytes of UTF-8. */
const cut = (text: string, bytes: number): string => {
  const whole = text.toWellFormed();
  if (utf8Length(whole) <= bytes) return whole;
  let kept = "";
  let used = 0;
  for (const character of whole) {
    used += utf8Length(character);
    if (used > bytes) break;
    kept += character;
  }
  return kept;
};

/** Names of `blob1` … `blob12` and `double1` … `double4`, for whoever writes queries. */
export const analyticsBlobs = [
  "eventType",
  "experiment",
  "tenant",
  "environment",
  "variant",
  "subjectId",
  "digest",
  "metric",
  "kind",
  "reason",
  "detail",
  "eventId",
] as const;
export const analyticsDoubles = ["value", "weight", "version", "epoch"] as const;

type Point = Parameters<AnalyticsEngineBinding["writeDataPoint"]>[0];

/** What of an event a point says; absent numbers are 0, absent texts empty. */
export const analyticsPoint = (event: EnvelopeInput): Point => {
  const { eventType, eventId, payload } = event;
  const of = (name: string): string => {
    const value: unknown = Object.hasOwn(payload, name) ? Reflect.get(payload, name) : undefined;
    return typeof value === "string" ? cut(value, blobBytes) : "";
  };
  const number = (name: string, otherwise = 0): number => {
    const value: unknown = Object.hasOwn(payload, name) ? Reflect.get(payload, name) : undefined;
    return typeof value === "number" || typeof value === "boolean" ? Number(value) : otherwise;
  };
  const detail = {
    Exposure: "rulePath",
    Outcome: "",
    Assignment: "changeReason",
    Error: "message",
    AnalysisSignal: "message",
  };
  const named = {
    Exposure: "selectionReason",
    Outcome: "",
    Assignment: "previousVariantKey",
    Error: "errorName",
    AnalysisSignal: "signalType",
  };
  const variant = eventType === "Assignment" ? of("newVariantKey") : of("variantKey");
  return {
    // Sampling goes by the index: one experiment's points must not crowd out another's.
    indexes: [cut(payload.experimentName, indexBytes)],
    blobs: [
      eventType,
      of("experimentName"),
      of("tenantId"),
      of("environment"),
      variant,
      of("subjectId"),
      of("digest"),
      of("metric"),
      of("kind"),
      of(named[eventType]),
      of(detail[eventType]),
      eventId,
    ],
    doubles: [number("value"), number("weight", 1), number("version"), number("epoch")],
  };
};

/**
 * @example
 * const sink = analyticsEngineSink({ dataset: env.EXPERIMENT_EVENTS });
 */
export const analyticsEngineSink = ({ dataset, maxPoints = 250 }: AnalyticsEngineSinkOptions): EventSink => {
  const tracker = trackHealth();
  return {
    name: "analytics-engine",
    async send(events) {
      const { encoded, rejected } = encodeBatch(events);
      const write = async (): Promise<void> => {
        for (const { index } of encoded.slice(0, maxPoints)) {
          const event = events[index];
          if (event !== undefined) dataset.writeDataPoint(analyticsPoint(event));
        }
      };
      await tracker.watch(write());
      const message = `Analytics Engine takes ${maxPoints} points at once`;
      const over = encoded.slice(maxPoints).map(({ index }) => ({ index, message }));
      return {
        accepted: encoded.length - over.length,
        rejected: [...rejected, ...over].toSorted((a, b) => a.index - b.index),
      };
    },
    health: () => tracker.health(),
  };
};
