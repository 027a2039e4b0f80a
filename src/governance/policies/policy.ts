/** What a policy is: a pure, three-valued judgement of a change on evidence that was gathered before. */
import type { SettledConfiguration } from "../../experiment.ts";
import type { LifecycleState } from "../../lifecycle.ts";
import type { ActorRecord, ChangeKind, ChangeParameters } from "../events.ts";
import type { Severity } from "./schema.ts";

/** Something a policy looked at, with where it came from and how old it was. */
export interface EvidenceItem {
  readonly source: string;
  /** When the source said so, ISO 8601. */
  readonly at: string;
  readonly value: string | number | boolean | null;
}

export interface PolicyResult {
  readonly policy: string;
  /** null: the evidence did not suffice to say. */
  readonly compliant: boolean | null;
  readonly reason: string;
  readonly severity: Severity;
  readonly evidence: Readonly<Record<string, EvidenceItem>>;
}

/** What the ledger could say. `unavailable` is not the same as an experiment that has served nobody. */
export type LedgerReading =
  | ({ readonly status: "available"; readonly at: string } & LedgerFigures)
  | { readonly status: "unavailable"; readonly at: string; readonly reason: string };

/** The figures that policies look at, over the live epoch. */
export interface LedgerFigures {
  /** Distinct subjects that were exposed. */
  readonly exposed: number;
  /** Share of exposed subjects that met an error, 0 to 1, in the worst arm. */
  readonly worstErrorRate: number;
  readonly worstVariant: string | null;
  /** Distinct exposed subjects of each variant. */
  readonly subjects: Readonly<Record<string, number>>;
  /** The sequential sample ratio test at its last checkpoint; null before the first. */
  readonly sampleRatio: { readonly mismatch: boolean; readonly pValue: number } | null;
}

/** Another experiment of the scope that serves, or could with its next transition. */
export interface OtherExperiment {
  readonly name: string;
  readonly state: LifecycleState;
}

/** Everything a policy may look at. Gathered by the governor, before the decision. */
export interface PolicyEvidence {
  /** Milliseconds since the epoch. */
  readonly now: number;
  readonly telemetry: LedgerReading;
  /** Other experiments of the scope that are Approved, Running, Ramping or Paused; null when they could not be read. */
  readonly others: readonly OtherExperiment[] | null;
  /** What the host's own policies said, by policy name. They may take time, so they are asked before the decision. */
  readonly custom: Readonly<Record<string, CustomAnswer>>;
}

/** The change as a policy sees it. */
export interface ChangeContext {
  readonly experiment: string;
  readonly kind: ChangeKind;
  readonly parameters: ChangeParameters;
  /** Who asks. The reference is no name: policies that look at people look at kinds and roles. */
  readonly actor: ActorRecord;
  readonly from: LifecycleState;
  readonly to: LifecycleState;
  /** What would be live after the change. */
  readonly configuration: SettledConfiguration;
  /** Since when the experiment has been serving without a break, in ms since the epoch; null when it is not serving. */
  readonly servingSince: number | null;
  /** Traffic that is served now, percent; 0 when it is not serving. */
  readonly servedTraffic: number;
  /** Traffic that is served after the change, percent: the configured one, or what the ramp step allows of it. */
  readonly trafficAfter: number;
}

/** The change, and what is known about the world. */
export interface PolicyContext extends ChangeContext {
  readonly evidence: PolicyEvidence;
}

export interface PolicyVerdict {
  readonly compliant: boolean | null;
  readonly reason: string;
  readonly evidence: Readonly<Record<string, EvidenceItem>>;
}

/** What a policy of the host answered, or why there is no answer, in our words and never in its own. */
export type CustomAnswer = PolicyVerdict | { readonly failed: string };

/**
 * A policy could not be judged, and the record may say why: the message is made of our own words, not of data. Whatever
 * else a policy throws is recorded by its name alone.
 */
export class PolicyFailure extends Error {
  override readonly name = "PolicyFailure";
}

/** A result as callers see it, in a refusal and in a dry run alike. */
export interface PolicyEvaluation {
  readonly policyName: string;
  readonly isCompliant: boolean | null;
  readonly reason: string;
  readonly severity: Severity;
  /** ISO 8601. */
  readonly timestamp: string;
}

export const presentPolicyResult = (result: PolicyResult, now: number): PolicyEvaluation => ({
  policyName: result.policy,
  isCompliant: result.compliant,
  reason: result.reason,
  severity: result.severity,
  timestamp: new Date(now).toISOString(),
});
