/** Where subscribers stand, as this process knows it; some of it is not written down yet. */
import { type ExperimentRef, refKey } from "../scope.ts";

interface Standing {
  readonly seq: number;
  readonly isWritten: boolean;
}

export interface KnownPositions {
  /** The seq up to which this process has delivered; undefined where it has not. */
  get(ref: ExperimentRef, subscriber: string): number | undefined;
  note(ref: ExperimentRef, subscriber: string, seq: number, isWritten: boolean): void;
  unwritten(ref: ExperimentRef): readonly { readonly subscriber: string; readonly seq: number }[];
}

/** What is forgotten is read again, or delivered once more where it was not written. */
const experimentsMax = 1_000;

export const createKnownPositions = (): KnownPositions => {
  const known = new Map<string, Map<string, Standing>>();
  return {
    get: (ref, subscriber) => known.get(refKey(ref))?.get(subscriber)?.seq,
    note(ref, subscriber, seq, isWritten) {
      const key = refKey(ref);
      const standing = known.get(key) ?? new Map<string, Standing>();
      const before = standing.get(subscriber);
      // What was delivered while an older position was being written is still to be written.
      if (before !== undefined && before.seq > seq) return;
      standing.set(subscriber, { seq, isWritten });
      // The newest entry stands last, so the first one is the one to forget.
      known.delete(key);
      known.set(key, standing);
      const oldest = known.keys().next();
      if (known.size > experimentsMax && oldest.done !== true) known.delete(oldest.value);
    },
    unwritten: (ref) =>
      [...(known.get(refKey(ref)) ?? [])].flatMap(([subscriber, { seq, isWritten }]) =>
        isWritten ? [] : [{ subscriber, seq }],
      ),
  };
};
