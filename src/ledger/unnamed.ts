/**
 * Events whose subject was hidden behind a placeholder before they left their application. One text stands for everybody,
 * so they are nobody's: counting them as one subject's would be wrong, and who is left without them is not everybody. What
 * cannot be known any more is said to be off: the sample ratio of their epochs, and all outcomes.
 */
import type { Envelope } from "../events/envelope.ts";
import type { LedgerCounts } from "./counts.ts";

/** Which such events there have been. A set, so that order and redelivery change nothing. */
export interface Unnamed {
  /** Epochs of exposures. */
  readonly epochs: readonly number[];
  /** True when there were outcomes or errors. */
  readonly outcomes: boolean;
}

/** True when {@link createRedactor} put a placeholder for the subject; a keyed digest can be counted and is none. */
export const isUnnamed = ({ metadata }: Envelope): boolean => {
  const redaction = metadata?.["redaction"];
  return (
    typeof redaction === "object" && redaction !== null && "subject" in redaction && redaction.subject === "placeholder"
  );
};

/** What all parts have had together; undefined: nothing. */
export const mergeUnnamed = (parts: readonly (Unnamed | undefined)[]): Unnamed | undefined => {
  const known = parts.filter((part) => part !== undefined);
  const epochs = [...new Set(known.flatMap((part) => part.epochs))].toSorted((a, b) => a - b);
  const outcomes = known.some((part) => part.outcomes);
  return epochs.length > 0 || outcomes ? { epochs, outcomes } : undefined;
};

/** Why the sample ratio of an epoch is not tested; undefined: it is. */
export const sampleRatioOff = ({ unnamed }: Pick<LedgerCounts, "unnamed">, epoch: number): string | undefined =>
  unnamed?.epochs.includes(epoch) === true
    ? `exposures of epoch ${epoch} came with a placeholder for the subject: who was exposed cannot be counted`
    : undefined;

/** Why effects are not shown; undefined: they are. */
export const outcomesOff = ({ unnamed }: Pick<LedgerCounts, "unnamed">): string | undefined => {
  if (unnamed === undefined) return undefined;
  const what = [...(unnamed.epochs.length > 0 ? ["exposures"] : []), ...(unnamed.outcomes ? ["outcomes"] : [])];
  return `outcomes are off: ${what.join(" and ")} came with a placeholder for the subject, and belong to nobody`;
};
