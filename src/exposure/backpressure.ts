/**
 * Waiting for room in a full buffer, for callers that would rather be late than lose an event, but never later than a
 * deadline. What does not wait (`add`, a synchronous trial) is dropped and counted as before.
 */
import type { EventBuffer } from "../events/buffer.ts";
import type { EnvelopeInput } from "../events/envelope.ts";
import { encodeEvent } from "../events/message.ts";

export interface BackpressureOptions {
  readonly buffer: EventBuffer;
  /** The longest that anybody waits. Default 1 second. */
  readonly blockMs?: number;
  /** Callers that wait at most: what they hold is memory, too. Those that come on top do not wait. Default 1,000. */
  readonly maxBlocked?: number;
  /** Milliseconds since 1970; that of the buffer. */
  readonly now?: () => number;
}

export interface Backpressure {
  /** Waits until the buffer takes the event; drops and counts it when it does not by the deadline. Never rejects. */
  offer(event: EnvelopeInput): Promise<boolean>;
  /** Waits until the buffer is no longer full. False when it still is at the deadline; nothing is counted then. */
  room(): Promise<boolean>;
  /** Callers that wait now. */
  readonly blocked: number;
}

/**
 * @example
 * const { offer } = createBackpressure({ buffer, blockMs: 250 });
 * await offer(envelope);
 */
export const createBackpressure = (options: BackpressureOptions): Backpressure => {
  const { buffer, blockMs = 1_000, maxBlocked = 1_000, now = Date.now } = options;
  let blocked = 0;

  const waitUntil = async (deadline: number, bytes: number): Promise<boolean> => {
    if (buffer.fits(bytes)) return true;
    if (blocked >= maxBlocked) return false;
    blocked += 1;
    while (!buffer.fits(bytes) && now() < deadline) await buffer.change(deadline);
    blocked -= 1;
    return buffer.fits(bytes);
  };

  return {
    async offer(event) {
      const encoded = encodeEvent(event);
      const deadline = now() + blockMs;
      // Of many that wait for one place one gets it, and the others wait on.
      if ("bytes" in encoded) while (!buffer.fits(encoded.bytes) && (await waitUntil(deadline, encoded.bytes)));
      return buffer.add(event);
    },
    room: () => waitUntil(now() + blockMs, 1),
    get blocked() {
      return blocked;
    },
  };
};
