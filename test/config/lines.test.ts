import * as fc from "fast-check";
import { expect, test } from "vitest";
import { linesOf } from "../../src/config/lines.ts";

test("every offset is on its line, at its column, as splitting says", () => {
  const text = fc.string({ unit: fc.constantFrom("a", "\n", "\r", "\t", "💡") });
  fc.assert(
    fc.property(text, fc.nat(30), (value, wanted) => {
      const offset = Math.min(wanted, value.length);
      const before = value.slice(0, offset).split("\n");
      expect(linesOf(value)(wanted)).toEqual({ line: before.length, column: (before.at(-1) ?? "").length + 1 });
    }),
  );
});
