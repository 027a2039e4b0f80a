/**
 * How many arms and metrics one ledger opens. Whoever may send events can name variants, epochs and metrics at will, and
 * each name adds to every answer; past these bounds, far above any configuration's, events are refused and said to be.
 * Each epoch has room of its own, and epochs are bounded by their number, not by how many there are: invented variants
 * of one epoch, and invented epochs, take nothing from another.
 */
import { limits } from "../limits.ts";
import type { ExposureRow, LedgerBatch, OutcomeRow } from "./batch.ts";
import { metricKey } from "./subject.ts";

export interface RefusedEvent {
  readonly eventId: string;
  readonly reason: string;
}

export interface Admission {
  readonly exposures: readonly ExposureRow[];
  readonly outcomes: readonly OutcomeRow[];
  readonly refused: readonly RefusedEvent[];
}

/** Names by group, each group with room for so many, in order of appearance. */
const gate = (open: Iterable<readonly [group: number, name: string]>, max: number) => {
  const groups = new Map<number, Set<string>>();
  const namesOf = (group: number): Set<string> => {
    const names = groups.get(group) ?? new Set<string>();
    groups.set(group, names);
    return names;
  };
  for (const [group, name] of open) namesOf(group).add(name);
  return (group: number, name: string): boolean => {
    const names = namesOf(group);
    if (!names.has(name) && names.size >= max) return false;
    names.add(name);
    return true;
  };
};

export type OpenArm = readonly [epoch: number, variant: string];

/**
 * Sorts out the events that would open too many arms or metrics.
 *
 * @param open the metric keys that the ledger has, and at least the arms of this batch's epochs
 */
export const admit = (
  { exposures, outcomes }: Pick<LedgerBatch, "exposures" | "outcomes">,
  open: {
    readonly arms: readonly OpenArm[];
    readonly metrics: ReadonlySet<string>;
    /** Metrics that somebody has declared: no invented name takes their room. */
    readonly declared?: ReadonlySet<string>;
  },
): Admission => {
  const { declared = new Set<string>() } = open;
  const opensArm = gate(open.arms, limits.ledgerVariants);
  const opensMetric = gate(
    Array.from(open.metrics).flatMap((key) => (declared.has(key) ? [] : [[0, key] as const])),
    limits.ledgerMetrics,
  );
  const refused: RefusedEvent[] = [];
  const refuse = (eventId: string, reason: string): false => {
    refused.push({ eventId, reason });
    return false;
  };
  return {
    exposures: exposures.filter(
      ([id, , variant, epoch]) =>
        (epoch <= limits.ledgerEpoch ||
          refuse(id, `epoch ${epoch} is above ${limits.ledgerEpoch}, the last that is counted`)) &&
        (opensArm(epoch, variant) ||
          refuse(id, `epoch ${epoch} of the experiment has ${limits.ledgerVariants} variants already`)),
    ),
    outcomes: outcomes.filter(
      ([id, , metric, kind]) =>
        declared.has(metricKey(metric, kind)) ||
        opensMetric(0, metricKey(metric, kind)) ||
        refuse(id, `the experiment has ${limits.ledgerMetrics} metrics (by kind) already`),
    ),
    refused,
  };
};
