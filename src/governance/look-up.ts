/** Everything a decision rests on that has to be looked up: for policies, for the host's gates, for rollbacks and conclusions. */
import { digestOf } from "../canonical.ts";
import type { ExperimentRef } from "../scope.ts";
import { holdsSurfaces } from "../lifecycle.ts";
import { type Asked, askedBy } from "./aim.ts";
import type { Command, Evidence } from "./commands.ts";
import { changeContext, policyContext } from "./decide-change.ts";
import type { ActorRecord } from "./events.ts";
import { slotsIn, slotsNeeded } from "./exclusion.ts";
import {
  evidenceDeadlineMs,
  gatherEvidence,
  isMissing,
  readGuardrails,
  readSlots,
  type Telemetry,
  unreadable,
  withinDeadline,
} from "./evidence.ts";
import { askCustomGates, type CustomGates } from "./custom-gates.ts";
import { isWatchedWidening } from "./guardrails.ts";
import type { CustomPolicies } from "./policies/custom.ts";
import type { PolicySet } from "./policy-set.ts";
import { rulesFor, subjectVersion } from "./proposals.ts";
import type { ExperimentState } from "./state.ts";
import type { GovernanceStore } from "./store.ts";

export interface Question {
  readonly ref: ExperimentRef;
  readonly state: ExperimentState | null;
  readonly command: Command;
  readonly actor: ActorRecord;
  readonly policySet: PolicySet;
  readonly customGates: CustomGates;
  readonly customPolicies: CustomPolicies;
  readonly store: GovernanceStore;
  readonly telemetry: Telemetry;
  readonly now: number;
  readonly report: (error: unknown) => void;
}

export type LookedUp = Pick<
  Evidence,
  | "now"
  | "telemetry"
  | "others"
  | "custom"
  | "customGates"
  | "target"
  | "resultsDigest"
  | "conclusionWarning"
  | "takenSlots"
  | "guardrails"
>;

/** The version whose content is to come back. */
const targetOf = async ({ command, store, ref }: Question): Promise<Evidence["target"]> => {
  if (command.type !== "RollBack") return null;
  const page = await store.history(ref, { version: command.targetVersion, limit: 1 });
  const [event] = page.events;
  if (event?.type !== "VersionWritten") return null;
  const { version, digest, configuration } = event.data;
  return { version, digest, configuration, author: event.actor.ref };
};

/** What the results say when the experiment ends. A ledger that does not answer must not keep it from ending. */
const resultsDigestOf = async (question: Question, endsAs: string | null): Promise<string | null> => {
  const { state, telemetry, ref, report } = question;
  if (endsAs !== "Archived" || state === null || state.live === null || telemetry.results === undefined) return null;
  const results = await withinDeadline(telemetry.results(ref, state), evidenceDeadlineMs, unreadable, report);
  return isMissing(results) ? null : digestOf(results.answer);
};

/** Content that may be about to take slots of an exclusion group, more than it holds. */
const wantsSlots = (
  { state, command }: Question,
  asked: Asked | null,
  target: Evidence["target"],
): { readonly group: string } | null => {
  if (state === null) return null;
  const content =
    command.type === "RollBack"
      ? target?.configuration
      : asked !== null && holdsSurfaces(asked.aim.to)
        ? subjectVersion(state, asked.aim.kind).configuration
        : undefined;
  const exclusion = content?.exclusion;
  if (content === undefined || exclusion === undefined) return null;
  return slotsNeeded(content) > slotsIn(state.claims, exclusion.group).length ? exclusion : null;
};

/** What the results have to say against what is being done; null where nothing is asked. */
const askForWarning = ({ state, command, telemetry, ref }: Question, asked: Asked | null) => {
  if (state === null || state.live === null || asked === null) return undefined;
  if (asked.aim.kind === "publish") return telemetry.publishingWarning?.(ref, state);
  // An approval that makes the change names what it concludes in the proposal.
  const { outcome, variant } = command.type === "Transition" ? command : asked.aim.parameters;
  return outcome !== "ship" || variant === undefined ? undefined : telemetry.shippingWarning?.(ref, state, variant);
};

/** A ledger that does not answer must keep no experiment from ending, and no version from going live. */
const conclusionWarningOf = async (question: Question, asked: Asked | null) => {
  const answer = askForWarning(question, asked);
  if (answer === undefined) return null;
  const { report } = question;
  const warning = await withinDeadline(answer, evidenceDeadlineMs, unreadable, report);
  return isMissing(warning) ? null : warning.answer;
};

/** Asked of guardrails only where their answer matters: they read a ledger. */
const guardrailsOf = async (question: Question, asked: Asked | null): Promise<Evidence["guardrails"]> => {
  const { ref, state, actor, now } = question;
  const notAsked = { status: "unavailable", at: new Date(now).toISOString(), reason: "not asked for" } as const;
  if (state === null || asked === null || (state.live?.configuration.guardrails ?? []).length === 0) return notAsked;
  const context = changeContext(ref.experiment, state, asked.aim, asked.onBehalfOf ?? actor, now);
  return isWatchedWidening(context) ? readGuardrails(question, state) : notAsked;
};

export const lookUp = async (question: Question): Promise<LookedUp> => {
  const { ref, state, command, actor, policySet, customGates, now, report } = question;
  const asked = askedBy(state, command);
  const applicable = state === null || asked === null ? null : rulesFor(policySet, state, asked.aim);
  const [gathered, target, resultsDigest, conclusionWarning, guardrails] = await Promise.all([
    gatherEvidence({
      ...question,
      applicable,
      change: () => {
        if (state === null || asked === null) throw new TypeError("look-up: no change to look at");
        return changeContext(ref.experiment, state, asked.aim, asked.onBehalfOf ?? actor, now);
      },
    }),
    targetOf(question),
    resultsDigestOf(question, asked?.aim.to ?? null),
    conclusionWarningOf(question, asked),
    guardrailsOf(question, asked),
  ]);
  const wanted = wantsSlots(question, asked, target);
  const takenSlots = wanted === null ? null : await readSlots(question, wanted.group);
  if (state === null || asked === null || applicable === null)
    return { ...gathered, customGates: {}, target, resultsDigest, conclusionWarning, takenSlots, guardrails };
  const context = policyContext(state, asked.aim, asked.onBehalfOf ?? actor, { ...gathered, ref });
  return {
    ...gathered,
    customGates: await askCustomGates(applicable.gates, customGates, context, report),
    target,
    resultsDigest,
    conclusionWarning,
    takenSlots,
    guardrails,
    now,
  };
};
