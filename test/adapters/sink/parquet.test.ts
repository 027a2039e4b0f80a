import { parquetReadObjects } from "hyparquet";
import { parquetWriteBuffer } from "hyparquet-writer";
import { expect, test } from "vitest";
import { parquetSink, type ParquetBucket } from "../../../adapters/sink/parquet.ts";
import { sinkSuite } from "../../conformance/sink.suite.ts";
import { everyType, exposure, exposures } from "../../events/fixtures.ts";

const fakeBucket = () => {
  const files = new Map<string, ArrayBuffer>();
  let failures = 0;
  const bucket: ParquetBucket = {
    async put(key, value, { httpMetadata }) {
      if (httpMetadata.contentType !== "application/vnd.apache.parquet") throw new TypeError(httpMetadata.contentType);
      if (failures > 0) {
        failures -= 1;
        throw new Error("put: Network connection lost (10001)");
      }
      files.set(key, value);
    },
  };
  return { bucket, files, failNext: (times: number) => void (failures = times) };
};

/** As a reader of the files sees them, by another library than wrote them. */
const rowsOf = async (file: ArrayBuffer): Promise<readonly Record<string, unknown>[]> => parquetReadObjects({ file });

/** Reading waits, and the suite does not: what was written is read as it is written. */
const readingBucket = () => {
  const made = fakeBucket();
  const events: unknown[] = [];
  const bucket: ParquetBucket = {
    async put(key, value, options) {
      const isNew = !made.files.has(key);
      await made.bucket.put(key, value, options);
      const rows = await rowsOf(value);
      if (isNew) events.push(...rows.map((row): unknown => JSON.parse(String(row["event"]))));
    },
  };
  return { ...made, bucket, events };
};

sinkSuite("parquet", () => {
  const { bucket, events, failNext } = readingBucket();
  return { sink: parquetSink({ write: parquetWriteBuffer, bucket }), received: () => events, failNext };
});

test("files are read as tables, with the types that were meant", async () => {
  const { bucket, files } = fakeBucket();
  await parquetSink({ write: parquetWriteBuffer, bucket }).send([
    exposure(0, { version: 3, weight: 2.5, isRepeatExposure: false, tenantId: "acme" }),
    ...everyType().slice(1),
    exposure(5, { version: 2 ** 40, rulePath: "\ud800" }),
  ]);
  const rows = await rowsOf([...files.values()][0] ?? new ArrayBuffer(0));
  expect(rows[0]).toMatchObject({
    event_id: exposure(0).eventId,
    timestamp: new Date("2026-11-21T10:00:00.000Z"),
    event_type: "Exposure",
    experiment: "checkout",
    tenant: "acme",
    subject_id: "user-0",
    variant: "control",
    version: 3,
    epoch: 1,
    weight: 2.5,
    is_repeat: false,
    metric: null,
    value: null,
  });
  expect(rows[1]).toMatchObject({
    event_type: "Outcome",
    metric: "margin",
    kind: "continuous",
    value: -0.1,
    variant: null,
  });
  expect(rows.map(({ event_type: type }) => type)).toEqual([
    "Exposure",
    "Outcome",
    "Assignment",
    "Error",
    "AnalysisSignal",
    "Exposure",
  ]);
  // A version that the column cannot hold is in the event still.
  expect(rows[5]).toMatchObject({ version: null });
  expect(JSON.parse(String(rows[5]?.["event"]))).toEqual(exposure(5, { version: 2 ** 40, rulePath: "\ud800" }));
});

test("files are bounded, named by time, and the same batch takes the same name", async () => {
  const { bucket, files } = fakeBucket();
  const sink = parquetSink({ write: parquetWriteBuffer, bucket, prefix: "lake", maxEvents: 2 });
  await sink.send(exposures(5));
  await sink.send(exposures(5));
  expect(files.size).toBe(3);
  expect([...files.keys()].every((key) => /^lake\/2026\/11\/21\/10\/\S+\.parquet$/.test(key))).toBe(true);
});
