/** What a browser downloads: measured on the bundle, and kept from growing by accident. */
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { describe, expect, test } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));

interface Bundle {
  readonly gzipBytes: number;
  readonly inputs: readonly string[];
  readonly text: string;
}

const bundle = async (contents: string): Promise<Bundle> => {
  const { outputFiles, metafile } = await build({
    stdin: { contents, resolveDir: root, loader: "ts" },
    absWorkingDir: root,
    bundle: true,
    minify: true,
    format: "esm",
    platform: "neutral",
    write: false,
    metafile: true,
  });
  const [file] = outputFiles;
  if (file === undefined) throw new Error("esbuild wrote nothing");
  return {
    gzipBytes: gzipSync(file.contents, { level: 9 }).length,
    inputs: Object.keys(metafile.inputs),
    text: file.text,
  };
};

/**
 * Measured on 2026-11-25, in bytes after gzip: 5,413 and 11,472. A little room for honest changes, none for a library.
 * (The second was 11,000 before repeats had a table of their own: an exposure then cost 3.6 times an assignment.)
 */
const cases = [
  { name: "evaluation alone", entry: 'export * from "./src/evaluate.ts";', mostBytes: 5_450 },
  {
    name: "evaluation with trials, buffer and the HTTP sink",
    entry: `
      export { createExperiments, httpRules } from "./src/browser.ts";
      export { httpSink } from "./adapters/sink/http.ts";`,
    mostBytes: 11_500,
  },
];

describe.each(cases)("$name", ({ entry, mostBytes }) => {
  test(`is at most ${mostBytes} bytes`, async () => {
    const { gzipBytes } = await bundle(entry);
    expect(gzipBytes).toBeLessThanOrEqual(mostBytes);
    // Far below would mean that something is missing from the bundle.
    expect(gzipBytes).toBeGreaterThan(mostBytes * 0.8);
  });

  test("pulls in no governance, no schema library, no package at all", async () => {
    const { inputs } = await bundle(entry);
    expect(inputs.length).toBeGreaterThan(8);
    expect(
      inputs.filter((path) => /node_modules|governance\/|config\/|science\/|ledger\/|http\/|experiment\.ts/.test(path)),
    ).toEqual([]);
  });

  test("holds nothing of the expression language", async () => {
    const { text, inputs } = await bundle(entry);
    expect(inputs.filter((path) => path.includes("cel"))).toEqual([]);
    expect(text).not.toMatch(/maxAstNodes|google\.protobuf/);
  });

  test("runs without code generation", async () => {
    const { text } = await bundle(entry);
    expect(text).not.toMatch(/\beval\(|new Function/);
  });
});
