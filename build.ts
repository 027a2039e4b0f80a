/**
 * Makes `dist/`: the SDK and the command line by the TypeScript compiler, the Worker as one file by esbuild. npm runs
 * it after `npm ci` and before packing (`prepare`).
 */
import { execFileSync } from "node:child_process";
import { chmodSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build, type Plugin } from "esbuild";

const root = dirname(fileURLToPath(import.meta.url));
const inRoot = (...parts: string[]): string => join(root, ...parts);

/** Made beside and put in place at the end, so that whoever runs the last build meanwhile keeps a whole one. */
const next = inRoot(".proviso", "build");

/** The compiler's own entry: what stands in `node_modules/.bin` is a shell script on some systems. */
const compile = (project: string): void => {
  const compiler = inRoot("node_modules", "typescript", "bin", "tsc");
  execFileSync(process.execPath, [compiler, "-p", inRoot(project), "--outDir", next], { cwd: root, stdio: "inherit" });
};

/** The DSL is a module of its own beside the Worker: whoever starts it puts the text there. */
const dslBeside: Plugin = {
  name: "dsl-beside",
  setup(context) {
    context.onResolve({ filter: /\.yaml$/ }, () => ({ path: "./proviso.yaml", external: true }));
  },
};

rmSync(next, { recursive: true, force: true });
compile("tsconfig.build.json");
compile("tsconfig.build.cli.json");
chmodSync(join(next, "cli", "main.js"), 0o755);
await build({
  absWorkingDir: root,
  entryPoints: ["worker/index.ts"],
  outfile: join(next, "worker.mjs"),
  bundle: true,
  format: "esm",
  target: "es2024",
  // As wrangler bundles.
  platform: "browser",
  conditions: ["workerd", "worker", "browser"],
  external: ["cloudflare:*", "node:*"],
  plugins: [dslBeside],
  logLevel: "warning",
});
rmSync(inRoot("dist"), { recursive: true, force: true });
renameSync(next, inRoot("dist"));
