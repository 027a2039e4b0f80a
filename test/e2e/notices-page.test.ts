/** What docs/notices.md shows, done. */
import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { loadDsl } from "../../src/config/index.ts";

const page = readFileSync("docs/notices.md", "utf8");

test("the receiver gets each notice, verified", async () => {
  const code = /<!-- run: receiver -->\n```ts\n([\s\S]*?)```/.exec(page)?.[1] ?? "";
  // In the root, because the package finds itself by its name there.
  const file = `page-${randomUUID()}.ts`;
  await writeFile(file, code);
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [file]);
    const lines = stdout.trimEnd().split("\n");
    expect(lines).toEqual([
      "experiment.committed checkout: Draft → PendingApproval",
      "experiment.proposed checkout: proposed: PendingApproval → Approved",
    ]);
    for (const line of lines) expect(page).toContain(line);
  } finally {
    await rm(file);
  }
});

test("the configuration loads as it stands", () => {
  const text = /```yaml\n([\s\S]*?)```/.exec(page)?.[1] ?? "";
  expect(loadDsl(text, { file: "notices.md" })).toMatchObject({ ok: true, warnings: [] });
});
