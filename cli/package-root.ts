/** Where the package lies: the command line runs from `cli/` in the repository and from `dist/cli/` when installed. */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import * as v from "valibot";

/** The nearest directory above with a manifest. */
export const packageRoot = (): string => {
  let directory = import.meta.dirname;
  while (!existsSync(join(directory, "package.json"))) directory = dirname(directory);
  return directory;
};

/** As much of our manifest as is used. */
const ManifestSchema = v.object({
  version: v.string(),
  dependencies: v.optional(v.record(v.string(), v.string()), {}),
  optionalDependencies: v.optional(v.record(v.string(), v.string()), {}),
});

const readManifest = (): v.InferOutput<typeof ManifestSchema> =>
  v.parse(ManifestSchema, JSON.parse(readFileSync(join(packageRoot(), "package.json"), "utf8")));

export const packageVersion = (): string => readManifest().version;

/** The version of a package that this one was made with. */
export const dependencyVersion = (name: string): string => {
  const { dependencies, optionalDependencies } = readManifest();
  return dependencies[name] ?? optionalDependencies[name] ?? "latest";
};
