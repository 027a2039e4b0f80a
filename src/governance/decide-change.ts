/** Deciding one change, of whatever kind: all gates, then all policies, then the claims. */
import { isServing } from "../lifecycle.ts";
import { limits } from "../limits.ts";
import { claimsAfter, exclusionShortage } from "./claims.ts";
import { type Decision, deny, type Evidence } from "./commands.ts";
import type {
  ActorRecord,
  Change,
  DecidedChange,
  DomainEvent,
  GateResult,
  GuardrailFinding,
  Observed,
  PersonalRef,
  RampPosition,
} from "./events.ts";
import { evolve } from "./evolve.ts";
import { isSlotClaim } from "./exclusion.ts";
import { planDigest } from "./frozen-plan.ts";
import { guardrailResults } from "./guardrails.ts";
import { judgePolicy } from "./policies/judge.ts";
import { type ChangeContext, type PolicyContext, type PolicyResult, presentPolicyResult } from "./policies/policy.ts";
import { approvalRules, type ApplicablePolicySet } from "./policy-set.ts";
import {
  type Aim,
  approvalLacking,
  changeOf,
  endStaleProposals,
  judgeGates,
  openProposal,
  openProposals,
  rulesFor,
  subjectVersion,
  transitionTo,
} from "./proposals.ts";
import { scheduleOf } from "./schedule.ts";
import { effectiveTraffic, rampAt, rampUnder, servedTraffic } from "./serving.ts";
import type { ExperimentState, Proposal } from "./state.ts";

/** How a change is asked for, and by whom. */
export interface Ask {
  readonly reason?: PersonalRef;
  readonly metadata?: PersonalRef;
  readonly propose?: boolean;
  readonly breakGlass?: boolean;
  /** Whose roles count where they are not the actor's: the clock asks on behalf of whoever scheduled the change. */
  readonly onBehalfOf?: ActorRecord;
  readonly guardrail?: GuardrailFinding;
}

type DenialCode = "gate-rejected" | "approval-stale" | "policy-violation" | "evidence-inconclusive" | "surface-claimed";

const textsOf = ({ reason, metadata }: Ask): Pick<Ask, "reason" | "metadata"> => ({
  ...(reason === undefined ? {} : { reason }),
  ...(metadata === undefined ? {} : { metadata }),
});

const arrow = ({ kind, from, to }: Pick<Change, "kind" | "from" | "to">): string =>
  kind === "transition" ? `${from} → ${to}` : `${kind} in ${from}`;

/** Where the ramp stands after a change; null where none does. */
const rampAfter = (state: ExperimentState, aim: Aim, now: number): RampPosition | null => {
  const { configuration } = subjectVersion(state, aim.kind);
  switch (aim.kind) {
    case "transition":
      if (aim.to !== "Ramping") return null;
      // What was paused on a step goes on with that step, and its watch begins anew.
      return rampAt(configuration, state.lifecycle === "Paused" ? (state.ramp?.step ?? 0) : 0, now);
    case "rampStep":
      return rampAt(configuration, aim.parameters.step ?? 0, now);
    case "publish":
    case "rollback":
      return state.lifecycle === "Ramping" ? rampUnder(configuration, servedTraffic(state), now) : null;
    case "revive":
      return state.ramp;
    default:
      return aim.kind satisfies never;
  }
};

/** The change as policies see it, before anything is looked up for it. */
export const changeContext = (
  experiment: string,
  state: ExperimentState,
  aim: Aim,
  asker: ActorRecord,
  now: number,
): ChangeContext => {
  const { configuration } = subjectVersion(state, aim.kind);
  return {
    experiment,
    kind: aim.kind,
    parameters: aim.parameters,
    actor: asker,
    from: state.lifecycle,
    to: aim.to,
    configuration,
    // Policies judge a resumption as a start, whatever the pause was.
    servingSince: state.servingSince === null || !isServing(state.lifecycle) ? null : Date.parse(state.servingSince),
    servedTraffic: servedTraffic(state),
    trafficAfter: isServing(aim.to) ? effectiveTraffic(configuration, rampAfter(state, aim, now)) : 0,
  };
};

/** Everything that policies look at for a change, as of this state and this evidence. */
export const policyContext = (
  state: ExperimentState,
  aim: Aim,
  asker: ActorRecord,
  evidence: Pick<Evidence, "ref"> & PolicyContext["evidence"],
): PolicyContext => ({
  ...changeContext(evidence.ref.experiment, state, aim, asker, evidence.now),
  evidence,
});

/** What was looked up, as far as it was. */
const observedIn = ({ telemetry, others }: Evidence, set: ApplicablePolicySet): { readonly observed?: Observed } => {
  if (set.policies.length === 0) return {};
  const asked = telemetry.status === "available" || telemetry.reason !== "not asked for";
  const observed = {
    ...(asked ? { telemetry } : {}),
    ...(others === null || others.length > 0 ? { others } : {}),
  };
  return Object.keys(observed).length === 0 ? {} : { observed };
};

/** All policies of the change, and the guardrails of what serves. */
export const judgeAll = (
  state: ExperimentState,
  set: ApplicablePolicySet,
  context: PolicyContext,
  { guardrails }: Pick<Evidence, "guardrails">,
): readonly PolicyResult[] => [
  ...set.policies.map((policy) => judgePolicy(policy, context)),
  ...guardrailResults(state.live?.configuration.guardrails ?? [], context, guardrails),
];

interface Judged {
  readonly change: Change;
  readonly set: ApplicablePolicySet;
  readonly proposal: Proposal | undefined;
  /** Everything that the event of this change says of how it was decided. */
  readonly decided: DecidedChange;
}

/** Decides a change that the lifecycle has. Whether it has it is the caller's to know. */
export const decideChange = (state: ExperimentState, aim: Aim, ask: Ask, evidence: Evidence): Decision => {
  const { ref, policySet, now } = evidence;
  const asker = ask.onBehalfOf ?? evidence.actor;
  const set = rulesFor(policySet, state, aim);
  const change = changeOf(ref, state, aim, set);
  const proposal = openProposals(ref, state, policySet, now).find((open) => open.changeDigest === change.changeDigest);
  const judged = judgeGates(set.gates, state, proposal ?? null, asker, evidence.customGates);
  const gates: readonly GateResult[] = judged.verdicts.map(({ rejected: _rejected, ...result }) => result);
  const decidedWith = (policies: readonly PolicyResult[]): DecidedChange => ({
    ...change,
    gates,
    policies,
    ...observedIn(evidence, set),
    ...(ask.breakGlass === true ? { breakGlass: true } : {}),
    ...(ask.onBehalfOf === undefined ? {} : { onBehalfOf: ask.onBehalfOf }),
    ...textsOf(ask),
  });
  const refuse = (
    code: DenialCode,
    message: string,
    details: Readonly<Record<string, unknown>>,
    policies: readonly PolicyResult[] = [],
  ): Decision =>
    deny(code, message, details, {
      type: "ChangeDenied",
      data: { ...decidedWith(policies), attempt: "make", code },
    });

  const forced = ask.breakGlass === true;
  if (forced) {
    const roles = policySet.breakGlass?.roles ?? [];
    if (!asker.roles.some((role) => roles.includes(role))) {
      const wanted = roles.length === 0 ? "it is not configured here" : `it takes one of the roles ${roles.join(", ")}`;
      return refuse("gate-rejected", `breaking the glass: ${wanted}`, { gates: [] });
    }
    if (ask.reason === undefined) {
      const message = "breaking the glass takes a reason, and blanks are none";
      return deny("invalid-request", message, { errors: [{ path: "/reason", message }] });
    }
  } else {
    const rejections = judged.verdicts.filter((verdict) => verdict.rejected);
    if (rejections.length > 0) {
      const missing = rejections.map((verdict) => `${verdict.gate}: ${verdict.missing ?? ""}`);
      return refuse("gate-rejected", `${arrow(change)} wants ${missing.join("; ")}`, { gates });
    }
    const needsApproved = isServing(aim.to) && aim.kind !== "publish" && aim.kind !== "rollback";
    const unapproved = needsApproved ? approvalLacking(state, change, policySet) : null;
    if (unapproved !== null) {
      return refuse("approval-stale", unapproved, { version: change.version, digest: change.digest });
    }
    if (ask.propose === true && proposal !== undefined) return { outcome: "hold", events: [], proposalId: proposal.id };
    if (ask.propose === true || !judged.satisfied) return holdOrRefuse(state, aim, ask, evidence, proposal, judged);
  }

  const context = policyContext(state, aim, asker, evidence);
  const policies = judgeAll(state, set, context, evidence);
  const critical = policies.filter((result) => result.severity === "Critical");
  const blocking = (compliant: false | null) => {
    const results = critical.filter((result) => result.compliant === compliant);
    return {
      found: !forced && results.length > 0,
      reasons: results.map((result) => `${result.policy}: ${result.reason}`).join("; "),
      shown: results.map((result) => presentPolicyResult(result, now)),
    };
  };
  const violations = blocking(false);
  if (violations.found)
    return refuse("policy-violation", violations.reasons, { violations: violations.shown }, policies);
  const inconclusive = blocking(null);
  if (inconclusive.found)
    return refuse("evidence-inconclusive", inconclusive.reasons, { inconclusive: inconclusive.shown }, policies);
  // Of a slot that was lost in a race there are others: they are looked at below.
  if (evidence.claimed !== null && !isSlotClaim(evidence.claimed.claim)) {
    const { claim, holder } = evidence.claimed;
    return refuse("surface-claimed", `${claim} is held by ${holder}`, { claim, holder }, policies);
  }
  const shortage = exclusionShortage(state, change, evidence.takenSlots);
  if (shortage !== null) {
    const { message, ...details } = shortage;
    return refuse("surface-claimed", message, details, policies);
  }
  return commitChange(state, aim, ask, evidence, { change, set, proposal, decided: decidedWith(policies) });
};

/** A change that approvals are missing for becomes a proposal; asking again while it waits is refused. */
const holdOrRefuse = (
  state: ExperimentState,
  aim: Aim,
  ask: Ask,
  evidence: Evidence,
  proposal: Proposal | undefined,
  judged: ReturnType<typeof judgeGates>,
): Decision => {
  if (proposal !== undefined) {
    const declinedBy = judged.declinedBy.map((actor) => actor.ref);
    const why = declinedBy.length > 0 ? "it was declined" : judged.missing.join("; ");
    return deny("approval-required", `${arrow(proposal)} waits for approval: ${why}`, {
      proposal: proposal.id,
      missing: judged.missing,
      declinedBy,
    });
  }
  const held = judged.verdicts.filter(({ satisfied }) => !satisfied).map(({ gate }) => gate);
  const ended = endStaleProposals(evidence.ref, state, evidence.policySet, evidence.now);
  if (state.proposals.length - ended.length >= limits.openProposals) {
    return deny("invalid-request", `at most ${limits.openProposals} proposals of one experiment may be open`);
  }
  return {
    outcome: "hold",
    events: [
      ...ended,
      openProposal(state, aim, evidence, { ...textsOf(ask), ...(ask.propose === true ? {} : { held }) }),
    ],
    proposalId: evidence.proposalId,
  };
};

/** The event that a change is, once it is made. */
const eventOf = (
  state: ExperimentState,
  aim: Aim,
  ask: Ask,
  evidence: Evidence,
  decided: DecidedChange,
  claims: readonly string[],
): DomainEvent => {
  const ramp = rampAfter(state, aim, evidence.now);
  switch (aim.kind) {
    case "transition": {
      const startsServing = isServing(aim.to) && !isServing(state.lifecycle) && state.lifecycle !== "Paused";
      const live = startsServing ? state.latest : state.live;
      const { outcome, variant } = aim.parameters;
      return {
        type: "Transitioned",
        data: {
          ...decided,
          liveVersion: live?.version ?? null,
          claims,
          ...(ramp === null ? {} : { ramp }),
          ...(startsServing && state.frozen === null
            ? { planDigest: planDigest(state.latest.configuration.plan) }
            : {}),
          ...(outcome === undefined
            ? {}
            : {
                conclusion: {
                  outcome,
                  ...(variant === undefined ? {} : { variant }),
                  resultsDigest: evidence.resultsDigest,
                  ...(outcome === "ship" && evidence.conclusionWarning !== null
                    ? { warning: evidence.conclusionWarning }
                    : {}),
                },
              }),
          ...(ask.guardrail === undefined ? {} : { guardrail: ask.guardrail }),
        },
      };
    }
    case "publish":
    case "rollback":
      return {
        type: "Published",
        data: {
          ...decided,
          liveVersion: state.lifecycle === "Approved" ? null : state.latest.version,
          claims,
          approvedUnder: approvalRules(evidence.policySet),
          ramp,
          ...(aim.kind === "publish" && evidence.conclusionWarning !== null
            ? { warning: evidence.conclusionWarning }
            : {}),
        },
      };
    case "rampStep":
      if (ramp === null) throw new TypeError("ramp: a step that the configuration does not have");
      return { type: "RampAdvanced", data: { ...decided, ramp } };
    case "revive":
      return { type: "Revived", data: { ...decided, variant: aim.parameters.variant ?? null } };
    default:
      return aim.kind satisfies never;
  }
};

const commitChange = (
  state: ExperimentState,
  aim: Aim,
  ask: Ask,
  evidence: Evidence,
  { change, set, proposal, decided }: Judged,
): Decision => {
  const claims = claimsAfter(state, change, set, evidence);
  const made = eventOf(state, aim, ask, evidence, decided, claims);
  const after = evolve(state, { ...made, at: new Date(evidence.now).toISOString(), actor: evidence.actor });
  if (after === null) throw new TypeError("decide: a change led to no state");
  const overtaken = endStaleProposals(evidence.ref, after, evidence.policySet, evidence.now);
  const ended = overtaken.map((event): DomainEvent => {
    if (event.type !== "ProposalEnded") return event;
    if (event.data.proposal === proposal?.id)
      return { type: "ProposalEnded", data: { proposal: proposal.id, end: "committed" } };
    return aim.to === "Rejected" ? { type: "ProposalEnded", data: { ...event.data, end: "rejected" } } : event;
  });
  const goesToReview = aim.kind === "transition" && aim.to === "PendingApproval";
  const opened = goesToReview ? [openProposal(after, transitionTo("Approved"), evidence, textsOf(ask))] : [];
  // Content brings its own times: they are set with its approval, so that what was approved is what happens.
  const isApproved = aim.to === "Approved";
  const scheduled = isApproved ? scheduleOf(after.latest.configuration, evidence) : [];
  return {
    outcome: "commit",
    events: [made, ...ended, ...opened, ...scheduled],
    claims: {
      take: claims.filter((claim) => !state.claims.includes(claim)),
      release: state.claims.filter((claim) => !claims.includes(claim)),
    },
  };
};
