/** Writes events as structured lines, one JSON object each: for logs that a platform collects, and for a terminal. */
import { encodeBatch } from "../../src/events/send.ts";
import { trackHealth } from "../../src/events/sink-health.ts";
import type { EventSink } from "../../src/events/sink.ts";

export interface LogSinkOptions {
  /** Gets one line without its end. Default: `console.log`. A promise is waited for. */
  readonly write?: (line: string) => unknown;
}

/** Where platforms collect logs from. */
// oxlint-disable-next-line no-console -- writing there is what this sink is for
const toConsole = (line: string): void => console.log(line);

/**
 * @example
 * const sink = logSink(); // {"eventId":"…","eventType":"Exposure",…}
 */
export const logSink = ({ write = toConsole }: LogSinkOptions = {}): EventSink => {
  const tracker = trackHealth();
  const writeAll = async (lines: readonly string[]): Promise<void> => {
    for (const line of lines) await write(line);
  };
  return {
    name: "log",
    async send(events) {
      const { encoded, rejected } = encodeBatch(events);
      await tracker.watch(writeAll(encoded.map(({ text }) => text)));
      return { accepted: encoded.length, rejected };
    },
    health: () => tracker.health(),
  };
};
