/**
 * The stores on Cloudflare's own engines beside these: a commit and a load through the store, and in the same run the very
 * same statements sent raw to D1, or to an object of the same kind; at several lengths of history and with several
 * numbers of experiments in the scope.
 *
 *     npx node bench/stores/cloudflare.ts [--operations 100] [--stores d1,durableObject]
 *
 * Everything runs inside one workerd, product and raw in turns; what crosses a real network comes to both, and is not
 * here. Compare ratios: machines are shared and noisy.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { build } from "esbuild";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";
import * as v from "valibot";
import { migrate } from "../../adapters/store/migrate.ts";
import { sqliteMigrations } from "../../adapters/store/sqlite-migrations.ts";

const { values: flags } = parseArgs({
  options: {
    operations: { type: "string", default: "100" },
    stores: { type: "string", default: "d1,durableObject" },
  },
});
const operations = Number(flags.operations);
if (!Number.isSafeInteger(operations) || operations < 10) throw new RangeError("--operations is at least 10");
const rounds = 5;
/** Objects that are asked 1,000 things by one request answer no more. */
const crowdAtOnce = 400;

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

const Times = v.object({
  productCommit: v.number(),
  productLoad: v.number(),
  rawCommit: v.number(),
  rawLoad: v.number(),
});
type Times = v.InferOutput<typeof Times>;

const median = (values: readonly number[]): number =>
  values.toSorted((left, right) => left - right)[Math.floor(values.length / 2)] ?? Number.NaN;

try {
  const { origin } = await miniflare.ready;
  await migrate(await miniflare.getD1Database("DB"), sqliteMigrations);
  const ask = async (path: string): Promise<unknown> => {
    const response = await fetch(`${origin}${path}`);
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return response.json();
  };

  const show = async (engine: string, name: string, what: string): Promise<void> => {
    const measured: Times[] = [];
    for (let round = 0; round <= rounds; round += 1) {
      const times = v.parse(Times, await ask(`/measure?engine=${engine}&name=${name}&count=${operations}`));
      // The first round warms up.
      if (round > 0) measured.push(times);
    }
    const of = (key: keyof Times): number => median(measured.map((times) => times[key])) / operations;
    const line = (op: "Commit" | "Load"): string => {
      const [product, raw] = [of(`product${op}`), of(`raw${op}`)];
      return `${op.toLowerCase()} ${product.toFixed(2)} ms, raw ${raw.toFixed(2)} ms, ${((raw / product) * 100).toFixed(0)} %`;
    };
    console.log(`  ${what.padEnd(38)} ${line("Commit")}   ${line("Load")}`);
  };

  for (const engine of flags.stores.split(",")) {
    console.log(`${engine}: ${operations} operations a round, medians of ${rounds} rounds, and of raw`);
    for (const length of [10, 1_000, 10_000]) {
      await ask(`/grow?engine=${engine}&name=long-${length}&length=${length}`);
      await show(engine, `long-${length}`, `a history of ${length.toLocaleString("en")} events`);
    }
    let others = 0;
    for (const crowd of [1, 100, 10_000]) {
      while (others < crowd) {
        const count = Math.min(crowdAtOnce, crowd - others);
        await ask(`/crowd?engine=${engine}&from=${others}&count=${count}`);
        others += count;
      }
      await show(engine, "long-10", `${crowd.toLocaleString("en")} other experiments in the scope`);
    }
  }
} finally {
  await miniflare.dispose();
  await rm(directory, { recursive: true, force: true });
}
