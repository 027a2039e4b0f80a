/**
 * A lock per key inside one process. It only saves work: without it two commands would both decide and one commit
 * would fail. Correctness is the store's, which refuses a stale commit by itself.
 */
export interface Locks {
  run<T>(key: string, task: () => Promise<T>): Promise<T>;
}

export const createLocks = (): Locks => {
  const tails = new Map<string, Promise<unknown>>();
  return {
    async run(key, task) {
      const before = tails.get(key) ?? Promise.resolve();
      const mine = before.then(task, task);
      const settled = mine.catch(() => undefined);
      tails.set(key, settled);
      try {
        return await mine;
      } finally {
        if (tails.get(key) === settled) tails.delete(key);
      }
    },
  };
};
