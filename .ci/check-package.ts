/**
 * Checks what a user of the package gets: packs it, installs the tarball in an empty project, and loads every entry in
 * Node and in workerd. Package exports are compared with files both ways, on the tarball and not on the work tree.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { build } from "esbuild";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import * as v from "valibot";

const Manifest = v.object({
  dependencies: v.record(v.string(), v.string()),
  devDependencies: v.record(v.string(), v.string()),
  exports: v.record(v.string(), v.union([v.string(), v.null(), v.record(v.string(), v.string())])),
});
const manifest = v.parse(Manifest, JSON.parse(readFileSync("package.json", "utf8")));
const project = mkdtempSync(join(tmpdir(), "proviso-package-"));
const run = (command: string, ...args: string[]): string =>
  execFileSync(command, args, { cwd: project, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });

const problems = (await publint({ pkgDir: ".", strict: true })).messages;
for (const problem of problems) console.error(formatMessage(problem, manifest));
assert.equal(problems.length, 0, "publint found problems");

/** Subpaths with a pattern become one subpath a file; `null` takes some away again. */
const subpaths = (installed: string): readonly string[] => {
  const hidden = new Set(
    Object.entries(manifest.exports).flatMap(([subpath, target]) => (target === null ? [subpath] : [])),
  );
  return Object.entries(manifest.exports).flatMap(([subpath, target]) => {
    const file = typeof target === "string" ? target : target?.["default"];
    if (file === undefined || !file.endsWith(".js")) return [];
    if (!subpath.includes("*")) {
      assert.ok(existsSync(join(installed, file)), `${subpath} names ${file}, which is not in the tarball`);
      return [subpath];
    }
    const names = readdirSync(join(installed, file.slice(0, file.indexOf("*")))).filter((name) => name.endsWith(".js"));
    assert.ok(names.length > 0, `${subpath} matches nothing in the tarball`);
    return names.map((name) => subpath.replace("*", basename(name, ".js"))).filter((name) => !hidden.has(name));
  });
};

try {
  const tarball = run("npm", "pack", process.cwd(), "--silent", "--ignore-scripts").trim().split("\n").at(-1) ?? "";
  writeFileSync(join(project, "package.json"), JSON.stringify({ name: "consumer", private: true, type: "module" }));
  const node = manifest.devDependencies["node"] ?? "";
  const typescript = manifest.devDependencies["typescript"] ?? "";
  // Entries for OpenFeature need what their users have anyway.
  const core = `@openfeature/core@${manifest.devDependencies["@openfeature/core"] ?? ""}`;
  run("npm", "install", "--loglevel=error", `./${tarball}`, `node@${node}`, `typescript@${typescript}`, core);
  const installed = join(project, "node_modules", "proviso");
  assert.ok(!existsSync(join(installed, "test")), "the tarball holds tests");
  const entries = subpaths(installed).map((subpath) => `proviso${subpath.slice(1)}`);

  writeFileSync(
    join(project, "node.mjs"),
    `for (const entry of process.argv.slice(2)) {\n  const names = Object.keys(await import(entry));\n  if (names.length === 0) throw new Error(entry + " exports nothing");\n}\n`,
  );
  run("npx", "node", "node.mjs", ...entries);
  console.log(`Node loads ${entries.length} entries: ${entries.join(", ")}`);

  const imports = entries.map((entry, index) => `import * as entry${index} from ${JSON.stringify(entry)};`);
  const counts = entries.map((entry, index) => `${JSON.stringify(entry)}: Object.keys(entry${index}).length`);
  writeFileSync(
    join(project, "worker.mjs"),
    `${imports.join("\n")}\nexport default { fetch: () => Response.json({ ${counts.join(", ")} }) };\n`,
  );
  const bundled = await build({
    absWorkingDir: project,
    entryPoints: ["worker.mjs"],
    bundle: true,
    format: "esm",
    platform: "browser",
    conditions: ["workerd", "worker", "browser"],
    external: ["cloudflare:*"],
    write: false,
  });
  // No Node compatibility here: the SDK runs where there is only fetch.
  const worker = new Miniflare(
    convertV4MiniflareOptions({
      modules: [
        { type: "ESModule", path: "worker.mjs", contents: bundled.outputFiles.map((file) => file.text).join("") },
      ],
      compatibilityDate: "2026-10-01",
      cf: false,
    }),
  );
  try {
    const loaded = v.parse(
      v.record(v.string(), v.pipe(v.number(), v.minValue(1))),
      await (await worker.dispatchFetch("http://127.0.0.1/")).json(),
    );
    assert.deepEqual(Object.keys(loaded).toSorted(), entries.toSorted());
    console.log(`workerd loads the same ${entries.length}`);
  } finally {
    await worker.dispose();
  }

  const typed = entries.map(
    (entry, index) =>
      `import * as entry${index} from ${JSON.stringify(entry)};\nexport const names${index} = Object.keys(entry${index});`,
  );
  // Inference has to survive what the compiler wrote into the declarations.
  typed.push(`
import { createClient } from "proviso/client";
const experiment = createClient("http://127.0.0.1").api.governance[":name"];
export const stateOf = async (name: string): Promise<"Running" | null> => {
  const answer = await experiment.$get({ param: { name } });
  if (answer.status !== 200) return null;
  const { state } = await answer.json();
  return state === "Running" ? state : null;
};
// @ts-expect-error a decision that there is not
void experiment.approvals.$post({ param: { name: "a" }, json: { decision: "maybe", changeDigest: "" } });`);
  writeFileSync(join(project, "types.ts"), `${typed.join("\n")}\n`);
  run(
    "npx",
    "tsc",
    "--noEmit",
    "--strict",
    "--skipLibCheck",
    "--target",
    "es2024",
    "--lib",
    "es2024,webworker",
    "--types",
    "",
    "--module",
    "nodenext",
    "types.ts",
  );
  console.log("the types of every entry resolve");

  run("npx", "proviso", "validate", "node_modules/proviso/proviso.yaml");
  writeFileSync(
    join(project, "rows.csv"),
    "id,arm,bought\n1,control,true\n2,treatment,false\n3,control,false\n4,treatment,true\n",
  );
  const report = v.parse(
    v.object({ subjects: v.record(v.string(), v.number()) }),
    JSON.parse(
      run(
        "npx",
        "proviso",
        "replay",
        "rows.csv",
        "--experiment",
        "packed",
        "--subject",
        "id",
        "--variant",
        "arm",
        "--outcome",
        "bought:binary",
        "--json",
      ),
    ),
  );
  assert.deepEqual(report.subjects, { control: 2, treatment: 2 });
  console.log("the command line of the tarball validates and replays");
} finally {
  rmSync(project, { recursive: true, force: true });
}
