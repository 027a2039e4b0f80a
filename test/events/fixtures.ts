/** Events for the tests of what carries them. */
import type { EnvelopeInput } from "../../src/events/envelope.ts";

type ExposureInput = Extract<EnvelopeInput, { eventType: "Exposure" }>;

/** The n-th exposure: ids differ, everything else is equal unless changed. */
export const exposure = (n: number, change: Partial<ExposureInput["payload"]> = {}): ExposureInput => ({
  eventId: `0197a3c4-7d1e-7c3a-9f0b-${n.toString(16).padStart(12, "0")}`,
  timestamp: "2026-11-21T10:00:00.000Z",
  eventType: "Exposure",
  schemaVersion: "1.0.0",
  payload: { experimentName: "checkout", variantKey: "control", subjectId: `user-${n}`, epoch: 1, ...change },
});

export const exposures = (count: number): readonly ExposureInput[] =>
  Array.from({ length: count }, (_, index) => exposure(index));

/** One event of each type, with every member of the envelope in use somewhere. */
export const everyType = (): readonly EnvelopeInput[] => {
  const common = { timestamp: "2026-11-21T10:00:00.000Z", schemaVersion: "1.0.0" };
  const about = { experimentName: "checkout", subjectId: "user-1" };
  return [
    exposure(0),
    {
      ...common,
      eventId: exposure(1).eventId,
      eventType: "Outcome",
      payload: { ...about, metric: "margin", kind: "continuous", value: -0.1 },
    },
    {
      ...common,
      eventId: exposure(2).eventId,
      eventType: "Assignment",
      payload: { ...about, previousVariantKey: "a", newVariantKey: "b", changeReason: "reweighted" },
    },
    {
      ...common,
      eventId: exposure(3).eventId,
      eventType: "Error",
      payload: { ...about, variantKey: "b", errorName: "TypeError", message: "x is not a function" },
      correlationId: "request-1",
      metadata: { nested: { list: [1, null, "two"] } },
    },
    {
      ...common,
      eventId: exposure(4).eventId,
      eventType: "AnalysisSignal",
      payload: {
        experimentName: "checkout",
        tenantId: "acme",
        environment: "production",
        signalType: "SampleRatioMismatch",
        severity: "Critical",
        message: "60.0 % instead of 50.0 %",
        data: { epoch: 1 },
      },
    },
  ];
};
