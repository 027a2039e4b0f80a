/**
 * The stores on Cloudflare's own engines beside these: the same statements sent raw to D1, or to an object of the same kind.
 * Product and raw run inside one workerd, in turns (bench/worker/stores.ts). See index.ts.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";
import * as v from "valibot";
import { migrate } from "../../adapters/store/migrate.ts";
import { sqliteMigrations } from "../../adapters/store/sqlite-migrations.ts";
import { type Engine, median, places, type Times } from "./engine.ts";

/** One request may ask objects 1,000 things. */
const commitsATurn = 50;
/** The clock of workerd has steps of a millisecond, and a load takes a fifth of one. */
const loadsATurn = 400;
const crowdAtOnce = 400;
const warmUpTurns = 4;

const Turn = v.object({
  productCommit: v.number(),
  productLoad: v.number(),
  rawCommit: v.number(),
  rawLoad: v.number(),
});
type Turn = v.InferOutput<typeof Turn>;

interface Bench {
  ask(path: string, question: Readonly<Record<string, string | number>>): Promise<unknown>;
  stop(): Promise<void>;
}

const start = async (): Promise<Bench> => {
  const bundle = await build({
    entryPoints: [join(import.meta.dirname, "..", "worker", "stores.ts")],
    bundle: true,
    write: false,
    format: "esm",
    target: "es2024",
    conditions: ["workerd", "worker", "browser"],
    external: ["cloudflare:*", "node:*"],
  });
  const directory = await mkdtemp(join(tmpdir(), "proviso-bench-"));
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      host: "127.0.0.1",
      port: 0,
      cf: false,
      resourcePersistencePath: directory,
      name: "bench",
      modulesRoot: "/",
      modules: [{ type: "ESModule", path: "/worker.mjs", contents: bundle.outputFiles[0]?.text ?? "" }],
      compatibilityDate: "2026-10-01",
      compatibilityFlags: ["nodejs_compat"],
      d1Databases: { DB: "bench" },
      durableObjects: {
        EXPERIMENTS: { className: "HistoryObject", useSQLite: true },
        REGISTRIES: { className: "RegistryObject", useSQLite: true },
        RAW: { className: "RawObject", useSQLite: true },
      },
    }),
  );
  const stop = async (): Promise<void> => {
    await miniflare.dispose();
    await rm(directory, { recursive: true, force: true });
  };
  try {
    const { origin } = await miniflare.ready;
    await migrate(await miniflare.getD1Database("DB"), sqliteMigrations);
    return {
      stop,
      async ask(path, question) {
        const query = new URLSearchParams();
        for (const [key, value] of Object.entries(question)) query.set(key, String(value));
        const response = await fetch(`${origin}${path}?${query.toString()}`);
        if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
        return response.json();
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
};

const engineOf = (name: string): Engine => ({
  name,
  floor: 0.6,
  missing: () => null,
  async *rows(operations) {
    const bench = await start();
    try {
      const turn = async (at: { readonly engine: string; readonly name: string }): Promise<Turn> =>
        v.parse(Turn, await bench.ask("/measure", { ...at, commits: commitsATurn, loads: loadsATurn }));
      // Until both sides are compiled as well as they will be.
      const warm = { engine: name, name: "warm" };
      await bench.ask("/grow", { ...warm, length: 10 });
      for (let index = 0; index < warmUpTurns; index += 1) await turn(warm);
      let others = 1;
      for (const place of places) {
        const { history, experiments } = place;
        const at = { engine: name, name: `long-${history}` };
        if (experiments === 1) await bench.ask("/grow", { ...at, length: history });
        for (; others < experiments; others += crowdAtOnce)
          await bench.ask("/crowd", { ...at, from: others, count: Math.min(crowdAtOnce, experiments - others) });
        const turns: Turn[] = [];
        for (let index = 0; index < Math.ceil(operations / commitsATurn); index += 1) turns.push(await turn(at));
        const middle = (key: keyof Turn): number => median(turns.map((times) => times[key]));
        const times = (kind: "Commit" | "Load", count: number): Times => ({
          product: middle(`product${kind}`) / count,
          raw: middle(`raw${kind}`) / count,
        });
        yield { place, commit: times("Commit", commitsATurn), load: times("Load", loadsATurn) };
      }
    } finally {
      await bench.stop();
    }
  },
});

export const d1 = engineOf("d1");
export const durableObject = engineOf("durableObject");
