/** Two real experiments through the fold; the expected numbers were computed independently (see the data's README). */
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { gunzipSync } from "node:zlib";
import { parse } from "csv-parse/sync";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import type { ExposureRow, OutcomeRow } from "../../src/ledger/batch.ts";
import { looksAtEverySubject } from "../../src/science/sequential-srm.ts";
import { memoryLedger } from "./memory-ledger.ts";

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
});
