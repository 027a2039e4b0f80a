/** Bytes to lines, within bounds: a file without a line end, or without an end, fills no memory. */
import { ProvisoError } from "../../errors.ts";
import { limits } from "../../limits.ts";

export interface LineBounds {
  /** Of the whole; left out: as many as come. */
  readonly bytesMax?: number;
}

const refused = (line: number, message: string): ProvisoError =>
  new ProvisoError("invalid-request", `line ${line}: ${message}`, {
    line,
    errors: [{ path: `line ${line}`, message }],
  });

/** Room for the text of an event, escaped once more inside a line. */
const lineBytesMax = limits.historyLineBytes;
const lineFeed = 0x0a;

/**
 * Lines of UTF-8 text without their `\n`.
 *
 * @throws ProvisoError `payload-too-large`, as soon as the bound is passed; `invalid-request` for a line that is too
 *   long, or is not UTF-8
 */
export async function* splitLines(
  chunks: AsyncIterable<Uint8Array>,
  { bytesMax = Infinity }: LineBounds = {},
): AsyncGenerator<string> {
  let bytes = 0;
  let line = 1;
  let held: Uint8Array[] = [];
  let heldBytes = 0;
  const take = (part: Uint8Array): void => {
    heldBytes += part.byteLength;
    if (heldBytes > lineBytesMax) throw refused(line, `longer than ${lineBytesMax} bytes`);
    held.push(part);
  };
  const text = (): string => {
    // A decoder for each line: a byte order mark inside the file is part of its text.
    const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    try {
      const whole = held.map((part) => decoder.decode(part, { stream: true })).join("") + decoder.decode();
      held = [];
      heldBytes = 0;
      line += 1;
      return whole;
    } catch {
      throw refused(line, "not UTF-8 text");
    }
  };
  for await (const chunk of chunks) {
    bytes += chunk.byteLength;
    if (bytes > bytesMax)
      throw new ProvisoError("payload-too-large", `a body of at most ${bytesMax} bytes`, { limitBytes: bytesMax });
    let from = 0;
    for (let end = chunk.indexOf(lineFeed); end >= 0; end = chunk.indexOf(lineFeed, from)) {
      take(chunk.subarray(from, end));
      yield text();
      from = end + 1;
    }
    // The chunk may be used again by whoever gave it.
    if (from < chunk.byteLength) take(chunk.slice(from));
  }
  if (heldBytes > 0) yield text();
}
