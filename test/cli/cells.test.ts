import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { eventTime, outcomeValue } from "../../cli/replay/cells.ts";

describe("outcomeValue", () => {
  test.each([
    ["true", true],
    ["False", false],
    ["TRUE", true],
    [" 1 ", true],
    ["0", false],
    ["Yes", true],
    ["no", false],
  ])("reads the binary %j", (cell, value) => {
    expect(outcomeValue("binary", cell)).toBe(value);
  });

  test.each(["2", "t", "on", "-1", "NaN", "truefalse", "01"])("does not read %j as binary", (cell) => {
    expect(outcomeValue("binary", cell)).toBeUndefined();
  });

  test.each([
    ["3", 3],
    ["007", 7],
    ["+2.50", 2.5],
    [".5", 0.5],
    ["5.", 5],
    ["1e3", 1000],
    ["0", 0],
    ["1000000000000000", 1e15],
  ])("reads the count %j", (cell, value) => {
    expect(outcomeValue("count", cell)).toBe(value);
  });

  test.each(["-1", "1,000", "1_000", "0x10", "Infinity", "NaN", "1e16", "1e999", "--1", "1 2", "null", "12abc"])(
    "does not read %j as a count",
    (cell) => {
      expect(outcomeValue("count", cell)).toBeUndefined();
    },
  );

  test("a continuous value may be negative", () => {
    expect(outcomeValue("continuous", "-3.25")).toBe(-3.25);
    expect(outcomeValue("continuous", "-1e16")).toBeUndefined();
  });

  test("every number that JSON can say within the limit is read as itself", () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, min: -1e15, max: 1e15 }), (value) => {
        expect(outcomeValue("continuous", String(value))).toBe(Number(String(value)));
      }),
    );
  });
});

describe("eventTime", () => {
  test.each([
    ["2017-01-21 22:11:48.556739", "2017-01-21T22:11:48.556739Z"],
    ["2017-01-21T22:11:48Z", "2017-01-21T22:11:48Z"],
    ["2017-01-21T22:11", "2017-01-21T22:11:00Z"],
    ["2017-01-21", "2017-01-21T00:00:00Z"],
    ["2017-01-21 22:11:48 UTC", "2017-01-21T22:11:48Z"],
    ["2017-01-21 22:11:48+02", "2017-01-21T22:11:48+02:00"],
    ["2017-01-21 22:11:48.5 -0530", "2017-01-21T22:11:48.5-05:30"],
    ["2016-02-29 00:00:00,123", "2016-02-29T00:00:00.123Z"],
  ])("reads %j", (cell, time) => {
    expect(eventTime(cell)).toBe(time);
  });

  test.each([
    "",
    "yesterday",
    "1485036708",
    "21.01.2017",
    "01/21/2017",
    "2017-02-29",
    "2017-02-30 10:00:00",
    "2017-13-01",
    "2017-01-21 25:00:00",
    "2017-01-21 22:61:00",
    "2017-01-21 22:11:48 CET",
    "2017-01-21T22:11:48Zjunk",
  ])("does not read %j", (cell) => {
    expect(eventTime(cell)).toBeUndefined();
  });

  test("whatever it reads, the ingest reads as the same moment", () => {
    fc.assert(
      fc.property(fc.date({ min: new Date(0), max: new Date("2200-01-01"), noInvalidDate: true }), (date) => {
        const text = date.toISOString();
        expect(eventTime(text.replace("T", " ").replace("Z", ""))).toBe(text);
      }),
    );
  });
});
