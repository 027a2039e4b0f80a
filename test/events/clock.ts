/** A clock that stands until it is told to move, with timers that go off as it does. */
import type { StartTimer } from "../../src/events/timer.ts";

interface PendingTimer {
  readonly at: number;
  readonly holdsProcess: boolean;
  readonly callback: () => void;
}

export interface ManualClock {
  readonly now: () => number;
  readonly startTimer: StartTimer;
  /** Timers that are set, the next first. */
  pending(): readonly PendingTimer[];
  /** Moves on, timer by timer, and lets promises settle after each. */
  advance(ms: number): Promise<void>;
  /** Moves on as a Worker does between requests: the timers are gone. */
  advanceWithoutTimers(ms: number): void;
}

/** Lets everything run that waits for nothing but its turn. */
export const settle = async (): Promise<void> => {
  await new Promise<void>((resolve) => {
    setImmediate(resolve);
  });
};

export const manualClock = (start = Date.UTC(2026, 10, 21)): ManualClock => {
  let time = start;
  const timers = new Set<PendingTimer>();
  const next = (): PendingTimer | undefined => [...timers].toSorted((a, b) => a.at - b.at)[0];
  const fireUntil = async (end: number): Promise<void> => {
    const timer = next();
    if (timer === undefined || timer.at > end) return;
    timers.delete(timer);
    time = Math.max(time, timer.at);
    timer.callback();
    await settle();
    await fireUntil(end);
  };
  return {
    now: () => time,
    startTimer(callback, delayMs, holdsProcess) {
      const timer = { at: time + delayMs, holdsProcess, callback };
      timers.add(timer);
      return () => timers.delete(timer);
    },
    pending: () => [...timers].toSorted((a, b) => a.at - b.at),
    async advance(ms) {
      const end = time + ms;
      await settle();
      await fireUntil(end);
      time = end;
      await settle();
    },
    advanceWithoutTimers(ms) {
      timers.clear();
      time += ms;
    },
  };
};
