/**
 * Takes away the receipts of commands once nobody may ask for their answers any more: they repeat what people wrote. The
 * next commit of an experiment does so too, but not every experiment has another, so the alarm of its object does.
 */
import { type ExperimentRef, refKey } from "../src/scope.ts";

export interface ReceiptSweepOptions {
  /** Removes what has expired by this time, ISO 8601. */
  readonly sweep: (ref: ExperimentRef, now: string) => Promise<void>;
  /** Sets the alarm. */
  readonly wake: (ref: ExperimentRef, at: number) => Promise<void>;
  readonly now: () => number;
  readonly report: (error: unknown) => void;
}

export interface ReceiptSweep {
  /** A command with an idempotency key was answered. It costs a write of the alarm at most once an hour. */
  noted(ref: ExperimentRef): Promise<void>;
  /** The alarm has rung. When to come again, if there is something left to do; ms since the epoch. */
  look(ref: ExperimentRef): Promise<number | null>;
}

/** As long as a governor keeps receipts by default. */
export const receiptLifetimeMs = 24 * 3_600_000;
/** How exactly "expired" is meant: many commands share one look. */
const hourMs = 3_600_000;

const nextAt = (times: ReadonlyMap<string, number>, key: string): number => (times.get(key) ?? -Infinity) + hourMs;

/** What it remembers may be lost with the object: then it writes, or sweeps, once more than it had to. */
export const createReceiptSweep = ({ sweep, wake, now, report }: ReceiptSweepOptions): ReceiptSweep => {
  const notedAt = new Map<string, number>();
  const sweptAt = new Map<string, number>();
  return {
    async noted(ref) {
      const key = refKey(ref);
      if (now() < nextAt(notedAt, key)) return;
      notedAt.set(key, now());
      try {
        // An hour later than this one expires, so that those of the coming hour have expired, too.
        await wake(ref, now() + receiptLifetimeMs + hourMs);
      } catch (error) {
        notedAt.delete(key);
        report(error);
      }
    },
    async look(ref) {
      const key = refKey(ref);
      // What has expired since has perhaps no other look to wait for.
      if (now() < nextAt(sweptAt, key)) return nextAt(sweptAt, key);
      try {
        await sweep(ref, new Date(now()).toISOString());
        sweptAt.set(key, now());
        return null;
      } catch (error) {
        report(error);
        return now() + hourMs;
      }
    },
  };
};
