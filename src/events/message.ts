/**
 * One queue message carries many envelopes: one event per message is two to three times slower end to end. The body is
 * JSON text, `{"v":1,"events":[envelope, …]}`. Whoever sends and whoever consumes use the functions of this file.
 */
import { eventBytes } from "../evaluation/bounds.ts";
import { utf8Length } from "../utf8.ts";
import type { EnvelopeInput } from "./envelope.ts";
import { messageOf } from "../message-of.ts";

const messageVersion = 1;

/** Envelopes in one message. More would make the redelivery of one bad message expensive. */
export const messageEvents = 200;
/** UTF-8 bytes of one message: Cloudflare Queues take 128 KB, of which some goes to metadata. */
export const messageBytes = 120_000;

/**
 * Whose key sent the events of a message. Whoever takes them in says it, never the sender: a browser's key is there for
 * everybody to read, so it may say that somebody was exposed and nothing else, and guardrails do not look at it.
 */
export type Sender = "server" | "browser";

const headOf = (sender: Sender): string =>
  `{"v":${messageVersion},${sender === "browser" ? '"from":"browser",' : ""}"events":[`;
const tail = "]}";

/** One event as JSON text, with the number of its UTF-8 bytes. */
export interface EncodedEvent {
  readonly text: string;
  readonly bytes: number;
}

/** An event that no sink can carry, and why. */
export interface UnencodableEvent {
  readonly message: string;
}

/**
 * JSON text of one event, or why it cannot be sent: JSON has no form for it, or it is over the limit for an event.
 *
 * @example encodeEvent(envelope) // { text: '{"eventId":…}', bytes: 412 }
 */
export const encodeEvent = (event: EnvelopeInput): EncodedEvent | UnencodableEvent => {
  let text: string | undefined;
  try {
    text = JSON.stringify(event);
  } catch (error) {
    return { message: `the event has no JSON form: ${messageOf(error)}` };
  }
  if (typeof text !== "string") return { message: "the event has no JSON form" };
  const bytes = utf8Length(text);
  if (bytes > eventBytes) {
    return { message: `the event has ${bytes} bytes as JSON; at most ${eventBytes} are allowed` };
  }
  return { text, bytes };
};

/**
 * Packs encoded events into message bodies, in order, each at most {@link messageEvents} events and
 * {@link messageBytes} bytes. Any event that {@link encodeEvent} lets through fits.
 */
export function* packMessages(
  events: Iterable<EncodedEvent>,
  sender: Sender = "server",
): Generator<string, void, undefined> {
  const head = headOf(sender);
  const wrapperBytes = head.length + tail.length;
  let texts: string[] = [];
  let bytes = wrapperBytes;
  for (const event of events) {
    const added = event.bytes + (texts.length > 0 ? 1 : 0);
    if (texts.length === messageEvents || (texts.length > 0 && bytes + added > messageBytes)) {
      yield head + texts.join(",") + tail;
      texts = [];
      bytes = wrapperBytes;
    }
    bytes += event.bytes + (texts.length > 0 ? 1 : 0);
    texts.push(event.text);
  }
  if (texts.length > 0) yield head + texts.join(",") + tail;
}

const encodeOrThrow = (event: EnvelopeInput, index: number): EncodedEvent => {
  const encoded = encodeEvent(event);
  if ("message" in encoded) throw new RangeError(`event ${index}: ${encoded.message}`);
  return encoded;
};

/**
 * Message bodies for these events, in order.
 *
 * @throws RangeError that names the place of an event which {@link encodeEvent} refuses; to go on without such events,
 *   encode them first and use {@link packMessages}
 * @example for (const body of encodeMessages(events)) await queue.send(body, { contentType: "text" });
 */
export const encodeMessages = (events: readonly EnvelopeInput[]): Iterable<string> =>
  packMessages(events.map(encodeOrThrow));

const excerpt = (text: string): string => JSON.stringify(text.slice(0, 80));

/** The envelopes of one message, and whose key sent them. */
export interface DecodedMessage {
  readonly sender: Sender;
  /** Not yet validated: each is checked alone, so that one bad event spoils no other. */
  readonly events: readonly unknown[];
}

/**
 * What is in one message.
 *
 * @throws TypeError when the text is not such a message, with what was found
 */
export const readMessage = (text: string): DecodedMessage => {
  let message: unknown;
  try {
    message = JSON.parse(text);
  } catch (error) {
    throw new TypeError(`queue message: not JSON: ${excerpt(text)}`, { cause: error });
  }
  if (typeof message !== "object" || message === null || !("v" in message) || !("events" in message)) {
    throw new TypeError(`queue message: expected {"v":${messageVersion},"events":[…]}, found ${excerpt(text)}`);
  }
  if (message.v !== messageVersion) {
    throw new TypeError(`queue message: expected version ${messageVersion}, found ${excerpt(String(message.v))}`);
  }
  const events: unknown = message.events;
  if (!Array.isArray(events)) throw new TypeError(`queue message: "events" is not a list: ${excerpt(text)}`);
  // Whatever else it may say one day, it is not a server's.
  return { sender: "from" in message ? "browser" : "server", events };
};

/** The envelopes of {@link readMessage} alone. */
export const decodeMessage = (text: string): readonly unknown[] => readMessage(text).events;
