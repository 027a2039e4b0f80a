/**
 * What can have happened to an experiment. Facts in the past tense; the history is a list of these and nothing else.
 *
 * Nothing personal is in an event: people and free text appear as references (salted digests, see `personal.ts`),
 * so that erasing a person leaves the hash chain whole.
 */
import type { SettledConfiguration } from "../experiment.ts";
import type { LifecycleState, PauseMode } from "../lifecycle.ts";
import type { ActorKind } from "./gates/schema.ts";
import type { PolicyEvidence, PolicyResult } from "./policies/policy.ts";

/** Salted SHA-256 of a personal value, 64 hex digits. Within one experiment a person has one reference. */
export type PersonalRef = string;

/** Who did it, as it enters the history. */
export interface ActorRecord {
  readonly ref: PersonalRef;
  readonly kind: ActorKind;
  readonly roles: readonly string[];
}

/**
 * Kinds of change that gates and policies decide: a move of the lifecycle; making a new version live without leaving
 * the state; the same with content that has come back by a rollback; the next step of a ramp; and serving again what a
 * kill switch had stopped.
 */
export const changeKinds = ["transition", "publish", "rollback", "rampStep", "revive"] as const;
export type ChangeKind = (typeof changeKinds)[number];

/** How an experiment ended. */
export const outcomes = ["ship", "revert", "inconclusive"] as const;
export type Outcome = (typeof outcomes)[number];

/** What else a change says of itself: it is part of what people approve. */
export interface ChangeParameters {
  /** rampStep: which step, counted from 0. */
  readonly step?: number;
  /** A scheduled change: when, ISO 8601. */
  readonly at?: string;
  /** Pausing, where it is not for everybody. */
  readonly mode?: PauseMode;
  /** Concluding: what was learnt. */
  readonly outcome?: Outcome;
  /** Concluding: what is shipped. Reviving: which variant; left out, the experiment. */
  readonly variant?: string;
}

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
  readonly parameters: ChangeParameters;
}

/** A change with what was found when it was decided. */
export interface DecidedChange extends Change {
  readonly gates: readonly GateResult[];
  readonly policies: readonly PolicyResult[];
  /** What was looked up for the policies, as far as they asked for it: back-tests decide on it again. */
  readonly observed?: Observed;
  /** Made past gates and policies, by somebody who may, for a reason. */
  readonly breakGlass?: true;
  /** Whose roles counted, where the clock or an approval made the change: whoever had asked for it. */
  readonly onBehalfOf?: ActorRecord;
  readonly reason?: PersonalRef;
  readonly metadata?: PersonalRef;
}

export type Observed = Partial<Pick<PolicyEvidence, "telemetry" | "others">>;

/** Where a version's content comes from, when nobody wrote it for this experiment. */
export type Provenance =
  | {
      readonly kind: "rollback";
      /** The newest version when it was rolled back. */
      readonly rolledBackFrom: number;
      /** The version whose content came back. */
      readonly rolledBackTo: number;
      /** Who wrote that content first: whoever brings it back does not become its only author. */
      readonly contentBy: PersonalRef;
    }
  | {
      readonly kind: "promotion";
      readonly environment: string;
      readonly version: number;
      readonly digest: string;
      /** Who wrote that content there: carrying it over gives it no new author. */
      readonly contentBy: readonly PersonalRef[];
    };

/** Where a ramp stands. */
export interface RampPosition {
  readonly step: number;
  /** Percent of eligible subjects that the step allows. */
  readonly traffic: number;
  /** ISO 8601; when the next step is asked for; null: when somebody advances it. */
  readonly dueAt: string | null;
}

/** A change that waits for its time. */
export interface ScheduledChange {
  readonly id: string;
  /** ISO 8601. */
  readonly at: string;
  readonly to: LifecycleState;
  readonly parameters: ChangeParameters;
}

/** What a guardrail found, in figures. */
export interface GuardrailFinding {
  readonly metric: string;
  /** Which of the metric's guardrails, by its name; left out in histories of before it had one. */
  readonly guardrail?: string;
  readonly variant: string | null;
  readonly why: string;
  readonly figures: Readonly<Record<string, number | string | boolean | null>>;
  /** What it was found of. A finding on another version, epoch or start is about something that is over. */
  readonly version: number;
  readonly epoch: number;
  readonly since: string;
}

/** Concluding freezes the results by digest; null where the ledger could not be read. */
export interface Conclusion {
  readonly outcome: Outcome;
  readonly variant?: string;
  readonly resultsDigest: string | null;
  /** It rests on a p value that was read too early; whoever concluded was free to. */
  readonly warning?: ConclusionWarning;
}

export interface ConclusionWarning {
  readonly signalType: string;
  readonly message: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** What an analysis says of an experiment by itself. */
export interface RaisedSignal {
  /** The same for the same thing crossed, and for nothing else. */
  readonly key: string;
  readonly signalType: string;
  readonly severity: "Info" | "Warning" | "Critical";
  readonly message: string;
  readonly data: Readonly<Record<string, unknown>>;
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
    readonly provenance?: Provenance;
  };
  ProposalOpened: Change & {
    readonly proposal: string;
    readonly reason?: PersonalRef;
    readonly metadata?: PersonalRef;
    readonly expiresAt?: string;
    /** Somebody asked for the change itself, and these gates held it. Left out: it was put to its approvers as a proposal. */
    readonly held?: readonly string[];
  };
  ApprovalGiven: { readonly proposal: string; readonly changeDigest: string; readonly reason?: PersonalRef };
  ApprovalDeclined: { readonly proposal: string; readonly changeDigest: string; readonly reason?: PersonalRef };
  /** A person took back what they had said of a proposal, whichever it was. */
  ApprovalWithdrawn: { readonly proposal: string; readonly changeDigest: string; readonly reason?: PersonalRef };
  ProposalEnded: { readonly proposal: string; readonly end: ProposalEnd };
  ProposalCommented: { readonly proposal: string; readonly text: PersonalRef };
  Transitioned: DecidedChange & {
    /** The version that evaluation serves from here on; null before the first start. */
    readonly liveVersion: number | null;
    /** Everything the experiment holds after the change. */
    readonly claims: readonly string[];
    /** Into Ramping, where the configuration has steps. */
    readonly ramp?: RampPosition;
    /** The first start: digest of the analysis plan that is fixed with it; null: there is none. */
    readonly planDigest?: string | null;
    readonly conclusion?: Conclusion;
    /** The guardrail that pulled the brake. */
    readonly guardrail?: GuardrailFinding;
  };
  /** The newest version went live, or was approved where nothing serves yet, without leaving the state. */
  Published: DecidedChange & {
    readonly liveVersion: number | null;
    readonly claims: readonly string[];
    /** Digest of the rules for approving that were in force. */
    readonly approvedUnder: string;
    /** Null unless the state is Ramping and the new content has steps. */
    readonly ramp: RampPosition | null;
    /** It favours an arm on a p value that was read too early; whoever published was free to. */
    readonly warning?: ConclusionWarning;
  };
  RampAdvanced: DecidedChange & { readonly ramp: RampPosition };
  /** The ramp stays at its step: somebody asked for it, or the next step was refused. */
  RampHeld: { readonly step: number; readonly code: string; readonly why?: string; readonly reason?: PersonalRef };
  RampEnded: { readonly step: number };
  ScheduleSet: { readonly changes: readonly ScheduledChange[]; readonly reason?: PersonalRef };
  ScheduleCleared: { readonly reason?: PersonalRef };
  /** A scheduled change had its time. `code` says what refused it. */
  ScheduleFired: {
    readonly scheduled: string;
    readonly end: "done" | "refused";
    readonly code?: string;
    readonly why?: string;
  };
  /** `variant` null: the whole experiment. */
  Killed: { readonly variant: string | null; readonly reason?: PersonalRef };
  Revived: DecidedChange & { readonly variant: string | null };
  /** A guardrail that only notifies was broken. */
  GuardrailBroken: GuardrailFinding;
  /** Something crossed: once for each crossing. */
  SignalRaised: RaisedSignal & { readonly version: number; readonly epoch: number };
  /** What had been raised holds no longer: crossing again is news again. */
  SignalsCleared: { readonly keys: readonly string[] };
  /**
   * What is personal of somebody was removed, as a request for erasure demands. It says that it happened, on whose word
   * and how much of it there was, and not whose it was. It moves the log, not the snapshot.
   */
  Erased: { readonly values: number; readonly reason?: PersonalRef };
  /** Somebody tried and was stopped. It moves the log, not the snapshot. */
  ChangeDenied: DecidedChange & {
    /** What was tried: to make the change, or to approve it. */
    readonly attempt: "make" | "approve";
    readonly code: string;
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
  "ProposalCommented",
  "Transitioned",
  "Published",
  "RampAdvanced",
  "RampHeld",
  "RampEnded",
  "ScheduleSet",
  "ScheduleCleared",
  "ScheduleFired",
  "Killed",
  "Revived",
  "GuardrailBroken",
  "SignalRaised",
  "SignalsCleared",
  "Erased",
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
