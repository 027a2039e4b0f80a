/** Sends events to a Cloudflare Queue from inside a Worker, many in one message (`src/events/message.ts`). */
import { packMessages } from "../../src/events/message.ts";
import { encodeBatch, runsOf } from "../../src/events/send.ts";
import { trackHealth } from "../../src/events/sink-health.ts";
import type { EventSink } from "../../src/events/sink.ts";
import { utf8Length } from "../../src/utf8.ts";

/** As much of a Queue binding as is used. */
export interface QueueBinding {
  sendBatch(messages: Iterable<{ readonly body: string; readonly contentType: "text" }>): Promise<unknown>;
}

export interface QueueSinkOptions {
  readonly queue: QueueBinding;
}

/** Limits of one `sendBatch` call: 100 messages and 256 KB, of which some goes to metadata. */
const callMessages = 100;
const callBytes = 250_000;

/**
 * @example
 * const sink = queueSink({ queue: env.EVENTS });
 */
export const queueSink = ({ queue }: QueueSinkOptions): EventSink => {
  const tracker = trackHealth();
  return {
    name: "queue",
    async send(events) {
      const { encoded, rejected } = encodeBatch(events);
      const messages = Array.from(packMessages(encoded), (body) => ({ body, bytes: utf8Length(body) }));
      for (const run of runsOf(messages, callMessages, callBytes)) {
        await tracker.watch(queue.sendBatch(run.map(({ body }) => ({ body, contentType: "text" }))));
      }
      return { accepted: encoded.length, rejected };
    },
    health: () => tracker.health(),
  };
};
