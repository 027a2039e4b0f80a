/**
 * Produces events to a Kafka topic through a REST proxy (`POST {url}/topics/{topic}`, Confluent REST Proxy v2, which
 * Redpanda and Strimzi speak, too): Kafka's own protocol needs sockets that a fetch runtime does not have.
 */
import { batchBytes, batchEvents } from "../../src/evaluation/bounds.ts";
import type { EnvelopeInput } from "../../src/events/envelope.ts";
import { post } from "../../src/events/post.ts";
import { addReceipts, encodeBatch, runsOf, type PlacedEvent } from "../../src/events/send.ts";
import { SinkError } from "../../src/events/sink-error.ts";
import { trackHealth } from "../../src/events/sink-health.ts";
import type { EventSink, SinkReceipt } from "../../src/events/sink.ts";
import { endpoint, type Fetcher } from "../../src/fetcher.ts";

export interface KafkaSinkOptions {
  /** Where the proxy is, e.g. `https://kafka-rest.example`. */
  readonly url: string;
  readonly topic: string;
  /** What an event is partitioned by: events of one key stay in order. Default: the experiment and the subject. */
  readonly key?: (event: EnvelopeInput) => string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly fetch?: Fetcher;
  /** Default 12 seconds. */
  readonly timeoutMs?: number;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

const contentType = "application/vnd.kafka.json.v2+json";
const topicPattern = /^[A-Za-z0-9._-]{1,249}$/;

const defaultKey = ({ payload }: EnvelopeInput): string =>
  JSON.stringify([
    payload.tenantId ?? "default",
    payload.environment ?? "default",
    payload.experimentName,
    payload.subjectId ?? "",
  ]);

/** What became of one record: an offset, or an error. 1 is for good, 2 may be tried again. */
interface Offset {
  readonly error_code?: number | null;
  readonly error?: string | null;
}

const isOffset = (value: unknown): value is Offset => typeof value === "object" && value !== null;
const offsetsOf = (body: string): readonly Offset[] | undefined => {
  try {
    const answer: unknown = JSON.parse(body);
    const offsets = typeof answer === "object" && answer !== null && "offsets" in answer ? answer.offsets : undefined;
    return Array.isArray(offsets) && offsets.every(isOffset) ? offsets : undefined;
  } catch {
    return undefined;
  }
};

const fatal = 1;

/**
 * @throws TypeError when `url` is not an absolute URL, RangeError for what cannot be a topic
 * @example
 * const sink = kafkaSink({ url: "https://kafka-rest.example", topic: "experiments" });
 */
export const kafkaSink = (options: KafkaSinkOptions): EventSink => {
  const { topic, key = defaultKey, timeoutMs = 12_000, now = Date.now } = options;
  if (!topicPattern.test(topic) || topic === "." || topic === "..") {
    throw new RangeError(
      `kafka sink: found the topic ${JSON.stringify(topic)}; expected 1 to 249 of A-Z a-z 0-9 . _ -`,
    );
  }
  const url = endpoint(options.url, `topics/${topic}`).href;
  const headers = { ...options.headers, "content-type": contentType, accept: "application/vnd.kafka.v2+json" };
  const tracker = trackHealth();

  const sendPart = async (part: readonly PlacedEvent[], events: readonly EnvelopeInput[]): Promise<SinkReceipt> => {
    const records = part.map(({ text, index }) => {
      const event = events[index];
      return `{"key":${JSON.stringify(event === undefined ? "" : key(event))},"value":${text}}`;
    });
    const answer = await post(url, `{"records":[${records.join(",")}]}`, {
      fetch: options.fetch,
      headers,
      timeoutMs,
      now,
    });
    const message = `${url}: answered ${answer.status}: ${answer.text.slice(0, 200)}`;
    if (answer.ok) {
      const offsets = offsetsOf(answer.text);
      if (offsets?.length !== part.length) throw new SinkError(`${url}: answered without an offset for each record`);
      // Of a batch that failed in part all goes again: what is there already is there twice, with one event id.
      const again = offsets.find(({ error_code: code }) => code != null && code !== fatal);
      if (again !== undefined) throw new SinkError(`${url}: ${again.error ?? "a record may be sent again"}`);
      const rejected = offsets.flatMap(({ error_code: code, error }, place) => {
        const event = part[place];
        return code == null || event === undefined ? [] : [{ index: event.index, message: error ?? "refused" }];
      });
      return { accepted: part.length - rejected.length, rejected };
    }
    // 422: the proxy could read the request, and not what is in it.
    if (answer.status !== 422 && answer.status !== 413)
      throw new SinkError(message, { retryAfterMs: answer.retryAfterMs });
    return { accepted: 0, rejected: part.map(({ index }) => ({ index, message })) };
  };

  return {
    name: "kafka",
    async send(events) {
      const { encoded, rejected } = encodeBatch(events);
      const receipts: SinkReceipt[] = [{ accepted: 0, rejected }];
      const sendAll = async (): Promise<void> => {
        for (const part of runsOf(encoded, batchEvents, batchBytes)) receipts.push(await sendPart(part, events));
      };
      await tracker.watch(sendAll());
      return addReceipts(receipts);
    },
    health: () => tracker.health(),
  };
};
