/**
 * Length of a text in UTF-8 bytes, counted without encoding it. A lone surrogate counts as U+FFFD, 3 bytes, which is
 * what `TextEncoder` writes for it. (`byteLength` in canonical.ts says the same, but brings SHA-256 with it: a
 * browser that only evaluates must not download that.)
 */
export const utf8Length = (text: string): number => {
  const length = text.length;
  let bytes = length;
  for (let index = 0; index < length; index += 1) {
    const unit = text.charCodeAt(index);
    if (unit < 0x80) continue;
    if (unit < 0x800) {
      bytes += 1;
      continue;
    }
    bytes += 2;
    // Two units of a pair make one code point of 4 bytes.
    if (unit >= 0xd800 && unit < 0xdc00 && (text.charCodeAt(index + 1) & 0xfc00) === 0xdc00) index += 1;
  }
  return bytes;
};

/** What one pass over a text finds out. */
export interface TextScan {
  /** UTF-8 bytes that it takes inside JSON, without its quotation marks: escapes counted as `JSON.stringify` writes them. */
  bytes: number;
  /** 32 bits: for tables in memory, and for nothing that another process sees. */
  hash: number;
}

/**
 * Writes into `scan`, which the caller keeps: a text is scanned for every exposure. Four characters at a time, as the four
 * bytes of one word; whether one of them is below U+0020, `"` or `\` shows in the top bits of a few subtractions.
 */
export const scanText = (text: string, scan: TextScan): void => {
  const length = text.length;
  let hash = length;
  /** Top bits of bytes that JSON escapes; anything that is not ASCII. */
  let special = 0;
  let wide = 0;
  let index = 0;
  while (index < length) {
    const a = text.charCodeAt(index);
    const b = index + 1 < length ? text.charCodeAt(index + 1) : 0x61;
    const c = index + 2 < length ? text.charCodeAt(index + 2) : 0x61;
    const d = index + 3 < length ? text.charCodeAt(index + 3) : 0x61;
    index += 4;
    wide |= a | b | c | d;
    const word = a | (b << 8) | (c << 16) | (d << 24);
    const quote = word ^ 0x22222222;
    const backslash = word ^ 0x5c5c5c5c;
    special |=
      (((word - 0x20202020) | 0) & ~word) |
      (((quote - 0x01010101) | 0) & ~quote) |
      (((backslash - 0x01010101) | 0) & ~backslash);
    const mixed = Math.imul(hash ^ word, 0x85ebca6b);
    hash = mixed ^ (mixed >>> 15);
  }
  // Ids that differ in their last characters only must differ in the low bits, which tables go by.
  const folded = Math.imul(hash ^ (hash >>> 16), 0xc2b2ae35);
  scan.hash = folded ^ (folded >>> 13);
  scan.bytes = (special & 0x80808080) === 0 && wide < 0x80 ? length : utf8Length(JSON.stringify(text)) - 2;
};
