/** Where this process has brought subscribers to, and what of that is not written down yet. */
import { type ExperimentRef, refKey } from "../scope.ts";

interface Standing {
  readonly seq: number;
  readonly isWritten: boolean;
}

export interface KnownPositions {
  /** The seq up to which this process has delivered; undefined where it has not. */
  get(ref: ExperimentRef, subscriber: string): Standing | undefined;
  note(ref: ExperimentRef, subscriber: string, standing: Standing): void;
  /** This position is written. One that was noted meanwhile is not. */
  written(ref: ExperimentRef, subscriber: string, seq: number): void;
  unwritten(ref: ExperimentRef): readonly { readonly subscriber: string; readonly seq: number }[];
}

/** What is forgotten is read again, or delivered once more where it was not written. */
const experimentsMax = 1_000;

export const createKnownPositions = (): KnownPositions => {
  const experiments = new Map<string, Map<string, Standing>>();
  return {
    get: (ref, subscriber) => experiments.get(refKey(ref))?.get(subscriber),
    note(ref, subscriber, standing) {
      const key = refKey(ref);
      const subscribers = experiments.get(key) ?? new Map<string, Standing>();
      subscribers.set(subscriber, standing);
      // The newest entry stands last, so the first one is the one to forget.
      experiments.delete(key);
      experiments.set(key, subscribers);
      const oldest = experiments.keys().next();
      if (experiments.size > experimentsMax && oldest.done !== true) experiments.delete(oldest.value);
    },
    written(ref, subscriber, seq) {
      const subscribers = experiments.get(refKey(ref));
      if (subscribers?.get(subscriber)?.seq === seq) subscribers.set(subscriber, { seq, isWritten: true });
    },
    unwritten: (ref) =>
      [...(experiments.get(refKey(ref)) ?? [])].flatMap(([subscriber, { seq, isWritten }]) =>
        isWritten ? [] : [{ subscriber, seq }],
      ),
  };
};
