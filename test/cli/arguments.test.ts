import { describe, expect, test } from "vitest";
import { describeOptions, parseArguments } from "../../cli/arguments.ts";
import { CliFailure } from "../../cli/failure.ts";

const specs = {
  experiment: { value: "NAME", help: "the experiment" },
  outcome: { value: "COL:KIND", multiple: true, help: "an outcome" },
  json: { help: "one document" },
} as const;

const failureOf = (args: readonly string[]): CliFailure => {
  try {
    parseArguments(args, specs);
  } catch (error) {
    if (error instanceof CliFailure) return error;
    throw error;
  }
  throw new Error("it was accepted");
};

describe("parseArguments", () => {
  test("reads options in both forms, repeated ones in order, switches and positionals", () => {
    const parsed = parseArguments(
      ["a.csv", "--experiment=x", "--outcome", "b:binary", "--json", "--outcome=c=d:count"],
      specs,
    );
    expect(parsed.positionals).toEqual(["a.csv"]);
    expect(parsed.value("experiment")).toBe("x");
    expect(parsed.values("outcome")).toEqual(["b:binary", "c=d:count"]);
    expect(parsed.has("json")).toBe(true);
    expect(parsed.has("help")).toBe(false);
    expect(parsed.value("missing")).toBeUndefined();
  });

  test("takes what follows -- as positionals, and -h as --help", () => {
    expect(parseArguments(["--", "--json"], specs).positionals).toEqual(["--json"]);
    expect(parseArguments(["-h"], specs).has("help")).toBe(true);
  });

  test.each([
    [["--experimnet", "x"], "unknown option --experimnet; did you mean --experiment?"],
    [["--zzz"], "unknown option --zzz"],
    [["-x"], "unknown option -x"],
    [["--json=yes"], "--json takes no value"],
    [["--experiment"], "--experiment wants a value: --experiment NAME"],
    [["--experiment="], "--experiment wants a value: --experiment NAME"],
    [
      ["--experiment", "--json"],
      "--experiment wants a value; one that begins with a dash is written --experiment=--json",
    ],
    [["--experiment", "a", "--experiment", "b"], "--experiment is given twice"],
  ])("refuses %j", (args, message) => {
    const failure = failureOf(args);
    expect(failure.message).toBe(message);
    expect(failure.exitCode).toBe(2);
  });

  test("a value may begin with a dash when it is written with =", () => {
    expect(parseArguments(["--experiment=-x"], specs).value("experiment")).toBe("-x");
  });

  test("names of Object.prototype are unknown options like any other", () => {
    expect(failureOf(["--__proto__", "x"]).message).toBe("unknown option --__proto__");
    expect(failureOf(["--constructor"]).message).toBe("unknown option --constructor");
  });
});

test("describeOptions aligns the texts and goes on with a long one below itself", () => {
  expect(describeOptions({ url: { value: "URL", help: "where\nit is" }, json: { help: "as JSON" } })).toBe(
    ["  --url URL  where", "             it is", "  --json     as JSON", "  --help     show this text"].join("\n"),
  );
});
