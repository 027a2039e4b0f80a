/** A benchmark's Worker in a workerd of its own, on embedded storage in a directory that is removed at the end. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build, type Plugin } from "esbuild";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";

/** The text of `bench/worker/<name>.ts` with everything that it imports. */
export const bundleWorker = async (name: string, plugins: Plugin[] = []): Promise<string> => {
  const { outputFiles } = await build({
    entryPoints: [join(import.meta.dirname, "worker", `${name}.ts`)],
    bundle: true,
    write: false,
    format: "esm",
    target: "es2024",
    conditions: ["workerd", "worker", "browser"],
    external: ["cloudflare:*", "node:*"],
    plugins,
  });
  return outputFiles[0]?.text ?? "";
};

type Bindings = Pick<
  Extract<Parameters<typeof convertV4MiniflareOptions>[0], { readonly script?: unknown }>,
  "bindings" | "d1Databases" | "durableObjects" | "queueConsumers" | "queueProducers"
>;

export interface Workerd {
  readonly miniflare: Miniflare;
  readonly origin: string;
  readonly stop: () => Promise<void>;
}

/**
 * @param texts modules beside the Worker's own, by path
 */
export const startWorkerd = async (
  script: string,
  bindings: Bindings,
  texts: Readonly<Record<string, string>> = {},
): Promise<Workerd> => {
  const directory = await mkdtemp(join(tmpdir(), "proviso-bench-"));
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      host: "127.0.0.1",
      port: 0,
      cf: false,
      resourcePersistencePath: directory,
      name: "bench",
      modulesRoot: "/",
      modules: [
        { type: "ESModule", path: "/worker.mjs", contents: script },
        ...Object.entries(texts).map(([path, contents]) => ({ type: "Text" as const, path, contents })),
      ],
      compatibilityDate: "2026-10-01",
      compatibilityFlags: ["nodejs_compat"],
      ...bindings,
    }),
  );
  const stop = async (): Promise<void> => {
    await miniflare.dispose();
    await rm(directory, { recursive: true, force: true });
  };
  try {
    return { miniflare, origin: (await miniflare.ready).origin, stop };
  } catch (error) {
    await stop();
    throw error;
  }
};
