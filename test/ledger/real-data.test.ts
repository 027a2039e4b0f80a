/** Two real experiments through the fold; the expected numbers were computed independently (see the data's README). */
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { gunzipSync } from "node:zlib";
import { parse } from "csv-parse/sync";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import type { ExposureRow, OutcomeRow } from "../../src/ledger/batch.ts";
import { addDecimals, type Decimal, decimalText, parseDecimal } from "../../src/ledger/decimal.ts";
import { shardHash, shardOf } from "../../src/ledger/shard.ts";
import { chiSquareSampleRatio } from "../../src/science/chi-square-srm.ts";
import { logBayesFactor, looksAtEverySubject } from "../../src/science/sequential-srm.ts";
import { memoryLedger } from "./memory-ledger.ts";
import type { Rows, SetCounts } from "./reference.ts";

const directory = resolve(import.meta.dirname, "../../../shared/data");
const has = existsSync(directory);
if (!has) process.stderr.write(`skipped: no real data at ${directory}\n`);

const read = (name: string): readonly Readonly<Record<string, string>>[] =>
  v.parse(
    v.array(v.record(v.string(), v.string())),
    parse(gunzipSync(readFileSync(resolve(directory, name))), { columns: true }),
  );

const id = (kind: number, n: number): string => `0000000${kind}-0000-7000-8000-${String(n).padStart(12, "0")}`;

describe.skipIf(!has)("real data", () => {
  test("landing-page: arms by the first page in file order, and by time; crossovers; two conversions of one user", () => {
    const rows = read("landing-page.csv.gz");
    const exposures = (time: (row: (typeof rows)[number], index: number) => number): readonly ExposureRow[] =>
      rows.map((row, index) => [id(0, index), row["user_id"] ?? "", row["landing_page"] ?? "", 0, time(row, index)]);
    const outcomes = rows.map((row, index): OutcomeRow => [
      id(1, index),
      row["user_id"] ?? "",
      "converted",
      "count",
      index,
      Number(row["converted"]),
    ]);
    const inFileOrder = memoryLedger(0);
    inFileOrder.record({ exposures: exposures((_row, index) => index), outcomes });
    const { arms, crossovers, repeats, metrics } = inFileOrder.counts();
    expect(arms.map(({ variant, subjects }) => [variant, subjects])).toEqual([
      ["new_page", 28_840],
      ["old_page", 28_840],
    ]);
    expect({ crossovers, repeats }).toEqual({ crossovers: 76, repeats: 148 });
    // Σx² - Σx is 2 for the one user with two conversions.
    const excess = metrics[0]?.arms.reduce((sum, arm) => sum + Number(arm.sumOfSquares) - Number(arm.sum), 0);
    expect(excess).toBe(2);

    const byTime = memoryLedger(0);
    byTime.record({
      exposures: exposures((row) => Date.parse(`${(row["timestamp"] ?? "").replace(" ", "T")}Z`)),
      outcomes: [],
    });
    expect(byTime.counts().arms.map(({ subjects }) => subjects)).toEqual([28_832, 28_848]);
    expect(byTime.counts().crossovers).toBe(76);
  });

  test("cookie-cats: exact totals, whatever the order; the sequential test in file order", () => {
    const rows = read("cookie-cats.csv.gz");
    const exposures = rows.map((row, index): ExposureRow => [
      id(0, index),
      row["userid"] ?? "",
      row["version"] ?? "",
      0,
      index,
    ]);
    const isTrue = (text: string | undefined): number => Number(text?.toLowerCase() === "true");
    const outcomes = rows.flatMap((row, index): readonly OutcomeRow[] => {
      const user = row["userid"] ?? "";
      return [
        [id(1, index), user, "retention_1", "binary", index, isTrue(row["retention_1"])],
        [id(2, index), user, "retention_7", "binary", index, isTrue(row["retention_7"])],
        [id(3, index), user, "sum_game_rounds", "count", index, Number(row["sum_game_rounds"])],
      ];
    });
    const ledger = memoryLedger(0);
    ledger.record({ exposures: [], outcomes: outcomes.toReversed() });
    ledger.record({ exposures: exposures.toReversed(), outcomes: [] });
    const { arms, metrics } = ledger.counts();
    expect(arms.map(({ subjects }) => subjects)).toEqual([44_700, 45_489]);
    expect(metrics.map(({ metric, arms: totals }) => [metric, ...totals.map(({ sum }) => sum)])).toEqual([
      ["retention_1", "20034", "20119"],
      ["retention_7", "8502", "8279"],
      ["sum_game_rounds", "2344795", "2333530"],
    ]);
    const fold = looksAtEverySubject([
      { variant: "gate_30", share: 1 },
      { variant: "gate_40", share: 1 },
    ]);
    for (const [, , variant] of exposures) fold.observe(variant);
    expect(fold.result().pValue).toBeCloseTo(0.774019, 6);
  }, 60_000);

  /** Rows of all shards added up, as the first shard adds them. */
  const merged = (parts: readonly SetCounts[]) => {
    const sum = (texts: readonly string[]): string =>
      decimalText(texts.map(parseDecimal).reduce<Decimal>(addDecimals, 0));
    const arms = Map.groupBy(
      parts.flatMap((part) => part.arms),
      ({ variant }) => variant,
    );
    const totals = Map.groupBy(
      parts.flatMap((part) => part.metrics.flatMap(({ metric, arms: own }) => own.map((arm) => ({ metric, ...arm })))),
      ({ metric, variant }) => `${metric} ${variant}`,
    );
    return {
      subjects: Object.fromEntries(
        [...arms].map(([variant, own]) => [variant, own.reduce((all, { subjects }) => all + subjects, 0)]),
      ),
      exposures: parts.reduce((all, { exposures }) => all + exposures, 0),
      crossovers: parts.reduce((all, { crossovers }) => all + crossovers, 0),
      totals: Object.fromEntries(
        [...totals].map(([key, own]) => [
          key,
          [sum(own.map((arm) => arm.sum)), sum(own.map((arm) => arm.sumOfSquares))],
        ]),
      ),
    };
  };

  /** The same order for every run: a linear congruence, so a failure can be looked at again. */
  const shuffled = <Row>(rows: readonly Row[]): readonly Row[] => {
    let state = 1;
    return rows
      .map((row) => {
        state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
        return { row, at: state };
      })
      .toSorted((a, b) => a.at - b.at)
      .map(({ row }) => row);
  };

  test.each([
    ["cookie-cats.csv.gz", "userid", "version", "retention_7", ["gate_30", "gate_40"]],
    ["landing-page.csv.gz", "user_id", "landing_page", "converted", ["new_page", "old_page"]],
  ] as const)(
    "%s through 1, 4 and 16 shards, everything twice and in random order: the same, bit for bit",
    (file, subject, variant, metric, arms) => {
      const rows = read(file);
      const events = rows.map((row, index): Rows => ({
        exposures: [[id(0, index), row[subject] ?? "", row[variant] ?? "", 0, index]],
        outcomes: [
          [id(1, index), row[subject] ?? "", metric, "binary", index, Number(/^(true|1)$/i.test(row[metric] ?? ""))],
        ],
      }));
      const deliveries = shuffled([...events, ...events]);
      const found = [1, 4, 16].map((shards) => {
        const ledgers = Array.from({ length: shards }, () => memoryLedger(0));
        for (let start = 0; start < deliveries.length; start += 10_000) {
          const batch = deliveries.slice(start, start + 10_000);
          const parts = Map.groupBy(batch, ({ exposures: [row] }) => shardOf(shardHash(row?.[1] ?? ""), shards));
          for (const [shard, own] of parts)
            ledgers[shard]?.record({
              exposures: own.flatMap(({ exposures }) => exposures),
              outcomes: own.flatMap(({ outcomes }) => outcomes),
            });
        }
        const counts = merged(ledgers.map((ledger) => ledger.counts()));
        const sizes = arms.map((arm) => counts.subjects[arm] ?? 0);
        return {
          ...counts,
          chiSquare: chiSquareSampleRatio(sizes, [0.5, 0.5]),
          logBayesFactor: logBayesFactor(sizes, [0.5, 0.5]),
        };
      });
      const once = memoryLedger(0);
      for (const { exposures, outcomes } of [
        {
          exposures: events.flatMap((event) => event.exposures),
          outcomes: events.flatMap((event) => event.outcomes),
        },
      ])
        once.record({ exposures, outcomes });
      const plain = merged([once.counts()]);
      for (const one of found) {
        expect(one).toEqual(found[0]);
        expect(one).toMatchObject(plain);
      }
      expect(Object.values(plain.subjects).reduce((sum, count) => sum + count, 0)).toBe(
        new Set(rows.map((row) => row[subject])).size,
      );
    },
    120_000,
  );
});
