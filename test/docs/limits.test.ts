import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { limits } from "../../src/limits.ts";

test("docs/limits.md has every limit, with the value in force", () => {
  const rows = [...readFileSync("docs/limits.md", "utf8").matchAll(/^\| `(\w+)` \| ([\d,]+) \| .+ \|$/gm)];
  expect(Object.fromEntries(rows.map(([, name, value]) => [name, Number(value?.replaceAll(",", ""))]))).toEqual(limits);
});
