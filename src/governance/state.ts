/** The state of one experiment: what `decide` looks at and `evolve` builds from the history. */
import type { SettledConfiguration } from "../experiment.ts";
import type { LifecycleState, PauseMode } from "../lifecycle.ts";
import type {
  ActorRecord,
  Change,
  Conclusion,
  PersonalRef,
  Provenance,
  RampPosition,
  ScheduledChange,
} from "./events.ts";
import type { FrozenPlan } from "./frozen-plan.ts";

export interface Approval {
  readonly actor: ActorRecord;
  readonly decision: "approve" | "decline";
  /** ISO 8601. */
  readonly at: string;
}

export interface Comment {
  readonly actor: ActorRecord;
  readonly at: string;
  readonly text: PersonalRef;
}

/** A change that waits. Approvals belong to it alone and are spent with it. */
export interface Proposal extends Change {
  readonly id: string;
  readonly proposedBy: ActorRecord;
  readonly proposedAt: string;
  readonly expiresAt?: string;
  /** The latest word of each person, in the order they first spoke. */
  readonly approvals: readonly Approval[];
  /** Oldest first. */
  readonly comments: readonly Comment[];
}

export interface VersionState {
  readonly version: number;
  readonly digest: string;
  readonly configuration: SettledConfiguration;
  readonly provenance?: Provenance;
}

export interface RampState extends RampPosition {
  /** ISO 8601; when this step began. */
  readonly since: string;
  /** Who asked for the ramp: its steps are judged by their roles. */
  readonly startedBy: ActorRecord;
  /** Why it does not go on by itself; null while it does. */
  readonly held: { readonly code: string; readonly why: string | null } | null;
}

/** A scheduled change, and whose roles count when it fires. */
export interface WaitingChange extends ScheduledChange {
  readonly scheduledBy: ActorRecord;
}

/** Content that may run. */
export interface ApprovedContent {
  readonly digest: string;
  /** The rules for approving that it was approved under. */
  readonly policySetDigest: string;
  /** It has been live since. */
  readonly served?: true;
}

/** Who has ever written some content, whoever posts it again. */
export interface WrittenContent {
  readonly digest: string;
  readonly by: readonly PersonalRef[];
}

/** The weights of an epoch that is over. */
export interface EpochAllocation {
  readonly epoch: number;
  readonly variants: readonly { readonly key: string; readonly weight: number }[];
}

/**
 * Rises with every change of what a state is made of. A stored state of an older shape is not patched: it is built again
 * from its history, which is enough.
 */
export const stateShape = 6;

export interface ExperimentState {
  /** The {@link stateShape} of the code that made it. */
  readonly shape: number;
  readonly name: string;
  readonly lifecycle: LifecycleState;
  /** ISO 8601; when the present lifecycle state was entered. */
  readonly since: string;
  /** ISO 8601; since when it has served without a break, a pause that stops enrolment included; null while it does not. */
  readonly servingSince: string | null;
  readonly latest: VersionState;
  /** What evaluation serves; null before the first start. */
  readonly live: VersionState | null;
  /** ISO 8601; since when that version is live: guardrails look at what came after. Null before the first start. */
  readonly liveSince: string | null;
  readonly epoch: number;
  /**
   * How earlier epochs shared out their subjects, oldest first: their sample ratios are tested against these. Bounded
   * to the last {@link earlierPlansKept}.
   */
  readonly earlierPlans: readonly EpochAllocation[];
  /**
   * Newest last. Bounded: content approved longer ago than the last {@link approvedKept} approvals needs approval
   * again.
   */
  readonly approved: readonly ApprovedContent[];
  /** Everyone who wrote a version since the last approval: whoever is here cannot be the second pair of eyes. */
  readonly authorsSinceApproval: readonly PersonalRef[];
  /** Newest last, and bounded to {@link writtenKept}: content that is posted again keeps its authors. */
  readonly written: readonly WrittenContent[];
  readonly proposals: readonly Proposal[];
  /** Names in the scope that this experiment alone holds: its surfaces, and its pairs with conflicting experiments. */
  readonly claims: readonly string[];
  readonly ramp: RampState | null;
  /** By time. */
  readonly schedule: readonly WaitingChange[];
  /** How it is paused; null unless it is. */
  readonly paused: PauseMode | null;
  /** What kill switches have stopped. */
  readonly killed: { readonly experiment: boolean; readonly variants: readonly string[] };
  /** Set while Archived, for an experiment that had run. */
  readonly conclusion: (Conclusion & { readonly at: string }) | null;
  /** What was fixed of the analysis at the first start; null before it, and after reopening until the next. */
  readonly frozen: FrozenPlan | null;
  /** Keys of the signals that held at the last look: what holds still is not raised again. */
  readonly signals: readonly string[];
  /** Guardrails that have notified of the present version, epoch and start. */
  readonly notified: readonly string[];
  readonly createdAt: string;
  readonly updatedAt: string;
  readonly updatedBy: PersonalRef;
}

export const approvedKept = 100;
export const earlierPlansKept = 50;
export const writtenKept = 50;

/** People that the state names, each once. */
export const actorsOf = (state: ExperimentState): readonly PersonalRef[] => [
  ...new Set([
    state.updatedBy,
    ...state.authorsSinceApproval,
    ...state.written.flatMap(({ by }) => by),
    ...state.proposals.flatMap((proposal) => [
      proposal.proposedBy.ref,
      ...proposal.approvals.map((approval) => approval.actor.ref),
      ...proposal.comments.map((comment) => comment.actor.ref),
    ]),
    ...(state.ramp === null ? [] : [state.ramp.startedBy.ref]),
    ...state.schedule.map((change) => change.scheduledBy.ref),
  ]),
];

/** Every reference that the state names, people and texts: what a reader needs values for. */
export const peopleOf = (state: ExperimentState): readonly PersonalRef[] => [
  ...new Set([
    ...actorsOf(state),
    ...state.proposals.flatMap((proposal) => proposal.comments.map((comment) => comment.text)),
  ]),
];
