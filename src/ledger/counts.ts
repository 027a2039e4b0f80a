/** What a ledger knows about one experiment: the contract between whoever counts and whoever judges the counts. */
import type { MetricKind } from "../experiment.ts";

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
  /** Subjects of the arm that have a value; the denominator of the metric is the arm's subjects, not this. */
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

/** The sequential test of one epoch with a look at every stored checkpoint that changed it. */
export interface CheckpointLooks {
  readonly epoch: number;
  readonly looks: number;
  /** At the latest checkpoint; Infinity once an arm planned at 0 had a subject. */
  readonly logBayesFactor: number;
  /** Running minimum of 1 / Bayes factor over all looks, at most 1. */
  readonly pValue: number;
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
  /** Everything that arrived, duplicates by redelivery or resending included. */
  readonly received: number;
  readonly metrics: readonly MetricTotals[];
  /** Of each epoch whose plan was given. Checkpoints themselves stay in the ledger: there may be very many. */
  readonly checkpointLooks: readonly CheckpointLooks[];
  /** Present when asked for, given the plan of the one epoch that was counted, and unless there are too many subjects. */
  readonly subjectLooks?: SubjectLooks;
}

/** What a ledger answers before its first event. */
export const emptyCounts: LedgerCounts = {
  arms: [],
  exposures: 0,
  repeats: 0,
  crossovers: 0,
  outcomes: 0,
  received: 0,
  metrics: [],
  checkpointLooks: [],
};
