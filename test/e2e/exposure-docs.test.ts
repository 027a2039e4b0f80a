/** Every example of docs/exposure.md, run as it stands: against the built package, by its name. */
import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { promisify } from "node:util";
import { transform } from "esbuild";
import { expect, test } from "vitest";

const run = promisify(execFile);
const page = readFileSync("docs/exposure.md", "utf8");
const blocks = [...page.matchAll(/<!-- run: (\w+) -->\n```ts\n([\s\S]*?)```/g)].map(([, name = "", code = ""]) => ({
  name,
  code,
}));

test("every block of code is one that is run", () => {
  expect(blocks.length).toBe([...page.matchAll(/^```ts$/gm)].length);
  expect(blocks.length).toBeGreaterThan(7);
});

test.each(blocks)("$name", async ({ code }) => {
  // Compiled, because one of them is a decorator; in the root, where the package finds itself by its name.
  const compiled = await transform(code, { loader: "ts", target: "es2024", format: "esm" });
  const file = `page-${randomUUID()}.mjs`;
  await writeFile(file, compiled.code);
  try {
    const { stderr } = await run(process.execPath, [file]);
    expect(stderr).toBe("");
  } finally {
    await rm(file);
  }
});
