/**
 * Bounds how many refusals one person can write into a history, which is kept for ever. Over the bound the refusal
 * is still given, only no longer recorded.
 */
export interface DenialLimiter {
  /** True while this person may have another refusal recorded for this experiment. */
  take(experiment: string, actor: string, now: number): boolean;
}

const windowMs = 60_000;
const deniedMax = 20;
const trackedMax = 10_000;

export const createDenialLimiter = (): DenialLimiter => {
  const windows = new Map<string, { readonly start: number; count: number }>();
  return {
    take(experiment, actor, now) {
      const key = JSON.stringify([experiment, actor]);
      const window = windows.get(key);
      if (window !== undefined && now - window.start < windowMs) {
        window.count += 1;
        return window.count <= deniedMax;
      }
      if (windows.size >= trackedMax) windows.clear();
      windows.set(key, { start: now, count: 1 });
      return true;
    },
  };
};
