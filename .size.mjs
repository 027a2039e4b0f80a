import { build } from "esbuild";
import { gzipSync } from "node:zlib";
for (const c of [
  'export * from "./src/evaluate.ts";',
  'export { createExperiments, httpRules } from "./src/browser.ts";export { httpSink } from "./adapters/sink/http.ts";',
]) {
  const r = await build({
    stdin: { contents: c, resolveDir: "/work/w-exposure", loader: "ts" },
    bundle: true,
    minify: true,
    format: "esm",
    platform: "neutral",
    write: false,
    metafile: true,
  });
  console.log(gzipSync(r.outputFiles[0].contents, { level: 9 }).length);
  if (process.argv[2])
    console.log(
      Object.entries(Object.values(r.metafile.outputs)[0].inputs)
        .map(([k, v]) => k + " " + v.bytesInOutput)
        .join("\n"),
    );
}
