/** A ledger in maps: what a store does with the answers of the fold. */
import { accumulate, type ArmChange } from "../../src/ledger/accumulate.ts";
import { addShards, countsFrom, type CountRows, type TotalRow } from "../../src/ledger/count-rows.ts";
import { addDecimals, type Decimal, decimalText } from "../../src/ledger/decimal.ts";
import { type MetricSpecs, noSpecs, specLookUp } from "../../src/ledger/metric-spec.ts";
import { everybody } from "../../src/ledger/slices.ts";
import type { OutcomeRow } from "../../src/ledger/batch.ts";
import { decodeTotals, decodeVariants, encodeTotals, encodeVariants } from "../../src/ledger/stored-subject.ts";
import { metricKey, type SubjectState } from "../../src/ledger/subject.ts";
import type { Rows, SetCounts } from "./reference.ts";

interface Totals {
  readonly observed: number;
  readonly sum: Decimal;
  readonly sumOfSquares: Decimal;
}

const nothing: Totals = { observed: 0, sum: 0, sumOfSquares: 0 };

/** States go through their stored form, as they do in SQL. `settledBefore` is the watermark, in minutes since 1970. */
export const memoryLedger = (settledBefore: number, specs: MetricSpecs = noSpecs) => {
  const outcomesOf = new Map<string, OutcomeRow[]>();
  const subjects = new Map<string, SubjectState>();
  const exposureIds = new Set<string>();
  const outcomeIds = new Set<string>();
  const arms = new Map<string, { epoch: number; variant: string; subjects: number; settled: number; recent: number }>();
  /** By metric key, then by arm. */
  const totals = new Map<string, Map<string, Totals>>();
  const unexposed = new Map<string, number>();
  let crossovers = 0;
  const addArm = ({ epoch, variant, subjects: change, settled, recent, slices }: ArmChange): void => {
    const key = JSON.stringify([epoch, variant]);
    const before = arms.get(key) ?? { epoch, variant, subjects: 0, settled: 0, recent: 0 };
    arms.set(key, {
      ...before,
      subjects: before.subjects + change,
      settled: before.settled + settled,
      recent: before.recent + [...recent.values()].reduce((sum, one) => sum + one, 0),
    });
    for (const [metric, more] of slices.get(everybody)?.totals ?? []) {
      const byArm = totals.get(metric) ?? new Map<string, Totals>();
      const old = byArm.get(key) ?? nothing;
      byArm.set(key, {
        observed: old.observed + more.observed,
        sum: addDecimals(old.sum, more.sum),
        sumOfSquares: addDecimals(old.sumOfSquares, more.sumOfSquares),
      });
      totals.set(metric, byArm);
    }
  };
  return {
    subjects,
    arms,
    record(batch: Rows): void {
      for (const [id] of batch.exposures) exposureIds.add(id);
      const folded = accumulate(
        {
          subjects,
          isCounted: ([id, subject]) => outcomeIds.has(`${id} ${subject}`),
          outcomesOf: (names) => new Map(names.map((name) => [name, outcomesOf.get(name) ?? []])),
          settledBefore,
          specOf: specLookUp(specs),
          products: specs.products,
          slicing: { daysBefore: 0 },
        },
        batch,
      );
      for (const [subject, state] of folded.subjects) {
        subjects.set(subject, {
          first: state.first,
          variants: decodeVariants(encodeVariants(state.variants)),
          totals: decodeTotals(
            encodeTotals(state.totals, (key) => key),
            (key) => key,
          ),
        });
      }
      for (const outcome of folded.outcomes) {
        outcomeIds.add(`${outcome[0]} ${outcome[1]}`);
        const key = metricKey(outcome[2], outcome[3]);
        unexposed.set(key, unexposed.get(key) ?? 0);
        const own = outcomesOf.get(outcome[1]);
        if (own === undefined) outcomesOf.set(outcome[1], [outcome]);
        else own.push(outcome);
      }
      for (const [metric, change] of folded.unexposed) unexposed.set(metric, (unexposed.get(metric) ?? 0) + change);
      for (const arm of folded.arms) addArm(arm);
      crossovers += folded.crossovers;
    },
    /** What a shard answers: adds up with the rows of others. */
    rows(): CountRows {
      const counted = [...arms.values()].filter((arm) => arm.subjects !== 0);
      return {
        arms: counted.map(({ variant, epoch, subjects: count }) => ({ variant, epoch, subjects: count })),
        slices: counted.map(({ variant, epoch, subjects: count }) => [everybody, epoch, variant, count]),
        totals: [...totals].flatMap(([metric, byArm]) =>
          counted.flatMap(({ variant, epoch }): readonly TotalRow[] => {
            const total = byArm.get(JSON.stringify([epoch, variant]));
            if (total === undefined || total.observed === 0) return [];
            const { observed, sum, sumOfSquares } = total;
            return [[everybody, metric, epoch, variant, observed, decimalText(sum), decimalText(sumOfSquares)]];
          }),
        ),
        metrics: [...unexposed],
        exposures: exposureIds.size,
        crossovers,
        outcomes: outcomeIds.size,
        dropped: 0,
        received: 0,
        recounted: [subjects.size, subjects.size],
        parcels: { shard: 0, sent: [], received: [] },
      };
    },
    counts(): SetCounts {
      return mergedCounts([this.rows()]);
    },
  };
};

/** Rows of all shards as the first shard puts them together. */
export const mergedCounts = (shards: readonly CountRows[]): SetCounts => {
  const { arms, exposures, repeats, crossovers, outcomes, metrics } = countsFrom(addShards(shards));
  return { arms, exposures, repeats, crossovers, outcomes, metrics };
};
