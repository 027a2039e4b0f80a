/** `evolve(state, event) → state`: how each fact changes the state. Nothing is decided here, so nothing can be refused. */
import { allocationOf } from "./allocation-key.ts";
import { frozenAt } from "./frozen-plan.ts";
import { staysIn } from "./serving.ts";
import { holdsSurfaces, isServing } from "../lifecycle.ts";
import type { ActorRecord, EventRecord, PersonalRef, RampPosition } from "./events.ts";
import {
  approvedKept,
  earlierPlansKept,
  stateShape,
  writtenKept,
  type Approval,
  type ExperimentState,
  type Proposal,
  type VersionState,
} from "./state.ts";

/** What of a record `evolve` looks at: hashes and seq are the chain's business. */
export type Occurrence = Pick<EventRecord, "at" | "actor"> &
  (EventRecord extends infer R ? (R extends EventRecord ? Pick<R, "type" | "data"> : never) : never);

const withWord = (proposal: Proposal, word: Approval): Proposal => {
  const others = proposal.approvals.filter((approval) => approval.actor.ref !== word.actor.ref);
  return { ...proposal, approvals: [...others, word] };
};

const without = (proposal: Proposal, ref: string): Proposal => ({
  ...proposal,
  approvals: proposal.approvals.filter((approval) => approval.actor.ref !== ref),
});

const mapProposal = (
  state: ExperimentState,
  id: string,
  change: (proposal: Proposal) => Proposal,
): ExperimentState => ({
  ...state,
  proposals: state.proposals.map((proposal) => (proposal.id === id ? change(proposal) : proposal)),
});

type Of<Type extends EventRecord["type"]> = Extract<Occurrence, { type: Type }>;

const versionOf = ({ version, digest, configuration, provenance }: Of<"VersionWritten">["data"]): VersionState => ({
  version,
  digest,
  configuration,
  ...(provenance === undefined ? {} : { provenance }),
});

/** Everyone behind a version: whoever posted it, and whoever wrote the same content before, here or where it comes from. */
const authorsOf = (
  written: ExperimentState["written"],
  { actor, data: { digest, provenance } }: Of<"VersionWritten">,
): readonly PersonalRef[] => {
  const before = written.find((content) => content.digest === digest)?.by ?? [];
  const brought = provenance === undefined ? [] : [provenance.contentBy].flat();
  return [...new Set([...before, actor.ref, ...brought])];
};

const withWritten = (
  written: ExperimentState["written"],
  digest: string,
  by: readonly PersonalRef[],
): ExperimentState["written"] =>
  [...written.filter((content) => content.digest !== digest), { digest, by }].slice(-writtenKept);

/** Whoever is drawn for a variant that was killed is not exposed: its share is nothing. */
export const plannedVariants = (
  { variants }: Pick<VersionState["configuration"], "variants">,
  killed: readonly string[],
): readonly { readonly key: string; readonly weight: number }[] =>
  variants.map(({ key, weight }) => ({ key, weight: killed.includes(key) ? 0 : weight }));

/** The plans of earlier epochs, and that of the one that ends now, if it ever began. */
const plansWith = ({ epoch, live, killed, earlierPlans }: ExperimentState): ExperimentState["earlierPlans"] => {
  if (live === null) return earlierPlans;
  const variants = plannedVariants(live.configuration, killed.variants);
  return [...earlierPlans, { epoch, variants }].slice(-earlierPlansKept);
};

const withoutApproval = (state: ExperimentState, digest: string): ExperimentState["approved"] =>
  state.approved.filter((content) => content.digest !== digest);

const withApproval = (state: ExperimentState, digest: string, policySetDigest: string): ExperimentState["approved"] => {
  const served = state.approved.some((content) => content.digest === digest && content.served === true);
  const approval = { digest, policySetDigest, ...(served ? ({ served: true } as const) : {}) };
  return [...withoutApproval(state, digest), approval].slice(-approvedKept);
};

/** Content that is live has served: going back to it will be a brake. */
const markServed = (approved: ExperimentState["approved"], digest: string | undefined): ExperimentState["approved"] =>
  approved.map((content) => (content.digest === digest ? { ...content, served: true } : content));

/** The state with other content live: whoever is assigned differently from here on is in a new epoch. */
const goLive = (state: ExperimentState, live: VersionState, at: string): ExperimentState => {
  const reallocated =
    state.live !== null && allocationOf(live.configuration) !== allocationOf(state.live.configuration);
  const known = new Set(live.configuration.variants.map(({ key }) => key));
  return {
    ...state,
    live,
    liveSince: at,
    epoch: reallocated ? state.epoch + 1 : state.epoch,
    earlierPlans: reallocated ? plansWith(state) : state.earlierPlans,
    approved: markServed(state.approved, live.digest),
    killed: { ...state.killed, variants: state.killed.variants.filter((key) => known.has(key)) },
  };
};

const rampFrom = (
  position: RampPosition | null | undefined,
  at: string,
  startedBy: ActorRecord,
): ExperimentState["ramp"] => (position == null ? null : { ...position, since: at, startedBy, held: null });

const keepsFuture = (to: ExperimentState["lifecycle"]): boolean =>
  to === "Approved" || to === "PendingApproval" || holdsSurfaces(to);

const transitioned = (before: ExperimentState, { data, at, actor }: Of<"Transitioned">): ExperimentState => {
  const { to } = data;
  const starts = isServing(to) && !holdsSurfaces(before.lifecycle);
  const state = starts ? goLive(before, before.latest, at) : before;
  const approved =
    to === "Approved"
      ? withApproval(state, data.digest, data.policySetDigest)
      : to === "Rejected" || data.guardrail !== undefined
        ? withoutApproval(state, data.digest)
        : state.approved;
  const paused = to === "Paused" ? (data.parameters.mode ?? "control") : null;
  // A resumed experiment has started anew; one whose enrolment is stopped goes on for whoever is in.
  const servingSince = isServing(to)
    ? isServing(before.lifecycle)
      ? (before.servingSince ?? at)
      : at
    : staysIn({ lifecycle: to, paused })
      ? before.servingSince
      : null;
  return {
    ...state,
    lifecycle: to,
    since: at,
    servingSince,
    approved,
    authorsSinceApproval: to === "Approved" ? [] : state.authorsSinceApproval,
    frozen: starts ? (state.frozen ?? frozenAt(before.latest, at, state.epoch, data.planDigest)) : state.frozen,
    claims: data.claims,
    ramp:
      to === "Ramping"
        ? rampFrom(data.ramp, at, data.onBehalfOf ?? actor)
        : to === "Paused" && state.ramp !== null
          ? // It goes on from this step when it is resumed, and not by itself.
            { ...state.ramp, dueAt: null }
          : null,
    schedule: keepsFuture(to) ? state.schedule : [],
    killed: to === "Draft" ? { experiment: false, variants: [] } : state.killed,
    conclusion: to === "Archived" && data.conclusion !== undefined ? { ...data.conclusion, at } : null,
    notified: servingSince === before.servingSince ? state.notified : [],
    paused,
  };
};

const published = (before: ExperimentState, { data, at, actor }: Of<"Published">): ExperimentState => {
  const state = data.liveVersion === null ? before : goLive(before, before.latest, at);
  return {
    ...state,
    approved: markServed(
      withApproval(state, data.digest, data.approvedUnder),
      data.liveVersion === null ? undefined : data.digest,
    ),
    // Content that merely came back was seen by nobody: its authors stay.
    authorsSinceApproval: data.gates.length === 0 && data.kind === "rollback" ? state.authorsSinceApproval : [],
    claims: data.claims,
    ramp: rampFrom(data.ramp, at, before.ramp?.startedBy ?? actor),
    notified: data.liveVersion === null ? state.notified : [],
  };
};

/** A decline of content says that it is not good; a decline of a move says nothing about what is moved. */
const declinesContent = ({ kind, to }: Proposal): boolean =>
  kind === "publish" || kind === "rollback" || (kind === "transition" && to === "Approved");

const killSwitched = (state: ExperimentState, variant: string | null, on: boolean): ExperimentState => {
  if (variant === null) return { ...state, killed: { ...state.killed, experiment: on } };
  const others = state.killed.variants.filter((key) => key !== variant);
  // Who gets what is another question from here on.
  return {
    ...state,
    killed: { ...state.killed, variants: on ? [...others, variant] : others },
    epoch: state.epoch + 1,
    earlierPlans: plansWith(state),
    notified: [],
  };
};

const apply = (state: ExperimentState, event: Exclude<Occurrence, { type: "Created" }>): ExperimentState => {
  switch (event.type) {
    case "Reopened":
      // Approvals belonged to the experiment that was archived; whoever is assigned from here on is a new population.
      return {
        ...state,
        lifecycle: "Draft",
        since: event.at,
        live: null,
        liveSince: null,
        epoch: state.epoch + 1,
        earlierPlans: plansWith(state),
        approved: [],
        proposals: [],
        ramp: null,
        schedule: [],
        killed: { experiment: false, variants: [] },
        conclusion: null,
        frozen: null,
        signals: [],
        paused: null,
      };
    case "VersionWritten": {
      const by = authorsOf(state.written, event);
      return {
        ...state,
        latest: versionOf(event.data),
        authorsSinceApproval: [...new Set([...state.authorsSinceApproval, ...by])],
        written: withWritten(state.written, event.data.digest, by),
      };
    }
    case "ProposalOpened": {
      const { proposal: id, reason: _reason, metadata: _metadata, ...change } = event.data;
      return {
        ...state,
        proposals: [
          ...state.proposals,
          { ...change, id, proposedBy: event.actor, proposedAt: event.at, approvals: [], comments: [] },
        ],
      };
    }
    case "ApprovalGiven":
    case "ApprovalDeclined": {
      const decision = event.type === "ApprovalGiven" ? "approve" : "decline";
      const about = state.proposals.find(({ id }) => id === event.data.proposal);
      const voided = decision === "decline" && about !== undefined && declinesContent(about);
      const next = voided ? { ...state, approved: withoutApproval(state, about.digest) } : state;
      return mapProposal(next, event.data.proposal, (proposal) =>
        withWord(proposal, { actor: event.actor, decision, at: event.at }),
      );
    }
    case "ApprovalWithdrawn":
      return mapProposal(state, event.data.proposal, (proposal) => without(proposal, event.actor.ref));
    case "ProposalEnded":
      return { ...state, proposals: state.proposals.filter((proposal) => proposal.id !== event.data.proposal) };
    case "Transitioned":
      return transitioned(state, event);
    case "ProposalCommented":
      return mapProposal(state, event.data.proposal, (proposal) => ({
        ...proposal,
        comments: [...proposal.comments, { actor: event.actor, at: event.at, text: event.data.text }],
      }));
    case "Published":
      return published(state, event);
    case "RampAdvanced":
      return { ...state, ramp: rampFrom(event.data.ramp, event.at, state.ramp?.startedBy ?? event.actor) };
    case "RampHeld":
      return state.ramp === null
        ? state
        : { ...state, ramp: { ...state.ramp, held: { code: event.data.code, why: event.data.why ?? null } } };
    case "RampEnded":
      return { ...state, ramp: null };
    case "ScheduleSet":
      return {
        ...state,
        schedule: event.data.changes.map((change) => ({ ...change, scheduledBy: event.actor })),
      };
    case "ScheduleCleared":
      return { ...state, schedule: [] };
    case "ScheduleFired":
      return { ...state, schedule: state.schedule.filter(({ id }) => id !== event.data.scheduled) };
    case "Killed":
      return killSwitched(state, event.data.variant, true);
    case "Revived":
      return killSwitched(state, event.data.variant, false);
    case "GuardrailBroken":
      return { ...state, notified: [...state.notified, event.data.guardrail ?? event.data.metric] };
    case "SignalRaised":
      return { ...state, signals: [...state.signals, event.data.key] };
    case "SignalsCleared":
      return { ...state, signals: state.signals.filter((key) => !event.data.keys.includes(key)) };
    case "Erased":
    case "ChangeDenied":
      return state;
    default:
      return event satisfies never;
  }
};

/**
 * The state after one more event. `Created` must come first and its version right after it: the two are written in
 * one commit, and the state between them has no configuration.
 */
export const evolve = (state: ExperimentState | null, event: Occurrence): ExperimentState | null => {
  if (event.type === "Created") {
    if (state !== null) throw new TypeError("history: Created twice");
    return null;
  }
  if (state !== null) {
    const next = apply(state, event);
    return next === state ? state : { ...next, updatedAt: event.at, updatedBy: event.actor.ref };
  }
  if (event.type !== "VersionWritten") throw new TypeError(`history: ${event.type} before the first version`);
  const latest = versionOf(event.data);
  const by = authorsOf([], event);
  return {
    shape: stateShape,
    name: latest.configuration.name,
    lifecycle: "Draft",
    since: event.at,
    servingSince: null,
    latest,
    live: null,
    liveSince: null,
    epoch: 0,
    earlierPlans: [],
    approved: [],
    authorsSinceApproval: by,
    written: withWritten([], latest.digest, by),
    proposals: [],
    claims: [],
    ramp: null,
    schedule: [],
    killed: { experiment: false, variants: [] },
    conclusion: null,
    frozen: null,
    signals: [],
    notified: [],
    paused: null,
    createdAt: event.at,
    updatedAt: event.at,
    updatedBy: event.actor.ref,
  };
};

/** The state that a whole history leads to; null for an empty one. */
export const replay = (events: Iterable<Occurrence>): ExperimentState | null => {
  let state: ExperimentState | null = null;
  for (const event of events) state = evolve(state, event);
  return state;
};
