/** The number of shards raised on a live experiment, through the real server: nobody is lost or counted twice. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import * as v from "valibot";
import { expect, test } from "vitest";
import { start } from "./command-line.ts";
import { ask, type Server, startServer, temporaryDirectory } from "./server.ts";

const Results = v.looseObject({
  shards: v.number(),
  received: v.number(),
  exposures: v.number(),
  repeats: v.number(),
  crossovers: v.number(),
  subjects: v.record(v.string(), v.number()),
  sampleRatio: v.looseObject({}),
  outcomes: v.record(v.string(), v.looseObject({ arms: v.unknown() })),
});

/** What a replay that is run again leaves as it is: its outcomes are the same events, its exposures are repeats. */
const measured = ({ crossovers, subjects, outcomes, sampleRatio }: v.InferOutput<typeof Results>) => ({
  crossovers,
  subjects,
  sampleRatio: { chiSquare: sampleRatio["chiSquare"] },
  arms: Object.entries(outcomes).map(([name, { arms }]) => [name, arms]),
});

test("1, 4 and 16 shards, everything sent again each time: the same results, and the same subjects moved", async () => {
  const directory = await temporaryDirectory();
  const file = join(directory.path, "rows.csv");
  const rows = Array.from(
    { length: 6_000 },
    (_, n) => `user-${n % 5_500},${n % 2 === 0 ? "control" : "treatment"},${n % 7 === 0},${n % 13}.5`,
  );
  await writeFile(file, `id,arm,bought,spent\n${rows.join("\n")}\n`);
  const dsl = await readFile("proviso.yaml", "utf8");
  expect(dsl).toContain("dataPlane:");
  const found: v.InferOutput<typeof Results>[] = [];
  let server: Server | undefined;
  try {
    for (const shards of [1, 4, 16]) {
      const config = join(directory.path, `shards-${shards}.yaml`);
      await writeFile(config, dsl.replace("dataPlane:", `dataPlane:\n  ledger: { shards: ${shards} }`));
      server = await startServer(directory.path, config);
      const { url } = server;
      const { code, err } = await start([
        process.execPath,
        "dist/cli/main.js",
        "replay",
        file,
        "--experiment",
        "sharded",
        "--subject",
        "id",
        "--variant",
        "arm",
        "--outcome",
        "bought:binary",
        "--outcome",
        "spent:continuous",
        "--url",
        url,
        "--json",
      ]).finished;
      expect([code, err.includes("Error")]).toEqual([0, false]);
      const read = async () => v.parse(Results, (await ask(url, "author", "GET", "sharded/results")).body);
      // Moving goes on by the alarm; there is nothing to wait for but its end.
      let results = await read();
      for (let asked = 0; results.shards !== shards && asked < 600; asked += 1) {
        await sleep(50);
        results = await read();
      }
      found.push(results);
      await server.stop();
    }
  } finally {
    await server?.stop();
    await directory.remove();
  }
  expect(found.map(({ shards }) => shards)).toEqual([1, 4, 16]);
  expect(found.map(({ received }) => received)).toEqual([18_000, 36_000, 54_000]);
  const [first, ...others] = found.map(measured);
  expect(found.map(({ exposures, repeats }) => [exposures, repeats])).toEqual([
    [6_000, 500],
    [12_000, 6_500],
    [18_000, 12_500],
  ]);
  expect(first).toMatchObject({ crossovers: 0, subjects: { control: 2_750, treatment: 2_750 } });
  for (const other of others) expect(other).toEqual(first);
}, 240_000);
