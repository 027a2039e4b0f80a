/** What sinks share: encoding a batch, setting aside what cannot be sent, and adding up receipts. */
import type { EnvelopeInput } from "./envelope.ts";
import { encodeEvent, type EncodedEvent } from "./message.ts";
import type { SinkReceipt } from "./sink.ts";

/** An event as text, with its place in the batch it came in. */
export interface PlacedEvent extends EncodedEvent {
  readonly index: number;
}

/** Encodes each event once. Those that have no JSON form or are too large are refused by their place, the others go. */
export const encodeBatch = (
  events: readonly EnvelopeInput[],
): { readonly encoded: readonly PlacedEvent[]; readonly rejected: SinkReceipt["rejected"] } => {
  const encoded: PlacedEvent[] = [];
  const rejected: { index: number; message: string }[] = [];
  for (const [index, event] of events.entries()) {
    const result = encodeEvent(event);
    if ("message" in result) rejected.push({ index, message: result.message });
    else encoded.push({ ...result, index });
  }
  return { encoded, rejected };
};

/** Cuts a list into runs, in order, of at most so many items and so many bytes; an item larger than that goes alone. */
export function* runsOf<T extends { readonly bytes: number }>(
  items: Iterable<T>,
  maxItems: number,
  maxBytes: number,
): Generator<readonly T[], void, undefined> {
  let run: T[] = [];
  let bytes = 0;
  for (const item of items) {
    if (run.length === maxItems || (run.length > 0 && bytes + item.bytes > maxBytes)) {
      yield run;
      run = [];
      bytes = 0;
    }
    run.push(item);
    bytes += item.bytes;
  }
  if (run.length > 0) yield run;
}

/** One receipt for a batch that went in parts. */
export const addReceipts = (receipts: readonly SinkReceipt[]): SinkReceipt => ({
  accepted: receipts.reduce((sum, { accepted }) => sum + accepted, 0),
  rejected: receipts.flatMap(({ rejected }) => rejected).toSorted((a, b) => a.index - b.index),
});
