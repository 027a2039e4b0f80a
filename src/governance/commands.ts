/** What somebody may ask for, and what deciding needs to know. Imperatives in, facts out. */
import type { ErrorCode } from "../errors.ts";
import type { Configuration } from "../experiment.ts";
import type { LifecycleState } from "../lifecycle.ts";
import type { ExperimentRef } from "../scope.ts";
import type { ActorRecord, DomainEvent, PersonalRef } from "./events.ts";
import type { PolicyEvidence } from "./policies/policy.ts";
import type { PolicySet } from "./policy-set.ts";

/** Free text is already a reference here: the decider never sees what a person wrote. */
export type Command =
  | {
      readonly type: "WriteVersion";
      readonly configuration: Configuration;
      readonly changeDescription?: PersonalRef;
      /** Only create: an experiment that exists is a conflict. */
      readonly createOnly: boolean;
    }
  | {
      readonly type: "Transition";
      readonly to: LifecycleState;
      readonly reason?: PersonalRef;
      readonly metadata?: PersonalRef;
    }
  | {
      readonly type: "Say";
      readonly decision: "approve" | "decline" | "withdraw";
      /** The change digest that the person saw. */
      readonly changeDigest: string;
      readonly reason?: PersonalRef;
    };

/** Time, ids, people and what was looked up beforehand: everything a decision rests on besides state and command. */
export interface Evidence extends PolicyEvidence {
  readonly ref: ExperimentRef;
  readonly actor: ActorRecord;
  readonly policySet: PolicySet;
  /** What the store has just refused to give, because another experiment holds it; null otherwise. */
  readonly claimed: { readonly claim: string; readonly holder: string } | null;
  /** For a proposal that this command may open. */
  readonly proposalId: string;
  /** For the salt of an experiment that names none. */
  readonly randomSalt: string;
}

/** A refusal, with what the problem document shows. */
export interface Denial {
  readonly outcome: "deny";
  readonly code: ErrorCode;
  readonly message: string;
  readonly details: Readonly<Record<string, unknown>>;
  /** The event that records the attempt; null where nothing was judged. */
  readonly record: DomainEvent | null;
}

export type Decision =
  | {
      readonly outcome: "commit";
      readonly events: readonly DomainEvent[];
      readonly claims: { readonly take: readonly string[]; readonly release: readonly string[] };
    }
  /** Not yet: the change waits as this proposal. */
  | { readonly outcome: "hold"; readonly events: readonly DomainEvent[]; readonly proposalId: string }
  /** It was so already. */
  | { readonly outcome: "unchanged" }
  | Denial;

export const deny = (
  code: ErrorCode,
  message: string,
  details: Readonly<Record<string, unknown>> = {},
  record: DomainEvent | null = null,
): Denial => ({ outcome: "deny", code, message, details, record });

export const noClaims = { take: [], release: [] } as const;
