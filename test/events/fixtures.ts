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
