import * as fc from "fast-check";
import { expect, test } from "vitest";
import { exposureIds, outcomeId } from "../../cli/replay/ids.ts";

test("exposure ids are UUIDs of version 7, each greater than the one before", () => {
  const next = exposureIds();
  const ids = Array.from({ length: 20_000 }, next);
  expect(ids.every((id) => /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(id))).toBe(
    true,
  );
  expect(ids.every((id, index) => index === 0 || id > (ids[index - 1] ?? ""))).toBe(true);
});

test("two runs share no exposure id", () => {
  const first = new Set(Array.from({ length: 1_000 }, exposureIds()));
  expect(Array.from({ length: 1_000 }, exposureIds()).filter((id) => first.has(id))).toEqual([]);
});

test("an outcome id is a UUID of version 8, always the same for the same row", () => {
  // Frozen: another derivation would count the outcomes of an earlier replay a second time.
  expect(outcomeId("cookie-cats", 1, "116", "retention_1")).toBe("25a35c74-ba08-8df4-a9cc-2c14f2a75f21");
});

test("what differs in one part has another id", () => {
  const parts = fc.tuple(fc.string(), fc.nat(), fc.string(), fc.string());
  fc.assert(
    fc.property(parts, parts, (a, b) => {
      const same = JSON.stringify(a) === JSON.stringify(b);
      expect(outcomeId(...a) === outcomeId(...b)).toBe(same);
      expect(outcomeId(...a)).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    }),
  );
});

test("parts do not run into each other", () => {
  expect(outcomeId("a", 1, "1", "m")).not.toBe(outcomeId("a", 11, "", "m"));
  expect(outcomeId('a","b', 1, "s", "m")).not.toBe(outcomeId("a", 1, 'b","s', "m"));
});
