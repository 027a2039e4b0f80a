/**
 * Event ids: UUID version 7 (RFC 9562 §5.7), the time in milliseconds and 74 random bits. Ordered by time, because
 * random keys halve the rate at which a ledger inserts. Written here rather than taken from `uuidv7`, which serves the
 * rest of the product: an id is made for every exposure, on the application's time, and in a browser's download
 * (`bench/evaluate.ts` shows both).
 */
const hexadecimal: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

const hex = (byte: number): string => hexadecimal[byte] ?? "00";

const randomBytesPerId = 10;
/** One call of the random source serves this many ids. */
const idsPerFill = 512;

const fromCrypto = (bytes: Uint8Array<ArrayBuffer>): void => {
  crypto.getRandomValues(bytes);
};

/**
 * A source of event ids. Random bytes are first drawn when the first id is made: Workers allow none at global scope.
 *
 * @param fill overwrites the array with random bytes
 * @returns a function from the time, in milliseconds since 1970, to a new id
 * @example createEventIds()(Date.now()) // "0197a3c4-7d1e-7c3a-9f0b-2f6c1d8e4a57"
 */
export const createEventIds = (
  fill: (bytes: Uint8Array<ArrayBuffer>) => void = fromCrypto,
): ((at: number) => string) => {
  const pool = new Uint8Array(randomBytesPerId * idsPerFill);
  let used = pool.length;
  let lastAt = -1;
  let prefix = "";
  const next = (): number => pool[used++] ?? 0;

  return (at) => {
    if (used === pool.length) {
      fill(pool);
      used = 0;
    }
    if (at !== lastAt) {
      const digits = Math.trunc(at).toString(16).padStart(12, "0").slice(-12);
      prefix = `${digits.slice(0, 8)}-${digits.slice(8)}-`;
      lastAt = at;
    }
    const version = hex(0x70 | (next() & 0x0f)) + hex(next());
    const variant = hex(0x80 | (next() & 0x3f)) + hex(next());
    const node = hex(next()) + hex(next()) + hex(next()) + hex(next()) + hex(next()) + hex(next());
    return `${prefix}${version}-${variant}-${node}`;
  };
};
