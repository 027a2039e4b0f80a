/** Deciding that a version is written: anybody who may write may, because nothing of it is served. */
import { configurationDigest, type SettledConfiguration } from "../experiment.ts";
import { type Command, type Decision, deny, type Evidence, noClaims } from "./commands.ts";
import type { DomainEvent, Provenance } from "./events.ts";
import { planProblem } from "./frozen-plan.ts";
import { endStaleProposals, openProposal, openProposals, transitionTo } from "./proposals.ts";
import type { ExperimentState } from "./state.ts";

type WriteVersion = Extract<Command, { type: "WriteVersion" }>;

/** What else follows from a version that an experiment gets, whoever it comes from: overtaken proposals, and the new one. */
export const afterVersion = (
  state: ExperimentState,
  written: {
    readonly version: number;
    readonly digest: string;
    readonly configuration: SettledConfiguration;
    readonly provenance?: Provenance;
  },
  evidence: Evidence,
): readonly DomainEvent[] => {
  const { version, digest, configuration, provenance } = written;
  const latest = { version, digest, configuration, ...(provenance === undefined ? {} : { provenance }) };
  const after: ExperimentState = { ...state, latest };
  const ended = endStaleProposals(evidence.ref, after, evidence.policySet, evidence.now);
  // What waits for approval is always on the approvers' list: new content under review replaces the overtaken proposal.
  const stillWaits = openProposals(evidence.ref, after, evidence.policySet, evidence.now).some(
    (proposal) => proposal.to === "Approved",
  );
  const opened =
    state.lifecycle === "PendingApproval" && !stillWaits
      ? [openProposal(after, transitionTo("Approved"), evidence)]
      : [];
  return [...ended, ...opened];
};

export const decideWriteVersion = (
  state: ExperimentState | null,
  command: WriteVersion,
  evidence: Evidence,
): Decision => {
  const { configuration: written, changeDescription, provenance } = command;
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
  const problem = state === null || reopens ? null : planProblem(state, configuration.plan);
  if (problem !== null)
    return deny("invalid-request", problem, { errors: [{ path: "/configuration/plan", message: "the frozen plan" }] });
  const data = {
    version: (state?.latest.version ?? 0) + 1,
    digest: configurationDigest(configuration),
    configuration,
    ...(changeDescription === undefined ? {} : { changeDescription }),
    ...(provenance === undefined ? {} : { provenance }),
  };
  const versionWritten: DomainEvent = { type: "VersionWritten", data };
  if (state === null) {
    const { tenant, environment, experiment } = evidence.ref;
    return {
      outcome: "commit",
      events: [{ type: "Created", data: { tenant, environment, experiment } }, versionWritten],
      claims: noClaims,
    };
  }
  const events: readonly DomainEvent[] = reopens
    ? [{ type: "Reopened", data: { from: state.lifecycle } }, versionWritten]
    : [versionWritten, ...afterVersion(state, data, evidence)];
  return { outcome: "commit", events, claims: noClaims };
};
