/** What the benchmark of stores asks of every engine, and how it takes time. */

/** Where it is measured: behind so many events, with so many experiments in the scope. */
export interface Place {
  readonly history: number;
  readonly experiments: number;
}

export const places: readonly Place[] = [
  { history: 10, experiments: 1 },
  { history: 1_000, experiments: 1 },
  { history: 10_000, experiments: 1 },
  { history: 10, experiments: 100 },
  { history: 10, experiments: 10_000 },
];

/** Milliseconds of one operation, in the middle of those that were measured. */
export interface Times {
  readonly product: number;
  /** The same statements, made beforehand, through the same client. */
  readonly raw: number;
  /** Plain writes and reads of the same rows, where the engine's own guards are a part of raw. */
  readonly bare?: number;
}

export interface Row {
  readonly place: Place;
  readonly commit: Times;
  readonly load: Times;
}

export interface Engine {
  readonly name: string;
  /** The share of raw that is wanted. */
  readonly floor: number;
  /** What is not installed here, in words; null where it can run. */
  missing(): string | null;
  /**
   * Measures every place in turn. Whatever it starts has ended when the last row has been given.
   *
   * @param operations commits, and loads, of each side at each place
   */
  rows(operations: number): AsyncIterable<Row>;
}

export const median = (values: readonly number[]): number =>
  values.toSorted((left, right) => left - right)[Math.floor(values.length / 2)] ?? Number.NaN;

const turn = 20;

/**
 * Milliseconds of each call, the median of each side. The sides take turns, so that whatever else the machine does falls on all;
 * their first turn warms up and does not count.
 */
export const inTurns = async (
  count: number,
  ...sides: readonly ((index: number) => Promise<unknown>)[]
): Promise<readonly number[]> => {
  const times = sides.map((): number[] => []);
  for (let start = 0; start < count; start += turn)
    for (const [side, work] of sides.entries())
      for (let index = start; index < Math.min(count, start + turn); index += 1) {
        const before = performance.now();
        await work(index);
        if (start > 0) times[side]?.push(performance.now() - before);
      }
  return times.map(median);
};

/** What sides come to, in the order in which they took turns: product, raw and, where there is one, bare. */
export const timesOf = ([product = Number.NaN, raw = Number.NaN, bare]: readonly number[]): Times => ({
  product,
  raw,
  ...(bare === undefined ? {} : { bare }),
});

export const item = <Value>(values: readonly Value[], index: number): Value => {
  const value = values[index];
  if (value === undefined) throw new RangeError("the benchmark has run out of commits");
  return value;
};
