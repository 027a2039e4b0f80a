/** The receiving end of webhooks, for the application that is told: verified, each message once, in bounded memory. */
import { idHeader, parseSecrets, verifyWebhook } from "./signature.ts";

export interface WebhookMessage {
  /** Stays the same when the message is sent again. */
  readonly id: string;
  /** `experiment.committed`, `audit.events` … */
  readonly type: string;
  /** When it happened, ISO 8601. */
  readonly timestamp: string;
  readonly data: unknown;
}

/** Where ids of messages that were handled are kept. A shared one makes several processes one receiver. */
export interface WebhookMemory {
  has(id: string): boolean | Promise<boolean>;
  add(id: string): void | Promise<void>;
}

export interface WebhookReceiverOptions {
  /** As the sender has it: `whsec_…`, or several with blanks between. */
  readonly secret: string;
  /** Called once for each message; rejects when the sender is to try again. */
  readonly handle: (message: WebhookMessage) => void | Promise<void>;
  /** Default: the last 10,000 ids, in this process. */
  readonly memory?: WebhookMemory;
  readonly toleranceSeconds?: number;
  /** Larger bodies are refused. Default: 2 MiB. */
  readonly maxBytes?: number;
  /** Milliseconds since the epoch; default: the clock. */
  readonly now?: () => number;
  /** Gets what `handle` threw: the sender only learns that it did. */
  readonly report?: (error: unknown) => void;
}

export const webhookMemory = (entriesMax = 10_000): WebhookMemory => {
  const ids = new Set<string>();
  return {
    has: (id) => ids.has(id),
    add(id) {
      ids.add(id);
      const oldest = ids.values().next();
      if (ids.size > entriesMax && oldest.done !== true) ids.delete(oldest.value);
    },
  };
};

/** At most so many bytes; null for more. */
const readBody = async (request: Request, maxBytes: number): Promise<Uint8Array | null> => {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of request.body ?? []) {
    size += chunk.length;
    if (size > maxBytes) return null;
    chunks.push(chunk);
  }
  const body = new Uint8Array(size);
  let offset = 0;
  for (const chunk of chunks) {
    body.set(chunk, offset);
    offset += chunk.length;
  }
  return body;
};

const parse = (id: string, body: Uint8Array): WebhookMessage | null => {
  try {
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
    return typeof value === "object" &&
      value !== null &&
      "type" in value &&
      typeof value.type === "string" &&
      "timestamp" in value &&
      typeof value.timestamp === "string" &&
      "data" in value
      ? { id, type: value.type, timestamp: value.timestamp, data: value.data }
      : null;
  } catch {
    return null;
  }
};

const answer = (status: number, headers: Record<string, string> = {}): Response =>
  new Response(null, { status, headers });

/**
 * A request handler for webhooks. A message counts as handled once `handle` has resolved: until then a repetition is
 * handled again, from then on it is answered and forgotten, whoever sends it.
 *
 * @throws TypeError for a secret that is none
 * @example
 * const receive = webhookReceiver({ secret: process.env.WEBHOOK_SECRET, handle: ({ type, data }) => log(type, data) });
 * const response = await receive(request); // 204; 401 for what is not signed
 */
export const webhookReceiver = (options: WebhookReceiverOptions): ((request: Request) => Promise<Response>) => {
  const { handle, memory = webhookMemory(), toleranceSeconds = 300, maxBytes = 2 * 1024 * 1024 } = options;
  const { now = Date.now, report = () => undefined } = options;
  const secrets = parseSecrets(options.secret);
  const inHand = new Set<string>();

  return async (request) => {
    if (request.method !== "POST") return answer(405, { allow: "POST" });
    if (!request.headers.has(idHeader)) return answer(401);
    const body = await readBody(request, maxBytes);
    if (body === null) return answer(413);
    const verdict = await verifyWebhook({ secrets, toleranceSeconds, now }, request.headers, body);
    if (!verdict.ok) return answer(401);
    const message = parse(verdict.id, body);
    if (message === null) return answer(400);
    // The first one is still being handled: this one may come again and learn how it ended.
    if (inHand.has(message.id)) return answer(409, { "retry-after": "1" });
    inHand.add(message.id);
    try {
      if (await memory.has(message.id)) return answer(200);
      await handle(message);
      await memory.add(message.id);
      return answer(204);
    } catch (error) {
      report(error);
      return answer(500);
    } finally {
      inHand.delete(message.id);
    }
  };
};
