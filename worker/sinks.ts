/**
 * Where the consumer puts events besides the ledger, as the DSL says it. The list is the composite sink of the SDK for
 * a Worker, in which nothing is kept from one call to the next: the queue holds what a required sink has not taken, and
 * what another one has not is lost to it, counted and reported.
 */
import { parquetWriteBuffer } from "hyparquet-writer";
import { analyticsEngineSink, type AnalyticsEngineBinding } from "../adapters/sink/analytics-engine.ts";
import { httpSink } from "../adapters/sink/http.ts";
import { kafkaSink } from "../adapters/sink/kafka.ts";
import { logSink } from "../adapters/sink/log.ts";
import { otelSink } from "../adapters/sink/otel.ts";
import { type ParquetBucket, parquetSink } from "../adapters/sink/parquet.ts";
import { type QueueBinding, queueSink } from "../adapters/sink/queue.ts";
import { type R2BucketBinding, r2Sink } from "../adapters/sink/r2.ts";
import type { Dsl } from "../src/config/index.ts";
import type { SinkSettings } from "../src/config/sink-schema.ts";
import { isPostAddress } from "../src/delivery/post.ts";
import { parseDuration } from "../src/duration.ts";
import type { Envelope, EnvelopeType } from "../src/events/envelope.ts";
import { SinkError } from "../src/events/sink-error.ts";
import type { EventSink } from "../src/events/sink.ts";
import type { Fetcher } from "../src/fetcher.ts";
import { checked } from "./subscribers.ts";

/** What a deployment is asked for by name. Each throws `invalid-dsl` for what is not there, and names the path. */
export interface SinkDeployment {
  readonly secret: (name: string, path: string) => string;
  readonly queue: (name: string, path: string) => QueueBinding;
  readonly bucket: (name: string, path: string) => R2BucketBinding & ParquetBucket;
  readonly dataset: (name: string, path: string) => AnalyticsEngineBinding;
  /** http to this machine is allowed. */
  readonly development: boolean;
  readonly writeLine: (line: string) => void;
}

/** A sink, with how the consumer is to treat it. */
export interface FedSink {
  readonly name: string;
  readonly sink: EventSink;
  readonly required: boolean;
  /** Left out: all. */
  readonly types?: readonly EnvelopeType[] | undefined;
  readonly timeLimitMs: number;
  /** Events of one send. */
  readonly batchEvents: number;
  /** Events of one invocation of the Worker: what comes on top is not sent, and counted. */
  readonly invocationEvents?: number;
}

/** What the port promises to any sink. */
const usualBatch = 1_000;
/** Files are better large; their sinks cut what is too large for one. */
const fileBatch = 10_000;
/** Data points that Analytics Engine takes in one invocation of a Worker, for all datasets; it drops the rest without a word. */
const analyticsPoints = 250;

/** Redirects are not followed: they would carry what authorises to somebody else. */
const directFetch: Fetcher = (url, request) => fetch(url, { ...request, redirect: "manual" });

const sinkOf = (settings: SinkSettings, path: string, deployment: SinkDeployment): EventSink => {
  /** What sinks over HTTP have in common. */
  const reached = ({ url, authorizationSecret, timeLimit }: Extract<SinkSettings, { readonly url: string }>) => {
    if (!isPostAddress(url, deployment.development)) throw new TypeError("url: https, without a user and password");
    return {
      url,
      fetch: directFetch,
      timeoutMs: parseDuration(timeLimit) ?? 10_000,
      headers:
        authorizationSecret === undefined
          ? {}
          : { authorization: deployment.secret(authorizationSecret, `${path}.authorizationSecret`) },
    };
  };
  switch (settings.type) {
    case "log":
      return logSink({ write: deployment.writeLine });
    case "queue":
      return queueSink({ queue: deployment.queue(settings.queue, `${path}.queue`) });
    case "http":
      return httpSink(reached(settings));
    case "openTelemetry": {
      const { service, evaluations } = settings;
      return otelSink({ ...reached(settings), resource: { "service.name": service }, evaluations });
    }
    case "analyticsEngine":
      return analyticsEngineSink({ dataset: deployment.dataset(settings.dataset, `${path}.dataset`) });
    case "r2":
      return r2Sink({ bucket: deployment.bucket(settings.bucket, `${path}.bucket`), prefix: settings.prefix });
    case "parquet": {
      const { bucket, prefix } = settings;
      return parquetSink({
        write: ({ columnData }) => parquetWriteBuffer({ columnData }),
        bucket: deployment.bucket(bucket, `${path}.bucket`),
        prefix,
      });
    }
    case "kafka":
      return kafkaSink({ ...reached(settings), topic: settings.topic });
    default:
      return settings satisfies never;
  }
};

const batchOf: Readonly<Partial<Record<SinkSettings["type"], number>>> = {
  r2: fileBatch,
  parquet: fileBatch,
  analyticsEngine: analyticsPoints,
};

/**
 * The sinks of `dataPlane.sinks`, in its order.
 *
 * @throws ProvisoError `invalid-dsl` for a binding or secret that this deployment does not have
 */
export const eventSinksOf = ({ dataPlane }: Dsl, deployment: SinkDeployment): readonly FedSink[] => {
  const sharing = dataPlane.sinks.filter(({ type }) => type === "analyticsEngine").length;
  return dataPlane.sinks.map((settings, index) => {
    const path = `dataPlane.sinks[${index}]`;
    return {
      name: settings.name,
      sink: checked(path, () => sinkOf(settings, path, deployment)),
      required: "required" in settings && settings.required,
      types: settings.types,
      timeLimitMs: parseDuration(settings.timeLimit) ?? 10_000,
      batchEvents: batchOf[settings.type] ?? usualBatch,
      ...(settings.type === "analyticsEngine" && { invocationEvents: Math.floor(analyticsPoints / sharing) }),
    };
  });
};

/** What became of the events that one sink was fed with. */
export interface FeedReport {
  readonly sink: FedSink;
  /** Events that it refused for good, with what it said. */
  readonly refused: readonly { readonly event: Envelope; readonly message: string }[];
  /** Events that it may not have, since it failed or was not asked any more. */
  readonly missing: readonly Envelope[];
  /** Why it failed. */
  readonly error?: unknown;
}

/** Rejects when the work takes longer. The work itself goes on, and its end is nobody's any more. */
const within = async <Result>(work: Promise<Result>, milliseconds: number): Promise<Result> => {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new SinkError(`did not take a batch within ${milliseconds} ms`)), milliseconds);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
};

const feedOne = async (fed: FedSink, wanted: readonly Envelope[]): Promise<FeedReport> => {
  const { sink, timeLimitMs, batchEvents, invocationEvents = Infinity } = fed;
  const events = wanted.length > invocationEvents ? wanted.slice(0, invocationEvents) : wanted;
  const over = wanted.slice(events.length);
  const refused: { event: Envelope; message: string }[] = over.map((event) => ({
    event,
    message: `it takes ${invocationEvents} events in one invocation`,
  }));
  for (let start = 0; start < events.length; start += batchEvents) {
    const batch = events.slice(start, start + batchEvents);
    try {
      const receipt = await within(sink.send(batch), timeLimitMs);
      for (const { index, message } of receipt.rejected) {
        const event = batch[index];
        if (event !== undefined) refused.push({ event, message });
      }
    } catch (error) {
      // The rest would meet the same; a required one is given all of it again.
      return { sink: fed, refused, missing: events.slice(start), error };
    }
  }
  return { sink: fed, refused, missing: [] };
};

/**
 * Gives every sink the events that it is for, all sinks at once, and waits for each no longer than its time limit for a
 * batch. Nothing is told of a sink that there is nothing for: it may be well or not. Never rejects.
 *
 * @example for (const { sink, missing } of await feed(sinks, events)) if (missing.length > 0) log(sink.name);
 */
export const feed = (sinks: readonly FedSink[], events: readonly Envelope[]): Promise<readonly FeedReport[]> =>
  Promise.all(
    sinks.flatMap((sink) => {
      const { types } = sink;
      const wanted = types === undefined ? events : events.filter(({ eventType }) => types.includes(eventType));
      return wanted.length === 0 ? [] : [feedOne(sink, wanted)];
    }),
  );
