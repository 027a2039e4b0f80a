import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { loadDsl } from "../../src/config/index.ts";

const blocks = [...readFileSync("docs/identity.md", "utf8").matchAll(/^```yaml\n(.*?)^```$/gms)].map(
  ([, text = ""]) => text,
);

test("every configuration in docs/identity.md loads without a warning", () => {
  expect(blocks).toHaveLength(4);
  for (const text of blocks) expect(loadDsl(text, { file: "identity.md" })).toMatchObject({ ok: true, warnings: [] });
});
