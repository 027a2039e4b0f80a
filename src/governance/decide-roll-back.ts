/**
 * Deciding a rollback: a new version with the content of an old one. Content that is still approved is live at once,
 * because going back to it is a brake; anything else is a draft, and gated as it would be the first time.
 */
import { holdsSurfaces, type LifecycleState } from "../lifecycle.ts";
import { claimsAfter, exclusionShortage } from "./claims.ts";
import { type Command, type Decision, deny, type Evidence } from "./commands.ts";
import { decideMove } from "./decide-transition.ts";
import { afterVersion } from "./decide-write-version.ts";
import type { DomainEvent } from "./events.ts";
import { evolve } from "./evolve.ts";
import { isSlotClaim } from "./exclusion.ts";
import { approvalRules } from "./policy-set.ts";
import {
  changeOf,
  endStaleProposals,
  judgeGates,
  mayComeBack,
  openProposal,
  publishing,
  rulesFor,
} from "./proposals.ts";
import { rampUnder, servedTraffic } from "./serving.ts";
import type { ExperimentState } from "./state.ts";

type RollBack = Extract<Command, { type: "RollBack" }>;

const stateAfter = (
  state: ExperimentState,
  events: readonly DomainEvent[],
  { now, actor }: Evidence,
): ExperimentState => {
  const at = new Date(now).toISOString();
  const after = events.reduce<ExperimentState | null>((next, event) => evolve(next, { ...event, at, actor }), state);
  if (after === null) throw new TypeError("decide: a rollback led to no state");
  return after;
};

/** Live at once, past gates and policies: where it went to has been approved. */
const bringBack = (state: ExperimentState, command: RollBack, evidence: Evidence): DomainEvent => {
  const aim = publishing(state);
  // No rule decides this, so none may change what it is called.
  const set = { ...rulesFor(evidence.policySet, state, aim), gates: [], policies: [] };
  const change = changeOf(evidence.ref, state, aim, set);
  return {
    type: "Published",
    data: {
      ...change,
      gates: [],
      policies: [],
      ...(command.reason === undefined ? {} : { reason: command.reason }),
      ...(command.metadata === undefined ? {} : { metadata: command.metadata }),
      liveVersion: state.latest.version,
      claims: claimsAfter(state, change, set, evidence),
      // It stays approved under what it was approved under: coming back is no new approval.
      approvedUnder:
        state.approved.findLast(({ digest }) => digest === change.digest)?.policySetDigest ??
        approvalRules(evidence.policySet),
      ramp:
        state.lifecycle === "Ramping"
          ? rampUnder(state.latest.configuration, servedTraffic(state), evidence.now)
          : null,
    },
  };
};

/** A draft that came back is put to its approvers at once: nobody rolls back to leave it lying. */
const propose = (state: ExperimentState, command: RollBack, evidence: Evidence): readonly DomainEvent[] => {
  const canPublish = holdsSurfaces(state.lifecycle) || state.lifecycle === "Approved";
  if (!canPublish) return [];
  const aim = publishing(state);
  const set = rulesFor(evidence.policySet, state, aim);
  const { satisfied } = judgeGates(set.gates, state, null, evidence.actor, evidence.customGates);
  const reason = command.reason === undefined ? {} : { reason: command.reason };
  return satisfied ? [] : [openProposal(state, aim, evidence, reason)];
};

const moveWith = (
  state: ExperimentState,
  to: LifecycleState,
  command: RollBack,
  evidence: Evidence,
  before: readonly DomainEvent[],
  base: ExperimentState,
): Decision => {
  const texts = {
    ...(command.reason === undefined ? {} : { reason: command.reason }),
    ...(command.metadata === undefined ? {} : { metadata: command.metadata }),
  };
  const opens = before.some((event) => event.type === "ProposalOpened");
  const ids = opens ? { proposalId: `${evidence.proposalId}-move` } : {};
  const moved = decideMove(state, { to }, texts, { ...evidence, ...ids });
  switch (moved.outcome) {
    case "deny":
    case "unchanged":
      return moved;
    case "hold":
      return { ...moved, events: [...before, ...moved.events] };
    case "commit": {
      const claims = stateAfter(state, moved.events, evidence).claims;
      return { outcome: "commit", events: [...before, ...moved.events], claims: difference(base.claims, claims) };
    }
    default:
      return moved satisfies never;
  }
};

const difference = (before: readonly string[], after: readonly string[]) => ({
  take: after.filter((claim) => !before.includes(claim)),
  release: before.filter((claim) => !after.includes(claim)),
});

export const decideRollBack = (state: ExperimentState, command: RollBack, evidence: Evidence): Decision => {
  const { target, policySet } = evidence;
  if (target === null || target.version !== command.targetVersion)
    return deny("version-not-found", `there is no version ${command.targetVersion}`);
  if (state.lifecycle === "Archived") {
    return deny("invalid-transition", "an archived experiment is reopened by a new version, and not rolled back", {
      currentState: state.lifecycle,
    });
  }
  const version = state.latest.version + 1;
  const provenance = {
    kind: "rollback",
    rolledBackFrom: state.latest.version,
    rolledBackTo: target.version,
    contentBy: target.author,
  } as const;
  const { digest, configuration } = target;
  const written = { version, digest, configuration, provenance };
  const versionWritten: DomainEvent = {
    type: "VersionWritten",
    data: { ...written, ...(command.reason === undefined ? {} : { changeDescription: command.reason }) },
  };
  const withVersion = stateAfter(state, [versionWritten], evidence);
  const comesBack = holdsSurfaces(state.lifecycle) && mayComeBack(state, digest, policySet);
  if (comesBack) {
    const aim = publishing(withVersion);
    const change = changeOf(evidence.ref, withVersion, aim, rulesFor(policySet, withVersion, aim));
    const shortage = exclusionShortage(withVersion, change, evidence.takenSlots);
    if (shortage !== null) {
      return deny("surface-claimed", shortage.message, { claim: shortage.claim, holder: shortage.holder });
    }
  }
  const first: readonly DomainEvent[] = comesBack
    ? [versionWritten, bringBack(withVersion, command, evidence)]
    : [versionWritten, ...afterVersion(state, written, evidence), ...propose(withVersion, command, evidence)];
  const reached = stateAfter(state, first, evidence);
  const overtaken = endStaleProposals(evidence.ref, reached, policySet, evidence.now);
  const events = [...first, ...overtaken];
  if (comesBack && evidence.claimed !== null && !isSlotClaim(evidence.claimed.claim)) {
    const { claim, holder } = evidence.claimed;
    return deny("surface-claimed", `${claim} is held by ${holder}`, { claim, holder });
  }
  return command.transition === undefined
    ? { outcome: "commit", events, claims: difference(state.claims, reached.claims) }
    : moveWith(stateAfter(state, events, evidence), command.transition, command, evidence, events, state);
};
