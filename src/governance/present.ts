/** Views of the state for readers: references become names where they have not been erased, gates become what is missing. */
import { allowedTransitions, isServing, type LifecycleState } from "../lifecycle.ts";
import type { ExperimentRef } from "../scope.ts";
import type { ActorRecord, EventRecord, PersonalRef, Provenance } from "./events.ts";
import type { PolicySet } from "./policy-set.ts";
import { approvalLacking, changeOf, judgeGates, openProposals, rulesFor, transitionTo } from "./proposals.ts";
import { servedTraffic } from "./serving.ts";
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
  const { gates } = rulesFor(context.policySet, state, proposal);
  const judged = judgeGates(gates, state, proposal, context.asker);
  return {
    id: proposal.id,
    kind: proposal.kind,
    fromState: proposal.from,
    targetState: proposal.to,
    version: proposal.version,
    digest: proposal.digest,
    changeDigest: proposal.changeDigest,
    parameters: proposal.parameters,
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
    comments: proposal.comments.map(({ actor, at, text }) => ({
      actor: personOf(context.people, actor.ref),
      timestamp: at,
      text: personOf(context.people, text),
    })),
    missing: judged.missing,
    declinedBy: judged.declinedBy.map((actor) => personOf(context.people, actor.ref)),
  };
};

/** What stands between the asker and each move: gates and approvals. Policies look at evidence that only a real attempt gathers. */
const blockedBy = (state: ExperimentState, to: LifecycleState, context: ViewContext): readonly string[] => {
  const open = openProposals(context.ref, state, context.policySet, context.now);
  // Concluding has parameters: what has been proposed says which.
  const proposed = open.find((proposal) => proposal.kind === "transition" && proposal.to === to);
  const aim = transitionTo(to, proposed?.parameters);
  const set = rulesFor(context.policySet, state, aim);
  const change = changeOf(context.ref, state, aim, set);
  const judged = judgeGates(set.gates, state, proposed ?? null, context.asker);
  const unapproved = isServing(to) ? approvalLacking(state, change, context.policySet) : null;
  const declined = judged.declinedBy.length > 0 ? ["the change was declined"] : [];
  return [...(unapproved === null ? [] : [unapproved]), ...judged.missing, ...declined];
};

export const presentRamp = (state: ExperimentState, people: People): Readonly<Record<string, unknown>> | null => {
  const { ramp } = state;
  if (ramp === null) return null;
  const steps = state.live?.configuration.ramp?.steps ?? [];
  return {
    step: ramp.step,
    steps: steps.length,
    traffic: ramp.traffic,
    since: ramp.since,
    nextAt: ramp.dueAt,
    startedBy: personOf(people, ramp.startedBy.ref),
    held: ramp.held,
  };
};

export const presentSchedule = (state: ExperimentState, people: People): readonly Readonly<Record<string, unknown>>[] =>
  state.schedule.map(({ id, at, to, parameters, scheduledBy }) => ({
    id,
    at,
    targetState: to,
    ...parameters,
    scheduledBy: personOf(people, scheduledBy.ref),
  }));

/** What is fixed of the analysis; null before the first start. */
export const presentPlan = ({ frozen }: ExperimentState): Readonly<Record<string, unknown>> | null =>
  frozen === null ? null : { frozenAt: frozen.at, version: frozen.version, digest: frozen.digest, plan: frozen.plan };

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
    traffic: servedTraffic(state),
    ramp: presentRamp(state, context.people),
    schedule: state.schedule.length === 0 ? null : presentSchedule(state, context.people),
    paused: state.paused === null ? null : { mode: state.paused },
    killed: state.killed,
    conclusion: state.conclusion,
    plan: presentPlan(state),
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
  ...(event.data.breakGlass === true ? { breakGlass: true } : {}),
  ...(event.data.parameters.mode === undefined ? {} : { mode: event.data.parameters.mode }),
  ...(event.data.conclusion === undefined ? {} : { conclusion: event.data.conclusion }),
  ...(event.data.guardrail === undefined ? {} : { guardrail: event.data.guardrail }),
  ...(event.data.onBehalfOf === undefined ? {} : { onBehalfOf: personOf(people, event.data.onBehalfOf.ref) }),
});

const presentProvenance = (provenance: Provenance | undefined): Readonly<Record<string, unknown>> => {
  switch (provenance?.kind) {
    case undefined:
      return { isRollback: false };
    case "rollback": {
      const { rolledBackFrom, rolledBackTo } = provenance;
      return { isRollback: true, rolledBackFrom, rolledBackTo };
    }
    case "promotion": {
      const { environment, version, digest } = provenance;
      return { isRollback: false, promotedFrom: { environment, version, digest } };
    }
    default:
      return provenance satisfies never;
  }
};

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
  ...presentProvenance(event.data.provenance),
});
