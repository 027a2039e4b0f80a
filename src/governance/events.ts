/**
 * What can have happened to an experiment. Facts in the past tense; the history is a list of these and nothing else.
 *
 * Nothing personal is in an event: people and free text appear as references (salted digests, see `personal.ts`),
 * so that erasing a person leaves the hash chain whole.
 */
import type { SettledConfiguration } from "../experiment.ts";
import type { LifecycleState } from "../lifecycle.ts";
import type { ActorKind } from "./gates/schema.ts";
import type { PolicyResult } from "./policies/policy.ts";

/** Salted SHA-256 of a personal value, 64 hex digits. Within one experiment a person has one reference. */
export type PersonalRef = string;

/** Who did it, as it enters the history. */
export interface ActorRecord {
  readonly ref: PersonalRef;
  readonly kind: ActorKind;
  readonly roles: readonly string[];
}

/** Kinds of change that gates and policies decide. */
export const changeKinds = ["transition", "publish", "rollback", "rampStep"] as const;
export type ChangeKind = (typeof changeKinds)[number];

/** What else a change says of itself: it is part of what people approve. */
export interface ChangeParameters {
  /** rampStep: which step, counted from 0. */
  readonly step?: number;
  /** A scheduled change: when, ISO 8601. */
  readonly at?: string;
  /** rollback: the version whose content comes back. */
  readonly targetVersion?: number;
  /** Concluding: what was learnt, and what is kept. */
  readonly outcome?: Outcome;
  readonly variant?: string;
}

/** How an experiment ended. */
export const outcomes = ["ship", "revert", "inconclusive"] as const;
export type Outcome = (typeof outcomes)[number];

/** What a gate said when the change was decided. */
export interface GateResult {
  readonly gate: string;
  readonly satisfied: boolean;
  /** What is missing, in words; absent when satisfied. */
  readonly missing?: string;
  /** Whose approvals counted; absent for a gate that counts none. */
  readonly approvedBy?: readonly PersonalRef[];
}

/** A change that must be decided. */
export interface Change {
  readonly kind: ChangeKind;
  readonly from: LifecycleState;
  readonly to: LifecycleState;
  readonly version: number;
  readonly digest: string;
  readonly changeDigest: string;
  readonly policySetDigest: string;
}

export type ProposalEnd = "committed" | "withdrawn" | "rejected" | "expired" | "overtaken";

interface Payloads {
  /** The first event of every experiment. */
  Created: { readonly tenant: string; readonly environment: string; readonly experiment: string };
  /** A version was written to an archived experiment: back to Draft, same history. */
  Reopened: { readonly from: LifecycleState };
  VersionWritten: {
    readonly version: number;
    readonly digest: string;
    readonly configuration: SettledConfiguration;
    readonly changeDescription?: PersonalRef;
  };
  ProposalOpened: Change & {
    readonly proposal: string;
    readonly reason?: PersonalRef;
    readonly metadata?: PersonalRef;
    readonly expiresAt?: string;
  };
  ApprovalGiven: { readonly proposal: string; readonly changeDigest: string; readonly reason?: PersonalRef };
  ApprovalDeclined: { readonly proposal: string; readonly changeDigest: string; readonly reason?: PersonalRef };
  /** A person took back what they had said of a proposal, whichever it was. */
  ApprovalWithdrawn: { readonly proposal: string; readonly changeDigest: string; readonly reason?: PersonalRef };
  ProposalEnded: { readonly proposal: string; readonly end: ProposalEnd };
  Transitioned: Change & {
    readonly gates: readonly GateResult[];
    readonly policies: readonly PolicyResult[];
    readonly reason?: PersonalRef;
    readonly metadata?: PersonalRef;
    /** The version that evaluation serves from here on; null before the first start. */
    readonly liveVersion: number | null;
    /** Everything the experiment holds after the change. */
    readonly claims: readonly string[];
  };
  /** Somebody tried and was stopped. It moves the log, not the snapshot. */
  ChangeDenied: Change & {
    /** What was tried: to make the change, or to approve it. */
    readonly attempt: "make" | "approve";
    readonly code: string;
    readonly gates: readonly GateResult[];
    readonly policies: readonly PolicyResult[];
    readonly reason?: PersonalRef;
    readonly metadata?: PersonalRef;
  };
}

export type EventType = keyof Payloads;
export type DomainEvent = {
  readonly [type in EventType]: { readonly type: type; readonly data: Payloads[type] };
}[EventType];

export const eventTypes = [
  "Created",
  "Reopened",
  "VersionWritten",
  "ProposalOpened",
  "ApprovalGiven",
  "ApprovalDeclined",
  "ApprovalWithdrawn",
  "ProposalEnded",
  "Transitioned",
  "ChangeDenied",
] as const satisfies readonly EventType[];

/** One line of the history. `hash` is SHA-256 over the canonical JSON of everything else in it. */
export type EventRecord = DomainEvent & {
  /** Schema of this record. */
  readonly v: 1;
  /** 1, 2, 3 … without a gap within one experiment. */
  readonly seq: number;
  readonly id: string;
  /** ISO 8601, never before the event ahead of it. */
  readonly at: string;
  readonly actor: ActorRecord;
  /** Hash of the event ahead; 64 zeros for the first. */
  readonly prevHash: string;
  readonly hash: string;
};
