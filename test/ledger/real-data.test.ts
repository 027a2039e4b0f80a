/** Two real experiments through the fold; the expected numbers were computed independently (see the data's README). */
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { gunzipSync } from "node:zlib";
import { parse } from "csv-parse/sync";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import type { ExposureRow, OutcomeRow } from "../../src/ledger/batch.ts";
import type { ArmCount } from "../../src/ledger/counts.ts";
import { looksAtCheckpoints } from "../../src/ledger/checkpoint-looks.ts";
import { subjectsIn } from "../../src/ledger/ground.ts";
import { shardHash, shardOf } from "../../src/ledger/shard.ts";
import { chiSquareSampleRatio } from "../../src/science/chi-square-srm.ts";
import { logBayesFactor, looksAtEverySubject } from "../../src/science/sequential-srm.ts";
import { memoryLedger, mergedCounts } from "./memory-ledger.ts";
import type { Rows } from "./reference.ts";

const directory = resolve(import.meta.dirname, "../../../shared/data");
const has = existsSync(directory);
if (!has) process.stderr.write(`skipped: no real data at ${directory}\n`);

const read = (name: string): readonly Readonly<Record<string, string>>[] =>
  v.parse(
    v.array(v.record(v.string(), v.string())),
    parse(gunzipSync(readFileSync(resolve(directory, name))), { columns: true }),
  );

const id = (kind: number, n: number): string => `0000000${kind}-0000-7000-8000-${String(n).padStart(12, "0")}`;

const isTrue = (text: string | undefined): number => Number(text?.toLowerCase() === "true");

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

  /** The same order for every run: a linear congruence, so a failure can be looked at again. */
  const shuffled = <Row>(rows: readonly Row[], seed: number): readonly Row[] => {
    let state = seed;
    return rows
      .map((row) => {
        state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
        return { row, at: state };
      })
      .toSorted((a, b) => a.at - b.at)
      .map(({ row }) => row);
  };

  const checkpoints = 8;

  /** The file in parts, after each of which a checkpoint is taken, through so many shards and the product's own merge. */
  const through = (
    parts: readonly (readonly Rows[])[],
    shards: number,
    [control, treatment]: readonly [string, string],
    deliver: (part: readonly Rows[], place: number) => readonly Rows[],
  ) => {
    const ledgers = Array.from({ length: shards }, () => memoryLedger(0));
    const looks = looksAtCheckpoints({
      epoch: 0,
      arms: [control, treatment].map((variant) => ({ variant, share: 0.5 })),
    });
    let looked: readonly ArmCount[] = [];
    for (const [place, part] of parts.entries()) {
      const byShard = Map.groupBy(deliver(part, place), ({ exposures: [row] }) =>
        shardOf(shardHash(row?.[1] ?? ""), shards),
      );
      for (const [shard, own] of byShard)
        ledgers[shard]?.record({
          exposures: own.flatMap(({ exposures }) => exposures),
          outcomes: own.flatMap(({ outcomes }) => outcomes),
        });
      const before = looked;
      looked = mergedCounts(ledgers.map((ledger) => ledger.rows())).arms;
      const changed = looked.filter((arm) => subjectsIn(before, arm.variant) !== arm.subjects);
      if (changed.length > 0) looks.observe(changed);
    }
    const counts = mergedCounts(ledgers.map((ledger) => ledger.rows()));
    const sizes = [control, treatment].map((arm) => subjectsIn(counts.arms, arm));
    return {
      counts,
      looks: looks.result(),
      chiSquare: chiSquareSampleRatio(sizes, [0.5, 0.5]),
      logBayesFactor: logBayesFactor(sizes, [0.5, 0.5]),
    };
  };

  test.each([
    [
      "cookie-cats.csv.gz",
      ["userid", "version"],
      [
        ["retention_7", "binary"],
        ["sum_game_rounds", "count"],
      ],
      ["gate_30", "gate_40"],
    ],
    ["landing-page.csv.gz", ["user_id", "landing_page"], [["converted", "binary"]], ["new_page", "old_page"]],
  ] as const)(
    "%s through 1, 4 and 16 shards, everything twice and in random order: the same, bit for bit",
    (file, [subject, variant], metrics, arms) => {
      const rows = read(file);
      const valueOf = (text: string): number => (/^(true|false)$/i.test(text) ? isTrue(text) : Number(text));
      const events = rows.map((row, index): Rows => {
        const user = row[subject] ?? "";
        return {
          exposures: [[id(0, index), user, row[variant] ?? "", 0, index]],
          outcomes: metrics.map(([metric, kind], place) => [
            id(place + 1, index),
            user,
            metric,
            kind,
            index,
            valueOf(row[metric] ?? ""),
          ]),
        };
      });
      const size = Math.ceil(events.length / checkpoints);
      const parts = Array.from({ length: checkpoints }, (_, part) => events.slice(part * size, (part + 1) * size));
      const plain = through(parts, 1, arms, (part) => part);
      expect(plain.looks.looks).toBe(checkpoints);
      for (const shards of [1, 4, 16]) {
        // Each part comes with the one before it again: everything comes twice, and the last once more at its end.
        const found = through([...parts, []], shards, arms, (part, place) =>
          shuffled([...part, ...(parts[place - 1] ?? [])], shards + place),
        );
        expect(found).toEqual(plain);
      }
      expect(plain.counts.arms.reduce((sum, arm) => sum + arm.subjects, 0)).toBe(
        new Set(rows.map((row) => row[subject])).size,
      );
    },
    120_000,
  );
});
