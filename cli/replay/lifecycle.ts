/** Takes an experiment through its governed lifecycle to Running, as two people. */
import { randomUUID } from "node:crypto";
import * as v from "valibot";
import { lifecycleStates, type LifecycleState } from "../../src/lifecycle.ts";
import { CliFailure } from "../failure.ts";
import { approver, author, type Answer, type Client, describeProblem, type Person, problemOf } from "./client.ts";
import type { ServedVersion } from "./encode.ts";
import type { OutcomeColumn } from "./options.ts";
import { describePlan, type PlannedVariant } from "./plan.ts";

const ProposalSchema = v.object({
  targetState: v.string(),
  changeDigest: v.string(),
});
type Proposal = v.InferOutput<typeof ProposalSchema>;

const VariantsSchema = v.array(
  v.object({
    key: v.string(),
    weight: v.optional(v.number(), 1),
    control: v.optional(v.boolean()),
  }),
);

const SnapshotSchema = v.object({
  state: v.picklist(lifecycleStates),
  latestVersion: v.number(),
  liveVersion: v.nullable(v.number()),
  liveDigest: v.nullable(v.string()),
  epoch: v.number(),
  configuration: v.object({ variants: VariantsSchema }),
  proposals: v.array(ProposalSchema),
});

interface Snapshot extends v.InferOutput<typeof SnapshotSchema> {
  readonly etag: string | null;
}

export interface Started extends ServedVersion {
  readonly state: LifecycleState;
  readonly variants: readonly PlannedVariant[];
}

export interface StartInput {
  readonly client: Client;
  readonly experiment: string;
  /** The arms of an experiment that does not exist yet. */
  readonly newVariants: () => readonly PlannedVariant[];
  /** What was asked for and the arms of an existing experiment do not fulfil; undefined: they will do. */
  readonly objection: (variants: readonly PlannedVariant[]) => string | undefined;
  readonly outcomes: readonly OutcomeColumn[];
  /** Prose for the experiment's description. */
  readonly description: string;
  /** Told of each step, for people. */
  readonly onStep: (text: string) => void;
}

/** Two replays that start at one moment overtake each other; each step then begins from what is there. */
const attemptsMax = 20;

const toPlanned = (variants: v.InferOutput<typeof VariantsSchema>): readonly PlannedVariant[] =>
  variants.map(({ key, weight, control }) => ({ key, weight, ...(control === true ? { control } : {}) }));

const isLostRace = (answer: Answer): boolean => {
  const code = problemOf(answer)?.code;
  return code === "precondition-failed" || code === "experiment-exists" || code === "request-in-flight";
};

const ifMatch = ({ etag }: { readonly etag: string | null }): Readonly<Record<string, string>> =>
  etag === null ? {} : { "if-match": etag };

const whatToDo = {
  Paused: "resume it (move it to Running) first",
  RolledBack: "put it back to Draft first",
  Rejected: "put it back to Draft first",
  Archived: "write a new version, which reopens it, first",
} as const;

/**
 * Creates the experiment unless it exists and moves it on to Running, step by step. One that somebody stopped (Paused,
 * RolledBack, Rejected, Archived) is left alone.
 *
 * @throws CliFailure that says which step was refused, and why
 */
export const startExperiment = async (input: StartInput): Promise<Started> => {
  const { client, experiment, outcomes, description, onStep } = input;

  const load = async (): Promise<Snapshot | null> => {
    const answer = await client.experiment(author, "GET", "");
    if (answer.status === 404 && problemOf(answer)?.code === "experiment-not-found") return null;
    if (answer.status !== 200) throw new CliFailure(`${experiment} cannot be read: ${describeProblem(answer)}`);
    return { ...v.parse(SnapshotSchema, answer.body), etag: answer.etag };
  };

  const write = (
    person: Person,
    path: string,
    body: unknown,
    precondition: Readonly<Record<string, string>>,
  ): Promise<Answer> =>
    client.experiment(person, "POST", path, { body, headers: { "idempotency-key": randomUUID(), ...precondition } });

  const create = async (): Promise<void> => {
    const variants = input.newVariants();
    // The file is of an experiment that is over: whatever it says of a subject counts, whenever it was.
    const metrics = outcomes.map(({ metric, kind }) => ({
      name: metric,
      kind,
      window: { open: true },
      ...(kind === "continuous" ? { negative: true } : {}),
    }));
    const configuration = { description, variants, ...(metrics.length === 0 ? {} : { metrics }) };
    const answer = await write(author, "/versions", { configuration }, { "if-none-match": "*" });
    if (isLostRace(answer)) return;
    if (answer.status !== 201) throw new CliFailure(`${experiment} cannot be created: ${describeProblem(answer)}`);
    onStep(`${author.id} created ${experiment}: ${describePlan(variants)}`);
  };

  /** Changes that the approver has said yes to. */
  const approved = new Set<string>();

  const approve = async (proposal: Proposal, snapshot: Snapshot): Promise<void> => {
    const { changeDigest, targetState } = proposal;
    const answer = await write(approver, "/approvals", { decision: "approve", changeDigest }, ifMatch(snapshot));
    if (isLostRace(answer) || problemOf(answer)?.code === "approval-stale") return;
    if (answer.status >= 300) {
      throw new CliFailure(
        `the move of ${experiment} to ${targetState} cannot be approved: ${describeProblem(answer)}`,
      );
    }
    approved.add(changeDigest);
    onStep(`${approver.id} approved the move to ${targetState} (${changeDigest.slice(0, 12)})`);
  };

  const move = async (snapshot: Snapshot, targetState: LifecycleState): Promise<void> => {
    const open = snapshot.proposals.find((proposal) => proposal.targetState === targetState);
    if (open !== undefined && !approved.has(open.changeDigest)) {
      await approve(open, snapshot);
      return;
    }
    const answer = await write(author, "/lifecycle/transition", { targetState, reason: "replay" }, ifMatch(snapshot));
    // Held: the move now waits as a proposal, which the next turn finds.
    if (answer.status === 202 || isLostRace(answer)) return;
    if (answer.status >= 300)
      throw new CliFailure(`${experiment} cannot move to ${targetState}: ${describeProblem(answer)}`);
    onStep(`${author.id} moved it to ${targetState}`);
  };

  /** Arms of the version that will serve: the live one where there is one. */
  const armsOf = async ({
    configuration,
    latestVersion,
    liveVersion,
  }: Snapshot): Promise<readonly PlannedVariant[]> => {
    if (liveVersion === null || liveVersion === latestVersion) return toPlanned(configuration.variants);
    const answer = await client.experiment(author, "GET", `/versions/${liveVersion}`);
    if (answer.status !== 200) throw new CliFailure(`${experiment} cannot be read: ${describeProblem(answer)}`);
    return toPlanned(
      v.parse(v.object({ configuration: v.object({ variants: VariantsSchema }) }), answer.body).configuration.variants,
    );
  };

  for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
    const snapshot = await load();
    if (snapshot === null) {
      await create();
      continue;
    }
    const { state, liveVersion, liveDigest, epoch } = snapshot;
    const variants = await armsOf(snapshot);
    const objection = input.objection(variants);
    if (objection !== undefined) {
      throw new CliFailure(
        `${experiment} exists with the arms ${describePlan(variants)}, and asked for was ${objection}: choose another name, or ask for what there is`,
      );
    }
    switch (state) {
      case "Draft":
        await move(snapshot, "PendingApproval");
        break;
      case "PendingApproval":
        await move(snapshot, "Approved");
        break;
      case "Approved":
        await move(snapshot, "Running");
        break;
      case "Running":
      case "Ramping":
        if (liveVersion === null || liveDigest === null)
          throw new CliFailure(`${experiment} is ${state} without a live version`);
        return { state, variants, version: liveVersion, digest: liveDigest, epoch };
      case "Paused":
      case "RolledBack":
      case "Rejected":
      case "Archived":
        throw new CliFailure(
          `${experiment} is ${state}, so nothing is served and nothing can be replayed: ${whatToDo[state]}`,
        );
      default:
        return state satisfies never;
    }
  }
  throw new CliFailure(`${experiment} did not get to Running in ${attemptsMax} steps: somebody else is changing it`);
};
