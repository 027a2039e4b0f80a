/**
 * Every store beside its own engine: a commit and a load through the store, and in the same run the very same statements,
 * made beforehand, sent raw through the same client; behind histories of 10, 1,000 and 10,000 events, and in scopes of 1, 100
 * and 10,000 experiments. Prints a table, and which rows are below the share of raw that is wanted.
 *
 *     npx node bench/stores/index.ts [--stores d1,durableObject,upstash,postgres] [--operations 300]
 *
 * Product and raw take turns. Everything is on this machine and on loopback: what a network takes comes to both, and would hide
 * the difference. PostgreSQL runs without fsync, Redis without a file, for the same reason. D1 and objects run inside workerd.
 * Compare ratios: machines are shared and noisy.
 */
import { loadavg } from "node:os";
import { parseArgs } from "node:util";
import { d1, durableObject } from "./cloudflare.ts";
import type { Engine, Row, Times } from "./engine.ts";
import { postgres } from "./postgres.ts";
import { upstash } from "./upstash.ts";

const engines: readonly Engine[] = [d1, durableObject, upstash, postgres];

const { values: flags } = parseArgs({
  options: {
    stores: { type: "string", default: engines.map(({ name }) => name).join(",") },
    operations: { type: "string", default: "300" },
  },
});
const operations = Number(flags.operations);
if (!Number.isSafeInteger(operations) || operations < 100)
  throw new RangeError(`--operations is a whole number from 100, not ${flags.operations}`);
const chosen = flags.stores.split(",").map((name) => {
  const engine = engines.find((one) => one.name === name);
  if (engine !== undefined) return engine;
  throw new RangeError(`--stores knows ${engines.map((one) => one.name).join(", ")}, not ${name}`);
});

const count = (value: number): string => value.toLocaleString("en");
const share = ({ product, raw }: Times): number => raw / product;
const percent = (value: number): string => `${(100 * value).toFixed(0)} %`;
const cells = (times: Times): readonly string[] => [
  times.product.toFixed(2),
  times.raw.toFixed(2),
  percent(share(times)),
];
const bareShare = ({ bare, product }: Times): readonly string[] =>
  bare === undefined ? [] : [percent(bare / product)];

const began = performance.now();
const below: string[] = [];
const bare: string[] = [];
console.log("| store | events | experiments | commit, ms | raw | of raw | load, ms | raw | of raw |");
console.log("|---|---|---|---|---|---|---|---|---|");
for (const engine of chosen) {
  const missing = engine.missing();
  if (missing !== null) throw new Error(`${engine.name}: ${missing}; leave it out with --stores`);
  const rows: Row[] = [];
  for await (const row of engine.rows(operations)) {
    const { place, commit, load } = row;
    const where = [engine.name, count(place.history), count(place.experiments)];
    console.log(`| ${[...where, ...cells(commit), ...cells(load)].join(" | ")} |`);
    for (const [what, times] of Object.entries({ commit, load }))
      if (share(times) < engine.floor)
        below.push(`${where.join(", ")}: ${what} ${percent(share(times))}, wanted ${percent(engine.floor)}`);
    rows.push(row);
  }
  const [commits, loads] = [
    rows.flatMap(({ commit }) => bareShare(commit)),
    rows.flatMap(({ load }) => bareShare(load)),
  ];
  if (commits.length > 0)
    bare.push(
      `${engine.name}, of tables without checks and triggers: commit ${commits.join(", ")}; load ${loads.join(", ")}`,
    );
}
console.log("");
for (const line of bare) console.log(line);
console.log(
  below.length === 0
    ? "every row has the share of raw that is wanted"
    : `below what is wanted:\n  ${below.join("\n  ")}`,
);
const seconds = ((performance.now() - began) / 1_000).toFixed(0);
console.log(
  `${count(operations)} operations a side and row, ${seconds} s, load of the machine ${loadavg()[0]?.toFixed(1)}`,
);
