/** An audit adapter without the suite is an omission that nobody would notice: this test does. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";

const adapters = readdirSync("adapters/audit")
  .filter((file) => file.endsWith(".ts"))
  .map((file) => file.slice(0, -".ts".length));

/** Why this is no test that runs the suite against that adapter, or undefined. */
const omission = (adapter: string, source: string | undefined): string | undefined => {
  if (source === undefined) return `test/adapters/audit/${adapter}.test.ts is missing`;
  const code = source.replaceAll(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, "");
  if (!code.includes(`/adapters/audit/${adapter}.ts"`)) return "it does not import the adapter";
  return /^\s*auditSuite\(/m.test(code) ? undefined : "it does not call auditSuite";
};

const testOf = (adapter: string): string | undefined => {
  const file = `test/adapters/audit/${adapter}.test.ts`;
  return existsSync(file) ? readFileSync(file, "utf8") : undefined;
};

test("there are adapters to look at", () => {
  expect(adapters).toEqual(expect.arrayContaining(["log", "memory", "queue", "webhook"]));
});

test.each(adapters)("adapters/audit/%s.ts has a test that runs the suite", (adapter) => {
  expect(omission(adapter, testOf(adapter))).toBeUndefined();
});

test.each([
  [undefined, "test/adapters/audit/log.test.ts is missing"],
  ['import { queueAudit } from "../../../adapters/audit/queue.ts";', "it does not import the adapter"],
  ['import { logAudit } from "../../../adapters/audit/log.ts";\n// auditSuite("log")', "it does not call auditSuite"],
])("an adapter with the test %j is found out", (source, expected) => {
  expect(omission("log", source)).toBe(expected);
});
