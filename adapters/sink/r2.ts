/** Writes batches of events as NDJSON objects into a bucket: R2 inside a Worker, or anything with its `put`. */
import { objectKey } from "../../src/events/object-key.ts";
import { encodeBatch, runsOf } from "../../src/events/send.ts";
import { trackHealth } from "../../src/events/sink-health.ts";
import type { EventSink } from "../../src/events/sink.ts";

/** As much of an R2 binding as is used. */
export interface R2BucketBinding {
  put(
    key: string,
    value: string,
    options: { readonly httpMetadata: { readonly contentType: string } },
  ): Promise<unknown>;
}

export interface R2SinkOptions {
  readonly bucket: R2BucketBinding;
  /** In front of every key, without a slash at its end. Default `events`. */
  readonly prefix?: string;
  /** Events in one object at most. Default 10,000. */
  readonly maxEvents?: number;
}

/** A string of a Worker's; a multipart upload would take more, and a batch has no more. */
const objectBytes = 32 * 1024 * 1024;

const prefixPattern = /^[A-Za-z0-9!_.*'()/-]{0,500}$/;

/**
 * @throws RangeError for a prefix that makes no good key
 * @example
 * const sink = r2Sink({ bucket: env.ARCHIVE });
 */
export const r2Sink = ({ bucket, prefix = "events", maxEvents = 10_000 }: R2SinkOptions): EventSink => {
  if (!prefixPattern.test(prefix) || prefix.endsWith("/")) {
    throw new RangeError(
      `r2 sink: found the prefix ${JSON.stringify(prefix)}; expected a path without a slash at its end`,
    );
  }
  const tracker = trackHealth();
  return {
    name: "r2",
    async send(events) {
      const { encoded, rejected } = encodeBatch(events);
      const putAll = async (): Promise<void> => {
        for (const run of runsOf(encoded, maxEvents, objectBytes)) {
          const held = run.flatMap(({ index }) => events[index] ?? []);
          const lines = run.map(({ text }) => `${text}\n`).join("");
          await bucket.put(objectKey(prefix, held, "ndjson"), lines, {
            httpMetadata: { contentType: "application/x-ndjson" },
          });
        }
      };
      await tracker.watch(putAll());
      return { accepted: encoded.length, rejected };
    },
    health: () => tracker.health(),
  };
};
