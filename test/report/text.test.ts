import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bar, count, percent, printable, significant, signed, wrap } from "../../src/report/text.ts";
import { createProgress } from "../../cli/replay/progress.ts";

test("numbers for people", () => {
  expect(count(90_189)).toBe("90,189");
  expect(percent(0.49562)).toBe("49.56 %");
  expect(significant(0)).toBe("0");
  expect(significant(6.902404, 5)).toBe("6.9024");
  expect(significant(0.00155425)).toBe("0.00155");
  expect(significant(0.0000123)).toBe("1.23e-5");
  expect(significant(1_234_567, 4)).toBe("1,235,000");
  expect(significant(-3.1)).toBe("-3.1");
  expect(signed("0.058", true)).toBe("+0.058");
  expect(signed("-1.239", true)).toBe("−1.239");
  expect(signed("-1.239", false)).toBe("-1.239");
  expect(signed("-0.000", true)).toBe("0.000");
  expect(signed("1,235,000", true)).toBe("+1,235,000");
});

describe("bar", () => {
  test("is as long as its share, in eighths of a cell", () => {
    expect(bar(1, 4, true)).toBe("████");
    expect(bar(0.5, 4, true)).toBe("██");
    expect(bar(0.53125, 4, true)).toBe("██▏");
    expect(bar(0, 4, true)).toBe("");
    expect(bar(0.5, 4, false)).toBe("##");
  });

  test("never leaves its room, whatever the share", () => {
    fc.assert(
      fc.property(fc.double(), fc.nat({ max: 80 }), fc.boolean(), (share, width, unicode) => {
        expect(bar(share, width, unicode).length).toBeLessThanOrEqual(width);
      }),
    );
  });
});

test("wrap breaks at blanks and loses no word", () => {
  expect(wrap("a bb ccc dddd", 6)).toEqual(["a bb", "ccc", "dddd"]);
  expect(wrap("unbreakablelongword x", 5)).toEqual(["unbreakablelongword", "x"]);
  fc.assert(
    fc.property(fc.array(fc.string({ unit: fc.constantFrom("a", "b"), minLength: 1, maxLength: 9 })), (words) => {
      expect(wrap(words.join(" "), 12).join(" ")).toBe(words.join(" "));
    }),
  );
});

test("printable leaves letters of every script and takes what steers a terminal", () => {
  expect(printable("größe 日本 👍")).toBe("größe 日本 👍");
  expect(printable("a\u001B[2J\nb\u202Ec\u200B")).toBe("a\uFFFD[2J\uFFFDb\uFFFDc\uFFFD");
});

describe("progress", () => {
  const watch = (style: "bar" | "lines" | "none", columns = 100) => {
    const written: string[] = [];
    let time = 0;
    const progress = createProgress({
      write: (text) => written.push(text),
      style,
      unicode: true,
      columns,
      totalRows: 200,
      now: () => time,
    });
    const at = (
      ms: number,
      rows: number,
      sent: number,
      arrived: number,
      stage: "sending" | "waiting" = "sending",
    ): void => {
      time = ms;
      progress.update({ stage, rows, sent, arrived });
    };
    return { written, at, progress };
  };

  test("a bar is drawn over itself, at most ten times a second, and taken away at the end", () => {
    const { written, at, progress } = watch("bar");
    at(0, 0, 0, 0);
    at(50, 1, 1, 1);
    at(2_000, 100, 1_000, 500);
    at(4_000, 200, 2_000, 1_000, "waiting");
    progress.end();
    progress.end();
    expect(written).toEqual([
      "\r\u001B[2K░░░░░░░░░░░░░░░░░░░░░░░░   0 %  row 0 of 200, 0 events sent",
      "\r\u001B[2K████████████░░░░░░░░░░░░  50 %  row 100 of 200, 1,000 events sent (500/s)",
      "\r\u001B[2K████████████░░░░░░░░░░░░  50 %  waiting for the ledger: 1,000 of 2,000 events counted",
      "\r\u001B[2K",
    ]);
  });

  test("a bar stays within its line", () => {
    const { written, at } = watch("bar", 30);
    at(2_000, 100, 1_000, 500);
    expect(written).toEqual(["\r\u001B[2K████████████░░░░░░░░░░░░  50 "]);
  });

  test("without a terminal there is a line every five seconds, or nothing", () => {
    const lines = watch("lines");
    for (const ms of [0, 1_000, 5_000, 6_000, 10_000]) lines.at(ms, ms / 50, ms, ms);
    lines.progress.end();
    expect(lines.written).toEqual([
      "row 100 of 200, 5,000 events sent (1,000/s)\n",
      "row 200 of 200, 10,000 events sent (1,000/s)\n",
    ]);
    const none = watch("none");
    none.at(10_000, 1, 1, 1);
    none.progress.end();
    expect(none.written).toEqual([]);
  });
});
