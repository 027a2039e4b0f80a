import { describe, expect, test } from "vitest";
import { parseArguments } from "../../cli/arguments.ts";
import { CliFailure } from "../../cli/failure.ts";
import { parseOutcome, readReplayOptions, replayOptions } from "../../cli/replay/options.ts";

const read = (line: string) => readReplayOptions(parseArguments(line.split(" "), replayOptions));
const base = "rows.csv --experiment e --subject id --variant arm";

test("reads a whole command line", () => {
  expect(
    read(
      `${base} --control a --planned a=1,b=1 --outcome buy:binary --outcome n:count --timestamp at --looks checkpoint --url http://127.0.0.1:8787/x/ --tenant acme --environment prod --json`,
    ),
  ).toEqual({
    file: "rows.csv",
    ref: { tenant: "acme", environment: "prod", experiment: "e" },
    subject: "id",
    variant: "arm",
    control: "a",
    planned: [
      ["a", 1],
      ["b", 1],
    ],
    outcomes: [
      { column: "buy", kind: "binary", metric: "buy" },
      { column: "n", kind: "count", metric: "n" },
    ],
    timestamp: "at",
    looks: "checkpoint",
    url: "http://127.0.0.1:8787/x",
    json: true,
  });
});

test("fills in the defaults; #row makes every row a subject", () => {
  expect(read("rows.csv --experiment e --subject #row --variant arm")).toMatchObject({
    ref: { tenant: "default", environment: "default", experiment: "e" },
    subject: null,
    looks: "subject",
    outcomes: [],
    json: false,
  });
});

describe("refuses", () => {
  test.each([
    ["--experiment e --subject id --variant arm", "name a file"],
    [`${base} more.csv`, "replay reads one file; what is more.csv?"],
    ["rows.csv --subject id --variant arm", "replay needs --experiment NAME"],
    ["rows.csv --experiment e --variant arm", "replay needs --subject COL|#row"],
    ["rows.csv --experiment e --subject id", "replay needs --variant COL"],
    ["rows.csv --experiment a/b --subject id --variant arm", '--experiment "a/b": a name is'],
    [`${base} --tenant a:b`, '--tenant "a:b": a name is'],
    [`${base} --looks always`, "--looks always: it is subject or checkpoint"],
    [`${base} --url ftp://x`, "--url ftp://x is not an http address"],
    [`${base} --url 127.0.0.1:8787`, "--url 127.0.0.1:8787 is not an http address"],
    [`${base} --outcome a:binary --outcome a:count`, "--outcome gives the metric a twice"],
  ])("%s", (line, message) => {
    expect(() => read(line)).toThrow(CliFailure);
    expect(() => read(line)).toThrow(message);
  });
});

describe("parseOutcome", () => {
  test("the kind stands behind the last colon", () => {
    expect(parseOutcome("m=a:b c:count")).toEqual({ column: "a:b c", kind: "count", metric: "m" });
  });

  test.each([
    ["buy", "--outcome buy names no kind: --outcome buy:binary|count|continuous"],
    ["buy:binry", "the kind is one of binary, count, continuous, duration; did you mean binary?"],
    ["total sales:count", "give it one: --outcome METRIC=total sales:count"],
    ["bad name=x:count", "cannot be the name of a metric"],
    [":count", "names no kind"],
  ])("refuses %j", (text, message) => {
    expect(() => parseOutcome(text)).toThrow(message);
  });
});
