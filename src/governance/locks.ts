/**
 * A lock per key inside one process. It only saves work: without it two commands would both decide and one commit
 * would fail. Correctness is the store's, which refuses a stale commit by itself.
 */
export interface Locks {
  /** Runs tasks of one key one after another, in the order they came; an urgent one goes before all that wait. */
  run<T>(key: string, task: () => Promise<T>, urgent?: boolean): Promise<T>;
}

interface Lane {
  readonly urgent: (() => void)[];
  readonly ordinary: (() => void)[];
}

export const createLocks = (): Locks => {
  /** A key is here exactly while a task of it runs. */
  const lanes = new Map<string, Lane>();
  return {
    async run(key, task, urgent = false) {
      const lane = lanes.get(key);
      if (lane === undefined) lanes.set(key, { urgent: [], ordinary: [] });
      else await new Promise<void>((resolve) => (urgent ? lane.urgent : lane.ordinary).push(resolve));
      try {
        return await task();
      } finally {
        const mine = lanes.get(key);
        const next = mine?.urgent.shift() ?? mine?.ordinary.shift();
        if (next === undefined) lanes.delete(key);
        else next();
      }
    },
  };
};
