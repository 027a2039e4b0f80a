/**
 * How many arms and metrics one ledger opens. Whoever may send events can name variants and metrics at will, and each
 * name adds to every answer; past these bounds, far above any configuration's, events are refused and said to be.
 */
import { limits } from "../limits.ts";
import type { ExposureRow, LedgerBatch, OutcomeRow } from "./batch.ts";
import { metricKey } from "./subject.ts";

/** The key of an arm: epochs are whole numbers, so the first `:` ends one. */
export const armKey = (epoch: number, variant: string): string => `${epoch}:${variant}`;

export interface RefusedEvent {
  readonly eventId: string;
  readonly reason: string;
}

export interface Admission {
  readonly exposures: readonly ExposureRow[];
  readonly outcomes: readonly OutcomeRow[];
  readonly refused: readonly RefusedEvent[];
}

/** The names that open room for, in order of appearance, until the bound. */
const gate = (open: ReadonlySet<string>, max: number): ((key: string) => boolean) => {
  const keys = new Set(open);
  return (key) => {
    if (keys.has(key)) return true;
    if (keys.size >= max) return false;
    keys.add(key);
    return true;
  };
};

/**
 * Sorts out the events that would open too many arms or metrics.
 *
 * @param open keys of the arms and metrics that the ledger has
 */
export const admit = (
  { exposures, outcomes }: Pick<LedgerBatch, "exposures" | "outcomes">,
  open: { readonly arms: ReadonlySet<string>; readonly metrics: ReadonlySet<string> },
): Admission => {
  const opensArm = gate(open.arms, limits.ledgerArms);
  const opensMetric = gate(open.metrics, limits.ledgerMetrics);
  const refused: RefusedEvent[] = [];
  const refuse = (eventId: string, reason: string): false => {
    refused.push({ eventId, reason });
    return false;
  };
  return {
    exposures: exposures.filter(
      ([id, , variant, epoch]) =>
        opensArm(armKey(epoch, variant)) ||
        refuse(id, `the experiment has ${limits.ledgerArms} arms (variants by epoch) already`),
    ),
    outcomes: outcomes.filter(
      ([id, , metric, kind]) =>
        opensMetric(metricKey(metric, kind)) ||
        refuse(id, `the experiment has ${limits.ledgerMetrics} metrics (by kind) already`),
    ),
    refused,
  };
};
