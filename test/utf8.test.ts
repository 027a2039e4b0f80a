import * as fc from "fast-check";
import { expect, test } from "vitest";
import { scanText, utf8Length } from "../src/utf8.ts";

const encoder = new TextEncoder();
const texts = fc.string({ unit: "binary", maxLength: 30 });

test("utf8Length is what TextEncoder makes of any text", () => {
  fc.assert(
    fc.property(texts, (text) => {
      expect(utf8Length(text)).toBe(encoder.encode(text).length);
    }),
    { numRuns: 2_000 },
  );
});

test.each(["", "a", "é", "日", "😀", "\ud800", "\udc00", "\ud800\ud800\udc00", "\udc00\ud800", "a\ud83d"])(
  "utf8Length of %j",
  (text) => {
    expect(utf8Length(text)).toBe(encoder.encode(text).length);
  },
);

test("a scan counts what JSON makes of any text, and hashes equal texts equally", () => {
  const scan = { bytes: 0, hash: 0 };
  const hashes = new Map<string, number>();
  const escapes = fc.string({
    unit: fc.constantFrom('"', "\\", "\n", "\u0000", "\u001f", "\u007f", "a", "é", "\ud800"),
  });
  fc.assert(
    fc.property(fc.oneof(texts, escapes), (text) => {
      scanText(text, scan);
      expect(scan.bytes + 2).toBe(encoder.encode(JSON.stringify(text)).length);
      expect(scan.hash).toBe(hashes.get(text) ?? scan.hash);
      hashes.set(text, scan.hash);
    }),
    { numRuns: 2_000 },
  );
  expect(new Set(hashes.values()).size).toBeGreaterThan(hashes.size * 0.99);
});
