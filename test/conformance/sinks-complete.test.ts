/** A sink adapter without the suite is an omission that nobody would notice: this test does. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";

const root = new URL("../../", import.meta.url);
const adapters = readdirSync(new URL("adapters/sink/", root))
  .filter((file) => file.endsWith(".ts"))
  .map((file) => file.slice(0, -".ts".length));

/** Why this is no test that runs the suite against that adapter, or undefined. */
const omission = (adapter: string, source: string | undefined): string | undefined => {
  if (source === undefined) return `test/adapters/sink/${adapter}.test.ts is missing`;
  const code = source.replaceAll(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, "");
  if (!/from "(?:\.\.\/)+conformance\/sink\.suite\.ts"/.test(code)) return "it does not import the suite";
  if (!code.includes(`/adapters/sink/${adapter}.ts"`)) return "it does not import the adapter";
  return /^\s*sinkSuite\(/m.test(code) ? undefined : "it does not call sinkSuite";
};

test("there are adapters to look at", () => {
  expect(adapters).toEqual(expect.arrayContaining(["http", "memory", "queue"]));
});

describe.each(adapters)("adapters/sink/%s.ts", (adapter) => {
  test("has a test that runs the suite", () => {
    const file = new URL(`test/adapters/sink/${adapter}.test.ts`, root);
    expect(omission(adapter, existsSync(file) ? readFileSync(file, "utf8") : undefined)).toBeUndefined();
  });
});

describe("an adapter is found out", () => {
  const imports = `
    import { logSink } from "../../../adapters/sink/log.ts";
    import { sinkSuite } from "../../conformance/sink.suite.ts";`;
  test.each([
    ["without a test", undefined, "test/adapters/sink/log.test.ts is missing"],
    ["without the suite", 'import { logSink } from "../../../adapters/sink/log.ts";', "it does not import the suite"],
    ["without a call", imports, "it does not call sinkSuite"],
    ["with a call that is a comment", `${imports}\n// sinkSuite("log", make);`, "it does not call sinkSuite"],
    [
      "with a test of another",
      imports.replace("sink/log", "sink/http") + "\nsinkSuite();",
      "it does not import the adapter",
    ],
  ])("%s", (_, source, expected) => {
    expect(omission("log", source)).toBe(expected);
  });
});
