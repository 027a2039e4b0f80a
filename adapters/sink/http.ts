/** Sends events to Proviso over HTTP: `POST {url}/api/events`. For everything outside the Worker. */
import { endpoint, globalFetch, type FetchResponse, type Fetcher } from "../../src/fetcher.ts";
import { batchBytes, batchEvents } from "../../src/evaluation/bounds.ts";
import { retryAfterMs } from "../../src/retry-after.ts";
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
}

const head = '{"events":[';
const tail = "]}";
/** Room for the events' commas and the braces around them. */
const partBytes = batchBytes - batchEvents - head.length - tail.length;

const isRejection = (value: unknown): value is { readonly index: number; readonly message: string } =>
  typeof value === "object" &&
  value !== null &&
  "index" in value &&
  typeof value.index === "number" &&
  "message" in value &&
  typeof value.message === "string";

const isReceipt = (value: unknown): value is SinkReceipt =>
  typeof value === "object" &&
  value !== null &&
  "accepted" in value &&
  typeof value.accepted === "number" &&
  "rejected" in value &&
  Array.isArray(value.rejected) &&
  value.rejected.every(isRejection);

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
  const { timeoutMs = 12_000, now = Date.now } = options;
  const url = endpoint(options.url, "api/events").href;
  const fetcher = options.fetch ?? globalFetch;
  const tracker = trackHealth();

  const post = async (part: readonly PlacedEvent[]): Promise<{ response: FetchResponse; text: string }> => {
    try {
      const response = await fetcher(url, {
        method: "POST",
        headers: { ...options.headers, "content-type": "application/json", accept: "application/json" },
        body: head + part.map((event) => event.text).join(",") + tail,
        signal: AbortSignal.timeout(timeoutMs),
      });
      return { response, text: await response.text() };
    } catch (error) {
      throw new SinkError(`${url}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
    }
  };

  const sendPart = async (part: readonly PlacedEvent[]): Promise<SinkReceipt> => {
    const { response, text } = await post(part);
    if (response.ok) {
      const receipt = parse(text);
      if (isReceipt(receipt)) return placed(receipt, part);
      throw new SinkError(`${url}: answered ${response.status} without a receipt: ${text.slice(0, 200)}`);
    }
    const message = `${url}: answered ${response.status}: ${text.slice(0, 200)}`;
    if (response.status === 413 && part.length > 1) {
      const middle = Math.ceil(part.length / 2);
      const first = await sendPart(part.slice(0, middle));
      return addReceipts([first, await sendPart(part.slice(middle))]);
    }
    if (response.status === 400 || response.status === 413 || response.status === 422) return refused(part, message);
    throw new SinkError(message, { retryAfterMs: retryAfterMs(response.headers.get("retry-after"), now()) });
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
      const receipts = await tracker.watch(sendParts([...runsOf(encoded, batchEvents, partBytes)]));
      return addReceipts([{ accepted: 0, rejected }, ...receipts]);
    },
    health: () => tracker.health(),
  };
};
