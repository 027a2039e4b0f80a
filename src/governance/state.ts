/** The state of one experiment: what `decide` looks at and `evolve` builds from the history. */
import type { SettledConfiguration } from "../experiment.ts";
import type { LifecycleState } from "../lifecycle.ts";
import type { ActorRecord, Change, PersonalRef } from "./events.ts";

export interface Approval {
  readonly actor: ActorRecord;
  readonly decision: "approve" | "decline";
  /** ISO 8601. */
  readonly at: string;
}

/** A change that waits. Approvals belong to it alone and are spent with it. */
export interface Proposal extends Change {
  readonly id: string;
  readonly proposedBy: ActorRecord;
  readonly proposedAt: string;
  readonly expiresAt?: string;
  /** The latest word of each person, in the order they first spoke. */
  readonly approvals: readonly Approval[];
}

export interface VersionState {
  readonly version: number;
  readonly digest: string;
  readonly configuration: SettledConfiguration;
}

/** The weights of an epoch that is over. */
export interface EpochAllocation {
  readonly epoch: number;
  readonly variants: readonly { readonly key: string; readonly weight: number }[];
}

export interface ExperimentState {
  readonly name: string;
  readonly lifecycle: LifecycleState;
  /** ISO 8601; when the present lifecycle state was entered. */
  readonly since: string;
  /** ISO 8601; since when it has served without a break; null while it does not serve. */
  readonly servingSince: string | null;
  readonly latest: VersionState;
  /** What evaluation serves; null before the first start. */
  readonly live: VersionState | null;
  readonly epoch: number;
  /**
   * How earlier epochs shared out their subjects, oldest first: their sample ratios are tested against these. Bounded
   * to the last {@link earlierPlansKept}.
   */
  readonly earlierPlans: readonly EpochAllocation[];
  /**
   * Content that may run, with the rules it was approved under, newest last. Bounded: content approved longer ago than the last
   * {@link approvedKept} approvals needs approval again.
   */
  readonly approved: readonly { readonly digest: string; readonly policySetDigest: string }[];
  /** Everyone who wrote a version since the last approval: whoever is here cannot be the second pair of eyes. */
  readonly authorsSinceApproval: readonly PersonalRef[];
  readonly proposals: readonly Proposal[];
  /** Names in the scope that this experiment alone holds: its surfaces, and its pairs with conflicting experiments. */
  readonly claims: readonly string[];
  readonly createdAt: string;
  readonly updatedAt: string;
  readonly updatedBy: PersonalRef;
}

export const approvedKept = 100;
export const earlierPlansKept = 50;

/** Every reference that the state names, each once: what a reader needs values for. */
export const peopleOf = (state: ExperimentState): readonly PersonalRef[] => [
  ...new Set([
    state.updatedBy,
    ...state.authorsSinceApproval,
    ...state.proposals.flatMap((proposal) => [
      proposal.proposedBy.ref,
      ...proposal.approvals.map((approval) => approval.actor.ref),
    ]),
  ]),
];
