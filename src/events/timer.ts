/**
 * Starts a timer and returns what cancels it. `holdsProcess` is false for work that must not keep a finished program
 * alive, true where somebody awaits it: Node would otherwise end in the middle of an awaited flush.
 */
export type StartTimer = (callback: () => void, delayMs: number, holdsProcess: boolean) => () => void;

const isUnrefable = (handle: unknown): handle is { unref(): unknown } =>
  typeof handle === "object" && handle !== null && "unref" in handle && typeof handle.unref === "function";

/**
 * The platform's timer. Workers allow none at global scope: there it never goes off, and whoever relies on it looks at
 * the clock as well.
 */
export const startTimer: StartTimer = (callback, delayMs, holdsProcess) => {
  try {
    const handle = setTimeout(callback, delayMs);
    if (!holdsProcess && isUnrefable(handle)) handle.unref();
    return () => clearTimeout(handle);
  } catch {
    return () => {};
  }
};
