/** What a ledger knows about one experiment: the contract between whoever counts and whoever judges the counts. */
import type { MetricKind } from "../experiment.ts";
import type { Unnamed } from "./unnamed.ts";

/** Distinct subjects whose first exposure ever was to this variant, in this epoch. */
export interface ArmCount {
  readonly variant: string;
  readonly epoch: number;
  readonly subjects: number;
}

/** Totals of one metric in one arm. Sums are exact decimals as text, so that the order of events cannot change them. */
export interface ArmTotal {
  readonly variant: string;
  readonly epoch: number;
  /** Subjects of the arm that have a value; unless the metric says otherwise the denominator is the arm's subjects. */
  readonly observed: number;
  readonly sum: string;
  readonly sumOfSquares: string;
}

export interface MetricTotals {
  readonly metric: string;
  readonly kind: MetricKind;
  readonly arms: readonly ArmTotal[];
  /** Subjects with a value but without an exposure, so far. */
  readonly unexposed: number;
}

/** Sums of the products of two metrics' values of one subject, by arm: `sum` is Σxy. */
export interface ProductTotals {
  /** Metric keys, `kind:name`. */
  readonly left: string;
  readonly right: string;
  readonly arms: readonly ArmTotal[];
}

/** Counts of a part of the subjects. */
export interface SliceCounts {
  readonly arms: readonly ArmCount[];
  readonly metrics: readonly MetricTotals[];
  readonly products: readonly ProductTotals[];
}

/** Subjects by a value of a declared dimension at their first exposure. */
export interface DimensionCounts extends SliceCounts {
  readonly dimension: string;
  readonly value: string;
}

/** Subjects by the day of their first exposure, UTC. */
export interface DayCounts extends SliceCounts {
  /** `2026-11-25` */
  readonly day: string;
}

/** The sequential test of one epoch with a look at every stored checkpoint that changed it. */
export interface CheckpointLooks {
  readonly epoch: number;
  readonly looks: number;
  /** At the latest checkpoint; Infinity once an arm planned at 0 had a subject. */
  readonly logBayesFactor: number;
  /** Running minimum of 1 / Bayes factor over all looks, at most 1. */
  readonly pValue: number;
  /** The looks themselves where they were asked for, thinned out to at most 500: [minute since 1970, p]. */
  readonly series?: readonly (readonly [minute: number, pValue: number])[];
}

/** The sequential test with a look after every subject, in order of first exposure. */
export interface SubjectLooks {
  readonly looks: number;
  readonly logBayesFactor: number;
  /** Running minimum of 1 / Bayes factor over all looks, at most 1. */
  readonly pValue: number;
}

export interface LedgerCounts {
  readonly arms: readonly ArmCount[];
  /** Distinct exposure events, repeats included. */
  readonly exposures: number;
  /** Exposures of subjects that had one before. */
  readonly repeats: number;
  /** Subjects with a later, different variant. They stay in the arm of their first exposure. */
  readonly crossovers: number;
  /** Distinct outcome events. */
  readonly outcomes: number;
  /** Outcomes that waited too long for an exposure, and were dropped. */
  readonly dropped: number;
  /** Everything that arrived, duplicates by redelivery or resending included. */
  readonly received: number;
  readonly metrics: readonly MetricTotals[];
  readonly products: readonly ProductTotals[];
  /** Of each epoch whose plan was given. Checkpoints themselves stay in the ledger: there may be very many. */
  readonly checkpointLooks: readonly CheckpointLooks[];
  /** Present when asked for, given the plan of the one epoch that was counted, and unless there are too many subjects. */
  readonly subjectLooks?: SubjectLooks;
  readonly shards: number;
  /** Events behind a placeholder, of which nothing else is counted; present when there were any. */
  readonly unnamed?: Unnamed;
  /** Share of the subjects whose outcomes are counted by the present definitions; below 1 while they are counted anew. */
  readonly recounted: number;
  /** Present when asked for. */
  readonly parts?: CountedParts;
}

export interface CountedParts {
  readonly days: readonly DayCounts[];
  readonly dimensions: readonly DimensionCounts[];
  /** Crossovers, in the arms of their first exposures. */
  readonly crossovers: SliceCounts;
  /** For each window: subjects whose window had closed. */
  readonly matured: readonly MaturedCounts[];
}

export interface MaturedCounts extends SliceCounts {
  /** When the window closes, ms after the first exposure. */
  readonly to: number;
}

export const emptySlice: SliceCounts = { arms: [], metrics: [], products: [] };

/** What a ledger answers before its first event. */
export const emptyCounts: LedgerCounts = {
  arms: [],
  exposures: 0,
  repeats: 0,
  crossovers: 0,
  outcomes: 0,
  dropped: 0,
  received: 0,
  metrics: [],
  products: [],
  checkpointLooks: [],
  shards: 1,
  recounted: 1,
};
