/**
 * Sends events to the shards that count them. What this isolate knows of their number may be old: a shard hands back what
 * is not its own, with the number that it knows, and it goes on from there.
 */
import type { ExposureRow, LedgerBatch, OutcomeRow } from "../src/ledger/batch.ts";
import { shardHash, shardName, shardOf } from "../src/ledger/shard.ts";
import { type ExperimentRef, refKey } from "../src/scope.ts";
import type { RecordReport, Routing } from "./ledger.ts";
import type { ShardPlace } from "./ledger-schema.ts";

/** What the router asks of a shard. */
export interface ShardWriter {
  record(batch: LedgerBatch, place?: ShardPlace): Promise<RecordReport>;
  routing(ref: ExperimentRef, want: number): Promise<Routing>;
}

export interface RouterOptions {
  /** The object of this name. */
  readonly ledger: (name: string) => ShardWriter;
  /** How many shards every experiment is to have at least; a power of two. */
  readonly shards: number;
}

const rememberedMax = 10_000;
/** Every time events come back, there are twice as many shards at least. */
const roundsMax = 20;

type Rows = Pick<LedgerBatch, "exposures" | "outcomes">;

const byShard = ({ exposures, outcomes }: Rows, shards: number): ReadonlyMap<number, Rows> => {
  const groups = new Map<number, { readonly exposures: ExposureRow[]; readonly outcomes: OutcomeRow[] }>();
  const groupOf = (subject: string) => {
    const shard = shards === 1 ? 0 : shardOf(shardHash(subject), shards);
    const group = groups.get(shard) ?? { exposures: [], outcomes: [] };
    groups.set(shard, group);
    return group;
  };
  for (const row of exposures) groupOf(row[1]).exposures.push(row);
  for (const row of outcomes) groupOf(row[1]).outcomes.push(row);
  return groups;
};

/**
 * @example
 * const ledgers = createRouter({ ledger: (name) => env.LEDGERS.getByName(name), shards: 4 });
 * await ledgers(ref).record(batch);
 */
export const createRouter = ({ ledger, shards: want }: RouterOptions) => {
  const routes = new Map<string, Routing>();

  const routeOf = async (ref: ExperimentRef, key: string): Promise<Routing> => {
    const known = routes.get(key);
    if (known !== undefined && known.target >= want) return known;
    const { shards, target } = await ledger(key).routing(ref, want);
    const route = { shards, target };
    routes.delete(key);
    routes.set(key, route);
    const [oldest] = routes.keys();
    if (routes.size > rememberedMax && oldest !== undefined) routes.delete(oldest);
    return route;
  };

  return (ref: ExperimentRef): { record(batch: LedgerBatch): Promise<RecordReport> } => ({
    async record(batch) {
      const key = refKey(ref);
      const { shards } = await routeOf(ref, key);
      const { assignments, unnamed, exposures, outcomes, ...rest } = batch;
      /** What is no subject's is the first shard's, and goes there once. */
      const nobodys = { assignments, ...(unnamed === undefined ? {} : { unnamed }) };
      const hasNobodys = assignments.length > 0 || unnamed !== undefined;
      const reports: RecordReport[] = [];
      const send = async (shard: number, of: number, rows: Rows, first: boolean) =>
        ledger(shardName(key, shard)).record(
          { ...rest, ...rows, ...(first && shard === 0 ? nobodys : { assignments: [] }) },
          { shard, shards: of },
        );

      let waiting: readonly { readonly of: number; readonly rows: Rows }[] = [
        { of: shards, rows: { exposures, outcomes } },
      ];
      for (let round = 0; waiting.length > 0; round += 1) {
        if (round === roundsMax) throw new Error("ledger: its shards send events round and round");
        const sends = waiting.flatMap(({ of, rows }) => {
          const groups = new Map(byShard(rows, of));
          if (round === 0 && hasNobodys && !groups.has(0)) groups.set(0, { exposures: [], outcomes: [] });
          return Array.from(groups, ([shard, group]) => send(shard, of, group, round === 0));
        });
        const answers = await Promise.all(sends);
        reports.push(...answers);
        waiting = answers.flatMap(({ elsewhere }) =>
          elsewhere === undefined ? [] : [{ of: elsewhere.target, rows: elsewhere }],
        );
        // Asked again with the next batch: by then the first shard may know that all have moved.
        if (waiting.length > 0) routes.delete(key);
      }
      return {
        crossovers: reports.reduce((sum, { crossovers }) => sum + crossovers, 0),
        refused: reports.flatMap(({ refused }) => refused),
      };
    },
  });
};
