import * as v from "valibot";
import { expect, test } from "vitest";
import {
  analyticsBlobs,
  analyticsDoubles,
  analyticsEngineSink,
  analyticsPoint,
  type AnalyticsEngineBinding,
} from "../../../adapters/sink/analytics-engine.ts";
import { utf8Length } from "../../../src/utf8.ts";
import { sinkSuite } from "../../conformance/sink.suite.ts";
import { everyType, exposure, exposures } from "../../events/fixtures.ts";

/** Limits of Analytics Engine: 1 index of 96 bytes, 20 blobs of 16 KB together, 20 doubles. Nothing else is known. */
const DataPoint = v.strictObject({
  indexes: v.pipe(
    v.array(
      v.pipe(
        v.string(),
        v.check((text) => utf8Length(text) <= 96),
      ),
    ),
    v.maxLength(1),
  ),
  blobs: v.pipe(
    v.array(
      v.pipe(
        v.string(),
        v.check((text) => text.isWellFormed()),
      ),
    ),
    v.maxLength(20),
    v.check((blobs) => blobs.reduce((sum, blob) => sum + utf8Length(blob), 0) <= 16 * 1024),
  ),
  doubles: v.pipe(v.array(v.pipe(v.number(), v.finite())), v.maxLength(20)),
});

const fakeDataset = () => {
  const points: unknown[] = [];
  let failures = 0;
  const dataset: AnalyticsEngineBinding = {
    writeDataPoint(point) {
      if (failures > 0) {
        failures -= 1;
        throw new Error("unavailable");
      }
      points.push(v.parse(DataPoint, point));
    },
  };
  return { dataset, points, failNext: (times: number) => void (failures = times) };
};

sinkSuite("analytics engine", () => {
  const { dataset, points, failNext } = fakeDataset();
  return {
    sink: analyticsEngineSink({ dataset, maxPoints: 10_000 }),
    received: () => points,
    shows: analyticsPoint,
    failNext,
  };
});

test("says of each type of event what a dashboard asks for", () => {
  const columns = everyType().map((event) => {
    const { blobs, doubles } = analyticsPoint(event);
    return Object.fromEntries([
      ...analyticsBlobs.map((name, index): [string, unknown] => [name, blobs[index]]),
      ...analyticsDoubles.map((name, index): [string, unknown] => [name, doubles[index]]),
    ]);
  });
  expect(columns[0]).toMatchObject({
    eventType: "Exposure",
    variant: "control",
    subjectId: "user-0",
    epoch: 1,
    weight: 1,
  });
  expect(columns[1]).toMatchObject({ eventType: "Outcome", metric: "margin", kind: "continuous", value: -0.1 });
  expect(columns[2]).toMatchObject({ eventType: "Assignment", variant: "b", reason: "a", detail: "reweighted" });
  expect(columns[3]).toMatchObject({ eventType: "Error", reason: "TypeError", detail: "x is not a function" });
  expect(columns[4]).toMatchObject({ eventType: "AnalysisSignal", reason: "SampleRatioMismatch", tenant: "acme" });
});

test("cuts long texts between characters", () => {
  const { blobs } = analyticsPoint(exposure(0, { rulePath: "😀".repeat(1_000), subjectId: "x".repeat(512) }));
  expect(blobs[10]).toBe("😀".repeat(250));
  expect(blobs[5]).toBe("x".repeat(512));
});

test("refuses what the platform would drop without a word", async () => {
  const { dataset, points } = fakeDataset();
  const receipt = await analyticsEngineSink({ dataset }).send(exposures(252));
  expect(points).toHaveLength(250);
  expect(receipt).toEqual({
    accepted: 250,
    rejected: [250, 251].map((index) => ({ index, message: "Analytics Engine takes 250 points at once" })),
  });
});
