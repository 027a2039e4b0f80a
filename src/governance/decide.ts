/**
 * `decide(state, command, evidence) → decision`. No clock, no randomness, no I/O and no `await`: what a decision
 * rests on comes in, so the same history and the same evidence always give the same answer.
 */
import { configurationDigest, type SettledConfiguration } from "../experiment.ts";
import { type Command, type Decision, deny, type Evidence, noClaims } from "./commands.ts";
import { decideSay } from "./decide-say.ts";
import { decideTransition } from "./decide-transition.ts";
import type { DomainEvent } from "./events.ts";
import { endStaleProposals, openProposal, openProposals } from "./proposals.ts";
import type { ExperimentState } from "./state.ts";

type WriteVersion = Extract<Command, { type: "WriteVersion" }>;

export const decide = (state: ExperimentState | null, command: Command, evidence: Evidence): Decision => {
  if (command.type === "WriteVersion") return decideWriteVersion(state, command, evidence);
  if (state === null) return deny("experiment-not-found", `there is no experiment ${evidence.ref.experiment}`);
  switch (command.type) {
    case "Transition":
      return decideTransition(state, command, evidence);
    case "Say":
      return decideSay(state, command, evidence);
    default:
      return command satisfies never;
  }
};

const decideWriteVersion = (state: ExperimentState | null, command: WriteVersion, evidence: Evidence): Decision => {
  const { configuration: written, changeDescription } = command;
  if (state !== null && command.createOnly) {
    return deny("experiment-exists", `the experiment ${state.name} exists already`, {
      state: state.lifecycle,
      latestVersion: state.latest.version,
    });
  }
  const reopens = state?.lifecycle === "Archived";
  // A version that names no salt keeps the one before it, so that editing a text moves nobody to another variant.
  // A reopened experiment gets a new one: who was in a variant last time would bias who is in it this time.
  const inherited = reopens ? undefined : state?.latest.configuration.salt;
  const configuration: SettledConfiguration = { ...written, salt: written.salt ?? inherited ?? evidence.randomSalt };
  const digest = configurationDigest(configuration);
  const version = (state?.latest.version ?? 0) + 1;
  const versionWritten: DomainEvent = {
    type: "VersionWritten",
    data: { version, digest, configuration, ...(changeDescription === undefined ? {} : { changeDescription }) },
  };
  if (state === null) {
    const { tenant, environment, experiment } = evidence.ref;
    return {
      outcome: "commit",
      events: [{ type: "Created", data: { tenant, environment, experiment } }, versionWritten],
      claims: noClaims,
    };
  }
  const reopened: readonly DomainEvent[] = reopens ? [{ type: "Reopened", data: { from: state.lifecycle } }] : [];
  const after: ExperimentState = { ...state, latest: { version, digest, configuration } };
  const ended = reopens ? [] : endStaleProposals(evidence.ref, after, evidence.policySet, evidence.now);
  // What waits for approval is always on the approvers' list: new content under review replaces the overtaken proposal.
  const stillWaits = openProposals(evidence.ref, after, evidence.policySet, evidence.now).some(
    (proposal) => proposal.to === "Approved",
  );
  const opened =
    state.lifecycle === "PendingApproval" && !stillWaits ? [openProposal(after, "Approved", evidence)] : [];
  return { outcome: "commit", events: [...reopened, versionWritten, ...ended, ...opened], claims: noClaims };
};
