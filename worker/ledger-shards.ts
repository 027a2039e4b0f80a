/**
 * What the first shard of a ledger does for all of them: merges their counts, takes the checkpoints that the sequential
 * test looks at, and raises the number of shards. Moving subjects and reading counts take turns, so that a reading never
 * falls between a parcel's leaving one shard and its arriving at another.
 */
import { looksAtCheckpoints } from "../src/ledger/checkpoint-looks.ts";
import {
  addShards,
  collapseTime,
  countsFrom,
  type CountRows,
  isWhole,
  type Parcels,
} from "../src/ledger/count-rows.ts";
import {
  type ArmCount,
  type CheckpointLooks,
  emptyCounts,
  type LedgerCounts,
  type SubjectLooks,
} from "../src/ledger/counts.ts";
import type { CrossoverPage } from "../src/ledger/crossover.ts";
import { mergeWatchCounts, type Watch, type WatchCounts } from "../src/ledger/watch.ts";
import type { EpochPlan } from "../src/ledger/ground.ts";
import { limits } from "../src/limits.ts";
import { looksAtEverySubject } from "../src/science/sequential-srm.ts";
import type { CountsOptions, PageOptions } from "../src/http/dependencies.ts";
import type { ExperimentRef } from "../src/scope.ts";
import { type FirstRow, type Ledger, type PageAsked, type RowsAsked, watermarkMs } from "./ledger.ts";

/** What the first shard asks of another; of itself it asks its own ledger. */
export interface OtherShard {
  rows(asked: RowsAsked): Promise<CountRows | null>;
  settled(minute: number): Promise<{ readonly arms: readonly ArmCount[]; readonly parcels: Parcels } | null>;
  watchedHere(watch: Watch): Promise<{ readonly counts: WatchCounts; readonly parcels: Parcels } | null>;
  crossovers(page: PageAsked): Promise<CrossoverPage>;
  firstExposures(after: FirstRow | null, limit: number): Promise<readonly FirstRow[]>;
  /** Sends some parcels. True when everything that had to go has gone. */
  handOver(ref: ExperimentRef, shards: number, target: number): Promise<boolean>;
}

export interface Coordinator {
  counts(options?: CountsOptions): Promise<LedgerCounts>;
  watched(watch: Watch): Promise<WatchCounts>;
  crossovers(page: PageOptions): Promise<CrossoverPage>;
  /** Takes the checkpoint of this minute, if anything has changed. */
  look(): Promise<void>;
  /** Moves some subjects, where the number of shards is being raised. True while there are more. */
  advance(): Promise<boolean>;
}

export interface CoordinatorOptions {
  readonly ledger: Ledger;
  readonly ref: () => ExperimentRef | null;
  /** Shards other than the first. */
  readonly other: (shard: number) => OtherShard;
  /** What the first shard does where another one is asked to hand over. */
  readonly handOver: (ref: ExperimentRef, shards: number, target: number) => Promise<boolean>;
  readonly now: () => number;
}

const minuteMs = 60_000;
/** Readings while a parcel is on its way for longer than its turn: its shard has died, and will send it again. */
const readingAttempts = 20;
const firstRowsAtOnce = 20_000;

/** Pages of crossovers go through the shards one by one: the number of the shard stands above the number in it. */
const pageBase = 2 ** 40;

/** At most this many looks are shown; more say nothing more in a plot. */
const shownLooks = 500;

const thinned = <Item>(items: readonly Item[], max: number): readonly Item[] =>
  items.length <= max
    ? items
    : Array.from({ length: max }, (_, place) => items[Math.round((place * (items.length - 1)) / (max - 1))]).filter(
        (item) => item !== undefined,
      );

/** The looks at all checkpoints of these epochs. */
export const lookAtCheckpoints = (
  ledger: Ledger,
  plans: readonly EpochPlan[],
  withSeries: boolean,
): readonly CheckpointLooks[] => {
  const folds = plans.map(looksAtCheckpoints);
  const series = folds.map((): [number, number][] => []);
  const looks = folds.map(() => 0);
  ledger.foldCheckpoints(
    folds,
    withSeries
      ? (minute) =>
          folds.forEach((fold, place) => {
            const { looks: now, pValue } = fold.result();
            if (now === looks[place]) return;
            looks[place] = now;
            series[place]?.push([minute, pValue]);
          })
      : undefined,
  );
  return folds.map((fold, place) => ({
    ...fold.result(),
    ...(withSeries ? { series: thinned(series[place] ?? [], shownLooks) } : {}),
  }));
};

/** Rows of all shards as what is judged, but for the looks. */
export const mergedCounts = (
  ledger: Ledger,
  rows: readonly CountRows[],
  shards: number,
  options: CountsOptions,
  asOf: number,
): LedgerCounts => {
  const windows = options.parts === true ? ledger.windows() : undefined;
  const collapsed = windows === undefined ? rows : rows.map((one) => collapseTime(one, asOf, windows));
  return {
    ...countsFrom(addShards(collapsed), windows),
    shards,
    checkpointLooks: lookAtCheckpoints(ledger, options.plans ?? [], options.parts === true),
  };
};

/** The one epoch that was counted, if it is one, is planned, and is not too large to read every subject. */
const lonePlan = ({ arms }: LedgerCounts, plans: readonly EpochPlan[]): EpochPlan | undefined => {
  const subjects = arms.reduce((sum, arm) => sum + arm.subjects, 0);
  const epochs = new Set(arms.map((arm) => arm.epoch));
  return epochs.size === 1 && subjects <= limits.subjectLooks
    ? plans.find(({ epoch }) => epochs.has(epoch))
    : undefined;
};

const isBefore = (a: FirstRow, b: FirstRow): boolean =>
  a[0] !== b[0] ? a[0] < b[0] : a[1] !== b[1] ? a[1] < b[1] : a[2] < b[2];

export const createCoordinator = ({ ledger, ref, other, handOver, now }: CoordinatorOptions): Coordinator => {
  let turn: Promise<unknown> = Promise.resolve();
  /** One after the other, whatever becomes of the one before. */
  const inTurn = <Result>(work: () => Promise<Result>): Promise<Result> => {
    const mine = turn.then(work, work);
    turn = mine.catch(() => undefined);
    return mine;
  };
  /** The minute of the last look, whether it found anything or not. */
  let lookedAt = 0;

  /** Every shard that may have a subject: while their number rises, also those that are to be. */
  const shardCount = (): number => ledger.currentRouting()?.target ?? 1;

  const fromAll = async <Answer>(
    own: () => Answer | null,
    ask: (shard: OtherShard) => Promise<Answer | null>,
  ): Promise<readonly Answer[]> => {
    const others = Array.from({ length: shardCount() - 1 }, (_, place) => ask(other(place + 1)));
    const answers = await Promise.all(others);
    // Its own last: it cannot have changed between this and the answer.
    return [own(), ...answers].filter((answer) => answer !== null);
  };

  const whole = async <Answer>(
    read: () => Promise<readonly Answer[]>,
    check: (answers: readonly Answer[]) => boolean,
  ): Promise<readonly Answer[]> => {
    for (let attempt = 0; attempt < readingAttempts; attempt += 1) {
      const answers = await inTurn(read);
      if (check(answers)) return answers;
      await moveOn();
    }
    throw new Error("ledger: subjects are on their way between shards; ask again");
  };

  const moveOn = (): Promise<boolean> =>
    inTurn(async () => {
      const routing = ledger.currentRouting();
      const name = ref();
      if (routing === null || name === null || routing.shards === routing.target) return false;
      const { shards, target } = routing;
      const done = await Promise.all(
        Array.from({ length: shards }, (_, shard) =>
          shard === 0 ? handOver(name, shards, target) : other(shard).handOver(name, shards, target),
        ),
      );
      if (!done.every((one) => one)) return true;
      ledger.routed(target);
      return (ledger.currentRouting()?.target ?? target) > target;
    });

  const look = async (): Promise<void> => {
    const minute = Math.floor((now() - watermarkMs) / minuteMs);
    if (minute <= lookedAt) return;
    const answers = await whole(
      () =>
        fromAll(
          () => ledger.settled(minute),
          (shard) => shard.settled(minute),
        ),
      (shards) => isWhole(shards),
    );
    const sums = new Map<string, ArmCount>();
    for (const { arms } of answers) {
      for (const arm of arms) {
        const key = `${arm.epoch}:${arm.variant}`;
        sums.set(key, { ...arm, subjects: arm.subjects + (sums.get(key)?.subjects ?? 0) });
      }
    }
    if (minute <= lookedAt) return;
    lookedAt = minute;
    ledger.takeCheckpoint(minute, [...sums.values()]);
  };

  /** All first exposures of all shards in order, a page of each at a time. */
  const lookAtSubjects = async ({ arms }: EpochPlan): Promise<SubjectLooks> => {
    const fold = looksAtEverySubject(arms);
    const sources = Array.from({ length: shardCount() }, (_, shard) => {
      let page: readonly FirstRow[] = [];
      let place = 0;
      let after: FirstRow | null = null;
      let ended = false;
      return {
        head: async (): Promise<FirstRow | undefined> => {
          if (place >= page.length && !ended) {
            page =
              shard === 0
                ? ledger.firstExposures(after, firstRowsAtOnce)
                : await other(shard).firstExposures(after, firstRowsAtOnce);
            place = 0;
            after = page.at(-1) ?? after;
            ended = page.length < firstRowsAtOnce;
          }
          return page[place];
        },
        next: (): void => {
          place += 1;
        },
        /** Without waiting: undefined where a page has to be read first. */
        ready: (): FirstRow | undefined => page[place],
        isEnded: (): boolean => ended && place >= page.length,
      };
    });
    for (const source of sources) await source.head();
    for (;;) {
      let least: (typeof sources)[number] | undefined;
      let first: FirstRow | undefined;
      for (const source of sources) {
        const row = source.ready();
        if (row === undefined) continue;
        if (first === undefined || isBefore(row, first)) {
          least = source;
          first = row;
        }
      }
      if (least === undefined || first === undefined) return fold.result();
      fold.observe(first[3]);
      least.next();
      if (least.ready() === undefined && !least.isEnded()) await least.head();
    }
  };

  return {
    async counts(options = {}) {
      await look();
      const asked: RowsAsked = { parts: options.parts === true };
      const rows = await whole(
        () =>
          fromAll(
            () => ledger.rows(asked),
            (shard) => shard.rows(asked),
          ),
        isWhole,
      );
      if (rows.length === 0) return emptyCounts;
      const counts = mergedCounts(ledger, rows, ledger.currentRouting()?.shards ?? 1, options, now());
      const lone = options.looks === "subject" ? lonePlan(counts, options.plans ?? []) : undefined;
      return lone === undefined ? counts : { ...counts, subjectLooks: await lookAtSubjects(lone) };
    },
    async watched(watch) {
      const parts = await whole(
        () =>
          fromAll(
            () => ({ counts: ledger.watched(watch), parcels: ledger.parcels() }),
            (shard) => shard.watchedHere(watch),
          ),
        isWhole,
      );
      return mergeWatchCounts(parts.map(({ counts }) => counts));
    },
    async crossovers({ after, limit }) {
      const shards = shardCount();
      const from = Math.floor(after / pageBase);
      const shard = Math.min(from, shards - 1);
      const asked = { after: from === shard ? after % pageBase : 0, limit };
      const { events, next } = shard === 0 ? ledger.crossovers(asked) : await other(shard).crossovers(asked);
      if (next !== null) return { events, next: shard * pageBase + next };
      return { events, next: shard + 1 < shards ? (shard + 1) * pageBase : null };
    },
    look,
    advance: moveOn,
  };
};
