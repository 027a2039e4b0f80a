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

/** UTF-8 bytes that a text takes inside JSON, without its quotation marks: escapes counted as `JSON.stringify` writes them. */
export const jsonTextBytes = (text: string): number => {
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    if (unit < 0x20 || unit > 0x7e || unit === 0x22 || unit === 0x5c) return utf8Length(JSON.stringify(text)) - 2;
  }
  return text.length;
};
