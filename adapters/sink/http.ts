/** Sends events to Proviso over HTTP: `POST {url}/api/events`. For everything outside the Worker. */
import { endpoint, type Fetcher } from "../../src/fetcher.ts";
import { batchBytes, batchEvents } from "../../src/evaluation/bounds.ts";
import { isList, isNumber, isObject, isText } from "../../src/evaluation/guards.ts";
import { post } from "../../src/events/post.ts";
import { addReceipts, encodeBatch, runsOf, type PlacedEvent } from "../../src/events/send.ts";
import { SinkError } from "../../src/events/sink-error.ts";
import { trackHealth } from "../../src/events/sink-health.ts";
import type { EventSink, SinkReceipt } from "../../src/events/sink.ts";

export interface HttpSinkOptions {
  /** Where Proviso is served, e.g. `https://experiments.example`. */
  readonly url: string;
  readonly fetch?: Fetcher;
  /** Sent with every request, e.g. `{ authorization: "Bearer …" }`. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Default 12 seconds: less than the buffer waits for a send. */
  readonly timeoutMs?: number;
  /** Milliseconds since 1970; read only where the server names a time to retry at. */
  readonly now?: () => number;
  /** In a page: lets the browser send what is on its way when the page goes, in parts of at most 60,000 bytes. */
  readonly keepalive?: boolean;
}

const head = '{"events":[';
const tail = "]}";
/** Room for the events' commas and the braces around them. */
const partBytes = batchBytes - batchEvents - head.length - tail.length;

/** The Fetch standard lets all requests of a page that outlive it have 64 KiB together. */
const keepalivePartBytes = 60_000;

const isRejection = (value: unknown): value is { readonly index: number; readonly message: string } =>
  isObject(value) && isNumber(value.index) && isText(value.message);

const isReceipt = (value: unknown): value is SinkReceipt =>
  isObject(value) && isNumber(value.accepted) && isList(value.rejected) && value.rejected.every(isRejection);

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};

/** The server counts from the beginning of the part it got; the caller from that of the whole batch. */
const placed = (receipt: SinkReceipt, part: readonly PlacedEvent[]): SinkReceipt => ({
  accepted: receipt.accepted,
  rejected: receipt.rejected.flatMap(({ index, message }) => {
    const event = part[index];
    return event === undefined ? [] : [{ index: event.index, message }];
  }),
});

const refused = (part: readonly PlacedEvent[], message: string): SinkReceipt => ({
  accepted: 0,
  rejected: part.map(({ index }) => ({ index, message })),
});

/**
 * A batch larger than the server takes goes in parts. 413 halves a part further, down to one event, which is then
 * refused. 400 and 422 refuse a part for good; every other failure rejects with a {@link SinkError}, and the whole
 * batch may be sent again.
 *
 * @throws TypeError when `url` is not an absolute URL
 * @example
 * const sink = httpSink({ url: "https://experiments.example", headers: { authorization: `Bearer ${key}` } });
 */
export const httpSink = (options: HttpSinkOptions): EventSink => {
  const { timeoutMs = 12_000, now = Date.now, keepalive = false } = options;
  const url = endpoint(options.url, "api/events").href;
  const tracker = trackHealth();

  const headers = { ...options.headers, "content-type": "application/json", accept: "application/json" };

  const sendPart = async (part: readonly PlacedEvent[]): Promise<SinkReceipt> => {
    const body = head + part.map((event) => event.text).join(",") + tail;
    const answer = await post(url, body, { fetch: options.fetch, headers, timeoutMs, now, keepalive });
    const { ok, status, text } = answer;
    if (ok) {
      const receipt = parse(text);
      if (isReceipt(receipt)) return placed(receipt, part);
      throw new SinkError(`${url}: answered ${status} without a receipt: ${text.slice(0, 200)}`);
    }
    const message = `${url}: answered ${status}: ${text.slice(0, 200)}`;
    if (status === 413 && part.length > 1) {
      const middle = Math.ceil(part.length / 2);
      const first = await sendPart(part.slice(0, middle));
      return addReceipts([first, await sendPart(part.slice(middle))]);
    }
    if (status === 400 || status === 413 || status === 422) return refused(part, message);
    throw new SinkError(message, { retryAfterMs: answer.retryAfterMs });
  };

  const sendParts = async (parts: readonly (readonly PlacedEvent[])[]): Promise<readonly SinkReceipt[]> => {
    const receipts: SinkReceipt[] = [];
    for (const part of parts) receipts.push(await sendPart(part));
    return receipts;
  };

  return {
    name: "http",
    async send(events) {
      const { encoded, rejected } = encodeBatch(events);
      const receipts = await tracker.watch(
        sendParts([...runsOf(encoded, batchEvents, keepalive ? keepalivePartBytes : partBytes)]),
      );
      return addReceipts([{ accepted: 0, rejected }, ...receipts]);
    },
    health: () => tracker.health(),
  };
};
