/** Views of the state for readers: references become names where they have not been erased, gates become what is missing. */
import { allowedTransitions, isServing, type LifecycleState } from "../lifecycle.ts";
import type { ExperimentRef } from "../scope.ts";
import type { ActorRecord, EventRecord, PersonalRef } from "./events.ts";
import { applicable, type PolicySet } from "./policy-set.ts";
import { approvalLacking, judgeGates, openProposals, transitionChange } from "./proposals.ts";
import type { ExperimentState, Proposal } from "./state.ts";
import { type Snapshot, surfacesOf } from "./store.ts";

type People = ReadonlyMap<PersonalRef, string>;

/** The value behind a reference; null when it was erased. */
export const personOf = (people: People, ref: PersonalRef | undefined): string | null =>
  ref === undefined ? null : (people.get(ref) ?? null);

/** Everything a view of one experiment rests on. */
export interface ViewContext {
  readonly ref: ExperimentRef;
  readonly people: People;
  readonly policySet: PolicySet;
  readonly now: number;
  /** Whose view it is: role gates look different to different people. */
  readonly asker: ActorRecord;
}

/** Strong: the revision says which state, the hash says of which history. */
export const etagOf = (snapshot: Snapshot): string => `"${snapshot.revision}-${snapshot.revisionHash.slice(0, 16)}"`;

export const presentProposal = (
  state: ExperimentState,
  proposal: Proposal,
  context: ViewContext,
): Readonly<Record<string, unknown>> => {
  const { gates } = applicable(context.policySet, proposal.kind, proposal.from, proposal.to);
  const judged = judgeGates(gates, state, proposal, context.asker);
  return {
    id: proposal.id,
    kind: proposal.kind,
    fromState: proposal.from,
    targetState: proposal.to,
    version: proposal.version,
    digest: proposal.digest,
    changeDigest: proposal.changeDigest,
    proposedBy: personOf(context.people, proposal.proposedBy.ref),
    proposedAt: proposal.proposedAt,
    expiresAt: proposal.expiresAt ?? null,
    approvals: proposal.approvals.map(({ actor, decision, at }) => ({
      actor: personOf(context.people, actor.ref),
      kind: actor.kind,
      roles: actor.roles,
      decision,
      timestamp: at,
    })),
    missing: judged.missing,
    declinedBy: judged.declinedBy.map((actor) => personOf(context.people, actor.ref)),
  };
};

/** What stands between the asker and each move: gates and approvals. Policies look at evidence that only a real attempt gathers. */
const blockedBy = (state: ExperimentState, to: LifecycleState, context: ViewContext): readonly string[] => {
  const set = applicable(context.policySet, "transition", state.lifecycle, to);
  const change = transitionChange(context.ref, state, to, set);
  const proposal = openProposals(context.ref, state, context.policySet, context.now).find(
    (open) => open.changeDigest === change.changeDigest,
  );
  const judged = judgeGates(set.gates, state, proposal ?? null, context.asker);
  const unapproved = isServing(to) ? approvalLacking(state, change, context.policySet) : null;
  const declined = judged.declinedBy.length > 0 ? ["the change was declined"] : [];
  return [...(unapproved === null ? [] : [unapproved]), ...judged.missing, ...declined];
};

/** The whole snapshot, as `GET /{name}` gives it. */
export const presentSnapshot = (snapshot: Snapshot, context: ViewContext): Readonly<Record<string, unknown>> => {
  const { state } = snapshot;
  const allowed = allowedTransitions(state.lifecycle);
  return {
    experimentName: state.name,
    tenant: context.ref.tenant,
    environment: context.ref.environment,
    state: state.lifecycle,
    allowedTransitions: allowed,
    blockedBy: Object.fromEntries(allowed.map((to) => [to, blockedBy(state, to, context)])),
    latestVersion: state.latest.version,
    liveVersion: state.live?.version ?? null,
    digest: state.latest.digest,
    liveDigest: state.live?.digest ?? null,
    epoch: state.epoch,
    configuration: state.latest.configuration,
    proposals: openProposals(context.ref, state, context.policySet, context.now).map((proposal) =>
      presentProposal(state, proposal, context),
    ),
    surfaces: surfacesOf(state.claims),
    ramp: null,
    schedule: null,
    revision: snapshot.revision,
    createdAt: state.createdAt,
    updatedAt: state.updatedAt,
    updatedBy: personOf(context.people, state.updatedBy),
  };
};

/** One line of the lifecycle history. */
export const presentTransition = (
  event: Extract<EventRecord, { type: "Transitioned" }>,
  people: People,
): Readonly<Record<string, unknown>> => ({
  seq: event.seq,
  from: event.data.from,
  to: event.data.to,
  timestamp: event.at,
  actor: personOf(people, event.actor.ref),
  reason: personOf(people, event.data.reason),
  version: event.data.version,
  digest: event.data.digest,
  changeDigest: event.data.changeDigest,
});

/** One version, as `GET /{name}/versions/{n}` gives it. */
export const presentVersion = (
  event: Extract<EventRecord, { type: "VersionWritten" }>,
  people: People,
): Readonly<Record<string, unknown>> => ({
  version: event.data.version,
  digest: event.data.digest,
  configuration: event.data.configuration,
  createdAt: event.at,
  createdBy: personOf(people, event.actor.ref),
  changeDescription: personOf(people, event.data.changeDescription),
});
