/**
 * Writes batches of events as Parquet files, for whatever reads tables: columns for what is asked about, and the whole
 * event as JSON besides. The writer is handed in (`hyparquet-writer`, which runs wherever there is fetch), as is the place.
 */
import type { EnvelopeInput } from "../../src/events/envelope.ts";
import { objectKey } from "../../src/events/object-key.ts";
import { encodeBatch, runsOf, type PlacedEvent } from "../../src/events/send.ts";
import { trackHealth } from "../../src/events/sink-health.ts";
import type { EventSink } from "../../src/events/sink.ts";

export interface ParquetColumn {
  readonly name: string;
  readonly data: (string | number | boolean | Date | null)[];
  readonly type: "STRING" | "INT32" | "DOUBLE" | "BOOLEAN" | "TIMESTAMP";
  readonly nullable: boolean;
}

/** As much of `hyparquet-writer` as is used. */
export type WriteParquet = (options: { readonly columnData: ParquetColumn[] }) => ArrayBuffer;

export interface ParquetBucket {
  put(
    key: string,
    value: ArrayBuffer,
    options: { readonly httpMetadata: { readonly contentType: string } },
  ): Promise<unknown>;
}

export interface ParquetSinkOptions {
  /** `parquetWriteBuffer` of `hyparquet-writer`. */
  readonly write: WriteParquet;
  /** An R2 binding, or anything with its `put`. */
  readonly bucket: ParquetBucket;
  /** In front of every key, without a slash at its end. Default `events`. */
  readonly prefix?: string;
  /** Events in one file at most. Default 100,000. */
  readonly maxEvents?: number;
}

/** What is held in memory for one file, before compression. */
const fileBytes = 32 * 1024 * 1024;

type Cell = ParquetColumn["data"][number];
type Read = (event: EnvelopeInput) => Cell | undefined;

const member =
  (name: string): Read =>
  ({ payload }) => {
    const value: unknown = Object.hasOwn(payload, name) ? Reflect.get(payload, name) : undefined;
    return typeof value === "string" || typeof value === "number" || typeof value === "boolean" ? value : undefined;
  };

/** Parquet's texts are UTF-8, which has no lone surrogates. */
const columns: readonly (readonly [name: string, type: ParquetColumn["type"], read: Read])[] = [
  ["event_id", "STRING", ({ eventId }) => eventId],
  ["timestamp", "TIMESTAMP", ({ timestamp }) => new Date(timestamp)],
  ["event_type", "STRING", ({ eventType }) => eventType],
  ["schema_version", "STRING", ({ schemaVersion }) => schemaVersion],
  ["experiment", "STRING", member("experimentName")],
  ["tenant", "STRING", member("tenantId")],
  ["environment", "STRING", member("environment")],
  ["subject_id", "STRING", member("subjectId")],
  ["variant", "STRING", member("variantKey")],
  ["version", "INT32", member("version")],
  ["epoch", "INT32", member("epoch")],
  ["digest", "STRING", member("digest")],
  ["weight", "DOUBLE", member("weight")],
  ["is_repeat", "BOOLEAN", member("isRepeatExposure")],
  ["metric", "STRING", member("metric")],
  ["kind", "STRING", member("kind")],
  ["value", "DOUBLE", (event) => (event.eventType === "Outcome" ? Number(event.payload.value) : undefined)],
];

const int32Max = 2 ** 31 - 1;

const cell = (type: ParquetColumn["type"], value: Cell | undefined): Cell => {
  if (value === undefined) return null;
  if (typeof value === "string") return type === "STRING" ? value.toWellFormed() : null;
  if (typeof value === "number")
    return type === "INT32" && !(Number.isInteger(value) && value <= int32Max) ? null : value;
  return value;
};

const tableOf = (run: readonly PlacedEvent[], events: readonly EnvelopeInput[]): ParquetColumn[] => {
  const held = run.flatMap(({ index }) => events[index] ?? []);
  const parts = columns.map(([name, type, read]): ParquetColumn => {
    return { name, type, nullable: true, data: held.map((event) => cell(type, read(event))) };
  });
  return [...parts, { name: "event", type: "STRING", nullable: false, data: run.map(({ text }) => text) }];
};

/**
 * @example
 * import { parquetWriteBuffer } from "hyparquet-writer";
 * const sink = parquetSink({ write: parquetWriteBuffer, bucket: env.ARCHIVE });
 */
export const parquetSink = ({
  write,
  bucket,
  prefix = "events",
  maxEvents = 100_000,
}: ParquetSinkOptions): EventSink => {
  const tracker = trackHealth();
  return {
    name: "parquet",
    async send(events) {
      const { encoded, rejected } = encodeBatch(events);
      const putAll = async (): Promise<void> => {
        for (const run of runsOf(encoded, maxEvents, fileBytes)) {
          const held = run.flatMap(({ index }) => events[index] ?? []);
          await bucket.put(objectKey(prefix, held, "parquet"), write({ columnData: tableOf(run, events) }), {
            httpMetadata: { contentType: "application/vnd.apache.parquet" },
          });
        }
      };
      await tracker.watch(putAll());
      return { accepted: encoded.length, rejected };
    },
    health: () => tracker.health(),
  };
};
