/**
 * The stores on Cloudflare's own engines beside these: the same statements sent raw to D1, or to an object of the same kind.
 * Product and raw run inside one workerd, in turns (bench/worker/stores.ts). See index.ts.
 */
import * as v from "valibot";
import { migrate } from "../../adapters/store/migrate.ts";
import { sqliteMigrations } from "../../adapters/store/sqlite-migrations.ts";
import { bundleWorker, startWorkerd } from "../workerd.ts";
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
  const { miniflare, origin, stop } = await startWorkerd(await bundleWorker("stores"), {
    d1Databases: { DB: "bench" },
    durableObjects: {
      EXPERIMENTS: { className: "HistoryObject", useSQLite: true },
      REGISTRIES: { className: "RegistryObject", useSQLite: true },
      RAW: { className: "RawObject", useSQLite: true },
    },
  });
  try {
    await migrate(await miniflare.getD1Database("DB"), sqliteMigrations);
  } catch (error) {
    await stop();
    throw error;
  }
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
