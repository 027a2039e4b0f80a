/** Names of objects that batches of events are stored under. */
import { digestOf } from "../canonical.ts";
import type { EnvelopeInput } from "./envelope.ts";

/**
 * `prefix/year/month/day/hour/<time>-<digest>.<extension>` by the first event. The digest is that of the event ids, so a
 * batch that is sent again takes its own place, and no other batch's.
 */
export const objectKey = (prefix: string, events: readonly EnvelopeInput[], extension: string): string => {
  const time = new Date(events[0]?.timestamp ?? 0).toISOString();
  const [year, month, day, hour] = [time.slice(0, 4), time.slice(5, 7), time.slice(8, 10), time.slice(11, 13)];
  const digest = digestOf(events.map(({ eventId }) => eventId)).slice(0, 32);
  const name = `${time.replaceAll(/[-:.]/g, "")}-${digest}.${extension}`;
  return [prefix, year, month, day, hour, name].filter((part) => part !== "").join("/");
};
