import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { loadDsl } from "../../src/config/index.ts";

test("the configuration of docs/exposure.md is valid", () => {
  const page = readFileSync("docs/exposure.md", "utf8");
  const blocks = [...page.matchAll(/^```yaml\n(.*?)^```$/gms)].map(([, text = ""]) => text);
  expect(blocks).toHaveLength(1);
  for (const text of blocks) {
    const loaded = loadDsl(text, { file: "docs/exposure.md" });
    expect(loaded.ok ? [] : loaded.errors).toEqual([]);
  }
});
