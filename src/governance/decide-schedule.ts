/** Deciding what waits for its time, and what happens when the time has come: decided anew, by the rules of then. */
import { canTransition } from "../lifecycle.ts";
import { type Command, type Decision, deny, type Evidence, noClaims } from "./commands.ts";
import { decideMove } from "./decide-transition.ts";
import type { DomainEvent, ScheduledChange } from "./events.ts";
import { judgeGates, openProposal, rulesFor, transitionTo } from "./proposals.ts";
import { byTime } from "./schedule.ts";
import type { ExperimentState, WaitingChange } from "./state.ts";

type Schedule = Extract<Command, { type: "Schedule" }>;

const invalid = (index: number, member: "at" | "mode", message: string): Decision =>
  deny("invalid-request", message, { errors: [{ path: `/changes/${index}/${member}`, message }] });

/** The proposals that approvers can say something to now: those for moves that the present state has. */
const proposalsFor = (
  state: ExperimentState,
  changes: readonly ScheduledChange[],
  evidence: Evidence,
): readonly DomainEvent[] =>
  changes.flatMap((change) => {
    if (!canTransition(state.lifecycle, change.to)) return [];
    const aim = transitionTo(change.to, { ...change.parameters, at: change.at });
    const judged = judgeGates(rulesFor(evidence.policySet, state, aim).gates, state, null, evidence.actor);
    // Whoever may not make the change cannot have it approved either; the time will tell.
    const rejected = judged.verdicts.some((verdict) => verdict.rejected);
    return judged.satisfied || rejected
      ? []
      : [openProposal(state, aim, { ...evidence, proposalId: `${change.id}-proposal` })];
  });

export const decideSchedule = (state: ExperimentState, command: Schedule, evidence: Evidence): Decision => {
  const reason = command.reason === undefined ? {} : { reason: command.reason };
  if (command.changes.length === 0) {
    return state.schedule.length === 0
      ? { outcome: "unchanged" }
      : {
          outcome: "commit",
          events: [{ type: "ScheduleCleared", data: reason }, ...endScheduled(state)],
          claims: noClaims,
        };
  }
  if (state.lifecycle === "Archived")
    return deny("invalid-transition", "an archived experiment has no future", { currentState: state.lifecycle });
  // What is no time at all is not to come either.
  const past = command.changes.findIndex(({ at }) => !(Date.parse(at) > evidence.now));
  if (past !== -1) return invalid(past, "at", "a time that is still to come");
  const misplaced = command.changes.findIndex(({ to, mode }) => mode !== undefined && to !== "Paused");
  if (misplaced !== -1) return invalid(misplaced, "mode", "a mode belongs to the move to Paused");
  const changes = byTime(
    command.changes.map(({ at, to, outcome, variant, mode }, index) => ({
      id: `${evidence.proposalId}-${index}`,
      at: new Date(at).toISOString(),
      to,
      parameters: {
        ...(outcome === undefined ? {} : { outcome }),
        ...(variant === undefined ? {} : { variant }),
        ...(mode === undefined || mode === "control" ? {} : { mode }),
      },
    })),
  );
  const ended = endScheduled(state);
  const opened = proposalsFor(state, changes, evidence);
  return {
    outcome: "commit",
    events: [{ type: "ScheduleSet", data: { changes, ...reason } }, ...ended, ...opened],
    claims: noClaims,
  };
};

/** Proposals of changes whose time is not coming any more. */
const endScheduled = (state: ExperimentState): readonly DomainEvent[] =>
  state.proposals
    .filter((proposal) => proposal.parameters.at !== undefined)
    .map((proposal) => ({ type: "ProposalEnded", data: { proposal: proposal.id, end: "overtaken" } }));

/** What becomes of a scheduled change when its time has come: made, or refused and over. Nothing happens late. */
const firedAs = (waiting: WaitingChange, decision: Decision, state: ExperimentState): Decision => {
  const fired = (end: "done" | "refused", code?: string, why?: string): DomainEvent => ({
    type: "ScheduleFired",
    data: {
      scheduled: waiting.id,
      end,
      ...(code === undefined ? {} : { code }),
      ...(why === undefined ? {} : { why }),
    },
  });
  switch (decision.outcome) {
    case "commit":
      return { ...decision, events: [...decision.events, fired("done")] };
    case "unchanged":
      return { outcome: "commit", events: [fired("done")], claims: noClaims };
    case "hold":
      return {
        outcome: "commit",
        events: [fired("refused", "approval-required", "it had not been approved")],
        claims: noClaims,
      };
    case "deny": {
      const record = decision.record === null ? [] : [decision.record];
      const proposal = state.proposals.filter(({ parameters }) => parameters.at === waiting.at);
      const ended = proposal.map(({ id }): DomainEvent => ({
        type: "ProposalEnded",
        data: { proposal: id, end: "expired" },
      }));
      return {
        outcome: "commit",
        events: [...record, ...ended, fired("refused", decision.code, decision.message)],
        claims: noClaims,
      };
    }
    default:
      return decision satisfies never;
  }
};

export const decideFire = (
  state: ExperimentState,
  { scheduled }: Extract<Command, { type: "Fire" }>,
  evidence: Evidence,
): Decision => {
  const waiting = state.schedule.find(({ id }) => id === scheduled);
  // The alarm may go off twice, and early.
  if (waiting === undefined || Date.parse(waiting.at) > evidence.now) return { outcome: "unchanged" };
  const { to, at, scheduledBy: onBehalfOf } = waiting;
  if (state.lifecycle === to) return firedAs(waiting, { outcome: "unchanged" }, state);
  const { outcome, variant, mode } = waiting.parameters;
  const move = {
    to,
    ...(outcome === undefined ? {} : { outcome }),
    ...(variant === undefined ? {} : { variant }),
    ...(mode === undefined ? {} : { mode }),
  };
  return firedAs(waiting, decideMove(state, move, { onBehalfOf }, evidence, { at }), state);
};
