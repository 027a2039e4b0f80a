/**
 * `decide(state, command, evidence) → decision`. No clock, no randomness, no I/O and no `await`: what a decision
 * rests on comes in, so the same history and the same evidence always give the same answer.
 */
import { type Command, type Decision, deny, type Evidence } from "./commands.ts";
import { decideChange } from "./decide-change.ts";
import { decideKill, decideRevive } from "./decide-kill.ts";
import { decideNotify } from "./decide-notify.ts";
import { decideSignal } from "./decide-signal.ts";
import { decideRamp } from "./decide-ramp.ts";
import { decideRollBack } from "./decide-roll-back.ts";
import { decideComment, decideSay, decideWithdrawProposal } from "./decide-say.ts";
import { decideFire, decideSchedule } from "./decide-schedule.ts";
import { decideTransition } from "./decide-transition.ts";
import { decideWriteVersion } from "./decide-write-version.ts";
import { publishing } from "./proposals.ts";
import type { ExperimentState } from "./state.ts";

export const decide = (state: ExperimentState | null, command: Command, evidence: Evidence): Decision => {
  if (command.type === "WriteVersion") return decideWriteVersion(state, command, evidence);
  if (state === null) return deny("experiment-not-found", `there is no experiment ${evidence.ref.experiment}`);
  switch (command.type) {
    case "Transition":
      return decideTransition(state, command, evidence);
    case "Publish":
      return decidePublish(state, command, evidence);
    case "RollBack":
      return decideRollBack(state, command, evidence);
    case "Ramp":
      return decideRamp(state, command, evidence);
    case "Schedule":
      return decideSchedule(state, command, evidence);
    case "Fire":
      return decideFire(state, command, evidence);
    case "Kill":
      return decideKill(state, command);
    case "Revive":
      return decideRevive(state, command, evidence);
    case "Notify":
      return decideNotify(state, command);
    case "Signal":
      return decideSignal(state, command);
    case "Say":
      return decideSay(state, command, evidence);
    case "Comment":
      return decideComment(state, command, evidence);
    case "WithdrawProposal":
      return decideWithdrawProposal(state, command, evidence);
    default:
      return command satisfies never;
  }
};

const publishable: readonly ExperimentState["lifecycle"][] = ["Approved", "Running", "Ramping", "Paused"];

/** The newest version goes live, or is approved where nothing serves yet, without leaving the state. */
const decidePublish = (
  state: ExperimentState,
  command: Extract<Command, { type: "Publish" }>,
  evidence: Evidence,
): Decision => {
  const { version } = command;
  const { latest, live, lifecycle } = state;
  if (version < 1 || version > latest.version) return deny("version-not-found", `there is no version ${version}`);
  if (!publishable.includes(lifecycle)) {
    return deny("invalid-transition", `in ${lifecycle} nothing is published: the content is approved as a whole`, {
      currentState: lifecycle,
    });
  }
  if (version === live?.version) return { outcome: "unchanged" };
  if (version !== latest.version) {
    return deny("invalid-transition", `version ${version} is not the newest: publish ${latest.version}, or roll back`, {
      latestVersion: latest.version,
    });
  }
  return decideChange(state, publishing(state), command, evidence);
};
