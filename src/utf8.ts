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

/** 1 for each ASCII character that JSON writes as it is. */
const plain = /* @__PURE__ */ Uint8Array.from({ length: 128 }, (_, unit) =>
  unit < 0x20 || unit === 0x7f || unit === 0x22 || unit === 0x5c ? 0 : 1,
);

/** What one pass over a text finds out. */
export interface TextScan {
  /** UTF-8 bytes that it takes inside JSON, without its quotation marks: escapes counted as `JSON.stringify` writes them. */
  bytes: number;
  /** 32 bits: for tables in memory, and for nothing that another process sees. */
  hash: number;
}

/** Writes into `scan`, which the caller keeps: a text is scanned for every exposure. */
export const scanText = (text: string, scan: TextScan): void => {
  const length = text.length;
  let hash = length;
  let all = 0;
  let isPlain = 1;
  const add = (word: number): void => {
    const mixed = Math.imul(hash ^ word, 0x85ebca6b);
    hash = mixed ^ (mixed >>> 15);
  };
  let index = 0;
  for (; index + 3 < length; index += 4) {
    const a = text.charCodeAt(index);
    const b = text.charCodeAt(index + 1);
    const c = text.charCodeAt(index + 2);
    const d = text.charCodeAt(index + 3);
    all |= a | b | c | d;
    isPlain &= (plain[a & 127] ?? 0) & (plain[b & 127] ?? 0) & (plain[c & 127] ?? 0) & (plain[d & 127] ?? 0);
    add(a | (b << 8) | (c << 16) | (d << 24));
  }
  for (; index < length; index += 1) {
    const unit = text.charCodeAt(index);
    all |= unit;
    isPlain &= plain[unit & 127] ?? 0;
    add(unit);
  }
  scan.hash = hash;
  scan.bytes = isPlain === 1 && all < 128 ? length : utf8Length(JSON.stringify(text)) - 2;
};
