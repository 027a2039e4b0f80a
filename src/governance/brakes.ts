/** The last brake that one process has put on each experiment, so that older commands do not undo it. */
export interface Brakes {
  note(key: string, order: number): void;
  /** 0 when there was none, or none that is still remembered. */
  last(key: string): number;
}

/** Commands wait for seconds at most; the last thousand brakes are more than come in that time. */
const entriesMax = 1_000;

export const createBrakes = (): Brakes => {
  const entries = new Map<string, number>();
  return {
    note(key, order) {
      entries.delete(key);
      entries.set(key, order);
      const oldest = entries.keys().next();
      if (entries.size > entriesMax && oldest.done !== true) entries.delete(oldest.value);
    },
    last: (key) => entries.get(key) ?? 0,
  };
};
