/** The code of docs/history.md, run as it stands, from the sources. */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { loadDsl } from "../../src/config/index.ts";
import { runCommand } from "../support/cli.ts";

const page = await readFile("docs/history.md", "utf8");
const blocks = (language: string): readonly string[] =>
  [...page.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, "gms"))].map(([, text = ""]) => text);

test("the code runs, and says what the page says", async () => {
  const [code = ""] = blocks("ts");
  const source = (path: string): string => JSON.stringify(pathToFileURL(path).href);
  const directory = await mkdtemp(join(tmpdir(), "proviso-docs-"));
  try {
    const file = join(directory, "page.mts");
    await writeFile(
      file,
      code
        .replace('"proviso/store/memory"', source("adapters/store/memory.ts"))
        .replace('"proviso"', source("src/index.ts")),
    );
    const { stdout } = await promisify(execFile)(process.execPath, ["--no-warnings", file]);
    expect(stdout).toContain("valid: true");
    expect(stdout).toContain("signaturesChecked: true");
    expect(stdout).toMatch(
      /line: 6,\s+seq: 3,\s+reason: 'the value and its salt are not what the reference is the digest of'/,
    );
    expect(stdout).toMatch(/written: \d/);
    expect(stdout.match(/valid: true/g)).toHaveLength(2);
  } finally {
    await rm(directory, { recursive: true });
  }
});

test("the configuration loads without a warning", () => {
  const [text = "", ...more] = blocks("yaml");
  expect(more).toEqual([]);
  expect(loadDsl(text, { file: "history.md" })).toMatchObject({ ok: true, warnings: [] });
});

test("the commands are those that there are", async () => {
  const [text = ""] = blocks("sh");
  const named = [...text.matchAll(/npx proviso (\w+)/g)].map(([, name = ""]) => name);
  expect(named.length).toBeGreaterThan(5);
  for (const name of named) {
    const { code, out } = await runCommand([name, "--help"]);
    expect(code).toBe(0);
    const line = text.split("\n").find((one) => one.startsWith(`npx proviso ${name}`)) ?? "";
    for (const [, option = ""] of line.matchAll(/ (--[a-z-]+)/g)) expect(out).toContain(option);
  }
});
