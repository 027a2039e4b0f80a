import * as fc from "fast-check";
import { expect, test } from "vitest";
import { jsonTextBytes, utf8Length } from "../src/utf8.ts";

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

test("jsonTextBytes is what JSON makes of any text", () => {
  const escapes = fc.string({
    unit: fc.constantFrom('"', "\\", "\n", "\u0000", "\u001f", "\u007f", "a", "é", "\ud800"),
  });
  fc.assert(
    fc.property(fc.oneof(texts, escapes), (text) => {
      expect(jsonTextBytes(text) + 2).toBe(encoder.encode(JSON.stringify(text)).length);
    }),
    { numRuns: 2_000 },
  );
});
