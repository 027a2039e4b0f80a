import { expect, test } from "vitest";
import { createEventIds } from "../../src/events/event-id.ts";

const pattern = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

test("is the example of RFC 9562, appendix A.6, for its time and random bits", () => {
  // rand_a = 0xCC3, rand_b = 0x18C4DC0C0C07398F, time = 2022-02-22 14:22:22-05:00
  const bytes = [0x0c, 0xc3, 0x18, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f];
  const id = createEventIds((pool) => pool.set(bytes));
  expect(id(0x017f22e279b0)).toBe("017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
});

test("has version and variant whatever the random bits are", () => {
  for (const byte of [0x00, 0xff, 0xa5]) {
    expect(createEventIds((pool) => pool.fill(byte))(1_800_000_000_000)).toMatch(pattern);
  }
});

test("does not repeat itself, within a millisecond or over many fills", () => {
  const id = createEventIds();
  const ids = Array.from({ length: 10_000 }, () => id(1_800_000_000_000));
  expect(new Set(ids).size).toBe(10_000);
  expect(ids.every((each) => pattern.test(each))).toBe(true);
});

test("follows the clock, so ids sort by time", () => {
  const id = createEventIds();
  const ids = Array.from({ length: 1_000 }, (_, index) => id(1_800_000_000_007 + 7 * index));
  expect(ids.toSorted()).toEqual(ids);
  expect(Number.parseInt(ids[0]?.replaceAll("-", "").slice(0, 12) ?? "", 16)).toBe(1_800_000_000_007);
});

test("asks for random bytes when the first id is made, not before", () => {
  let asked = 0;
  const id = createEventIds(() => {
    asked += 1;
  });
  expect(asked).toBe(0);
  id(0);
  expect(asked).toBe(1);
});
