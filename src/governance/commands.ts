/** What somebody may ask for, and what deciding needs to know. Imperatives in, facts out. */
import type { ErrorCode } from "../errors.ts";
import type { Configuration } from "../experiment.ts";
import type { LifecycleState, PauseMode } from "../lifecycle.ts";
import type { ExperimentRef } from "../scope.ts";
import type {
  ActorRecord,
  ConclusionWarning,
  DomainEvent,
  GuardrailFinding,
  Outcome,
  PersonalRef,
  Provenance,
  RaisedSignal,
} from "./events.ts";
import type { CustomGateVerdict } from "./gates/judge.ts";
import type { GuardrailsEvidence } from "./guardrails.ts";
import type { PolicyEvidence } from "./policies/policy.ts";
import type { PolicySet } from "./policy-set.ts";
import type { VersionState } from "./state.ts";

interface Texts<Metadata> {
  readonly reason?: string;
  readonly metadata?: Metadata;
}

/** How a change is asked for. */
interface Asking<Metadata> extends Texts<Metadata> {
  /** Open the proposal and wait for approvals, even where the change could be made at once. */
  readonly propose?: boolean;
  /** Go past gates and policies: takes a configured role and a reason. */
  readonly breakGlass?: boolean;
}

/** The commands that there are; what people write in them is text on the way in and a reference behind it. */
export type CommandOf<Metadata> =
  | {
      readonly type: "WriteVersion";
      readonly configuration: Configuration;
      readonly changeDescription?: string;
      /** Only create: an experiment that exists is a conflict. */
      readonly createOnly: boolean;
      readonly provenance?: Provenance;
    }
  | ({
      readonly type: "Transition";
      readonly to: LifecycleState;
      /** Concluding: the move to Archived of an experiment that has run. */
      readonly outcome?: Outcome;
      readonly variant?: string;
      /** Pausing: who is paused; left out, everybody. */
      readonly mode?: PauseMode;
      /** Why the brake is pulled, when a guardrail pulls it. */
      readonly guardrail?: GuardrailFinding;
    } & Asking<Metadata>)
  | ({ readonly type: "Publish"; readonly version: number } & Asking<Metadata>)
  | ({
      readonly type: "RollBack";
      readonly targetVersion: number;
      /** Move the lifecycle in the same commit. */
      readonly transition?: LifecycleState;
    } & Texts<Metadata>)
  | {
      readonly type: "Ramp";
      readonly action: "hold" | "advance" | "abort";
      readonly reason?: string;
      /** The step that the clock found due: asked for in its name, and nothing if the ramp has moved meanwhile. */
      readonly due?: number;
    }
  | {
      readonly type: "Schedule";
      /** Replaces what was scheduled; none: nothing is. */
      readonly changes: readonly {
        readonly at: string;
        readonly to: LifecycleState;
        readonly outcome?: Outcome;
        readonly variant?: string;
        readonly mode?: PauseMode;
      }[];
      readonly reason?: string;
    }
  /** The clock found a scheduled change due. */
  | { readonly type: "Fire"; readonly scheduled: string }
  | {
      readonly type: "Kill";
      /** Left out: the whole experiment. */
      readonly variant?: string;
      readonly reason?: string;
      /** The guardrail that throws the switch, where one does. */
      readonly guardrail?: GuardrailFinding;
    }
  | ({ readonly type: "Revive"; readonly variant?: string } & Asking<Metadata>)
  /** A guardrail that only notifies was broken. */
  | { readonly type: "Notify"; readonly guardrail: GuardrailFinding }
  /** Everything that holds at this look. */
  | {
      readonly type: "Signal";
      readonly signals: readonly RaisedSignal[];
      readonly version: number;
      readonly epoch: number;
    }
  | {
      readonly type: "Say";
      readonly decision: "approve" | "decline" | "withdraw";
      /** The change digest that the person saw. */
      readonly changeDigest: string;
      readonly reason?: string;
    }
  | { readonly type: "Comment"; readonly proposal: string; readonly text: string }
  /** Takes a proposal back: whoever made it may, and nobody else. */
  | { readonly type: "WithdrawProposal"; readonly proposal: string; readonly reason?: PersonalRef };

/** Free text is already a reference here: the decider never sees what a person wrote. */
export type Command = CommandOf<PersonalRef>;

/** Time, ids, people and what was looked up beforehand: everything a decision rests on besides state and command. */
export interface Evidence extends PolicyEvidence {
  readonly ref: ExperimentRef;
  readonly actor: ActorRecord;
  readonly policySet: PolicySet;
  /** What the store has just refused to give, because another experiment holds it; null otherwise. */
  readonly claimed: { readonly claim: string; readonly holder: string } | null;
  /** Slots of the content's exclusion group that others hold; null where none are wanted, or they could not be read. */
  readonly takenSlots: { readonly slots: readonly number[]; readonly holders: readonly string[] } | null;
  /** What guardrails said, of a change that lets more people in to what serves. */
  readonly guardrails: GuardrailsEvidence;
  /** What the host's own gates said, by gate name. */
  readonly customGates: Readonly<Record<string, CustomGateVerdict>>;
  /** Rolling back: the version whose content is to come back; null when there is none of that number. */
  readonly target: (VersionState & { readonly author: PersonalRef }) | null;
  /** Concluding: the digest of the results as they stand; null when they could not be read. */
  readonly resultsDigest: string | null;
  /** Shipping or publishing: what there is to say of the results that it rests on; null when nothing is, or they could not be read. */
  readonly conclusionWarning: ConclusionWarning | null;
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
