/**
 * Recorded decisions under other rules: which would have fallen differently, by the same pure functions and on the
 * evidence that was recorded. What was not recorded is not made up: then it cannot be told.
 */
import * as v from "valibot";
import type { ExperimentRef } from "../scope.ts";
import { policyContext } from "./decide-change.ts";
import type { ActorRecord, Change, DecidedChange, EventRecord, EventType } from "./events.ts";
import { createHistoryReader, type Flaw } from "./export/reader.ts";
import { approvalObjection, type CustomGateVerdict, gateName } from "./gates/judge.ts";
import { judgePolicy, needsOf, policyName } from "./policies/judge.ts";
import type { CustomAnswer, LedgerReading, OtherExperiment, PolicyResult } from "./policies/policy.ts";
import { PolicySchema, type Policy } from "./policies/schema.ts";
import { applicable, type PolicySet } from "./policy-set.ts";
import { judgeGates } from "./proposals.ts";
import type { ExperimentState } from "./state.ts";

/** How a decision fell: made, waiting for approvals, or refused. */
export type Fall = "made" | "held" | "refused";

export interface BacktestedDecision {
  readonly ref: ExperimentRef;
  readonly seq: number;
  /** ISO 8601. */
  readonly at: string;
  readonly change: Pick<Change, "kind" | "from" | "to" | "version">;
  /** An approval that was refused, and not a change. */
  readonly attempt: "make" | "approve";
  readonly was: { readonly fall: Fall; readonly code: string | null };
  /** `cannot tell`: `reasons` says what was not recorded. */
  readonly would: { readonly fall: Fall | "cannot tell"; readonly reasons: readonly string[] };
  readonly differs: boolean;
}

type Decided = Extract<EventRecord, { readonly data: DecidedChange }>;

const decidedTypes: readonly EventType[] = ["Transitioned", "Published", "RampAdvanced", "Revived", "ChangeDenied"];
const isDecided = (event: EventRecord): event is Decided => decidedTypes.includes(event.type);

const RulesText = v.object({ policies: v.array(PolicySchema) });

/** The policies of a stored definition; none where it cannot be read. */
const policiesIn = (text: string): readonly Policy[] => {
  const result = v.safeParse(RulesText, JSON.parse(text));
  return result.success ? result.output.policies : [];
};

/** What was known when the decision fell; undefined where nothing says so. */
interface Known {
  readonly telemetry: LedgerReading | undefined;
  readonly others: readonly OtherExperiment[] | null | undefined;
  readonly customPolicies: Readonly<Record<string, CustomAnswer>>;
  readonly customGates: Readonly<Record<string, CustomGateVerdict>>;
  /** Results that no policy gave: those of guardrails, which no change of policies changes. */
  readonly besides: readonly PolicyResult[];
}

const knownOf = ({ gates, policies, observed }: DecidedChange, rules: readonly Policy[] | undefined): Known => {
  const named = new Set((rules ?? []).map(policyName));
  // An empty list of others leaves no trace, so whether it was looked up shows in the rules that were in force.
  const looked = rules?.some((policy) => needsOf(policy).others) === true && policies.length > 0;
  return {
    telemetry: observed?.telemetry,
    others: observed?.others === undefined ? (looked ? [] : undefined) : observed.others,
    customPolicies: Object.fromEntries(
      policies.map(({ policy, compliant, reason, evidence }) => [policy, { compliant, reason, evidence }]),
    ),
    customGates: Object.fromEntries(
      gates.map(({ gate, satisfied, missing }) => [gate, { satisfied, ...(missing === undefined ? {} : { missing }) }]),
    ),
    besides: rules === undefined ? [] : policies.filter(({ policy }) => !named.has(policy)),
  };
};

/** Stands where nothing was recorded; no policy that needs it is asked. */
const notRecorded = (at: string): LedgerReading => ({ status: "unavailable", at, reason: "not recorded" });

type Verdict = BacktestedDecision["would"];

/** The changed policies on a recorded change. */
const judgePolicies = (
  policies: readonly Policy[],
  state: ExperimentState,
  event: Decided,
  ref: ExperimentRef,
  asker: ActorRecord,
  known: Known,
): Verdict => {
  const { kind, to, parameters } = event.data;
  const context = policyContext(state, { kind, to, parameters }, asker, {
    ref,
    now: Date.parse(event.at),
    telemetry: known.telemetry ?? notRecorded(event.at),
    others: known.others ?? [],
    custom: known.customPolicies,
  });
  const unknown: string[] = [];
  const results: PolicyResult[] = [...known.besides];
  for (const policy of policies) {
    const name = policyName(policy);
    const needs = needsOf(policy);
    const lacks = [
      ...(needs.telemetry && known.telemetry === undefined ? ["figures of the ledger"] : []),
      ...(needs.others && known.others === undefined ? ["other experiments"] : []),
      ...(policy.type === "custom" && !Object.hasOwn(known.customPolicies, name)
        ? ["what the host's function said"]
        : []),
    ];
    if (lacks.length === 0) results.push(judgePolicy(policy, context));
    else if (policy.severity === "Critical") unknown.push(`${name}: ${lacks.join(" and ")} not recorded`);
  }
  const critical = results.filter(({ severity }) => severity === "Critical");
  const words = (compliant: false | null): readonly string[] =>
    critical.filter((result) => result.compliant === compliant).map(({ policy, reason }) => `${policy}: ${reason}`);
  if (words(false).length > 0) return { fall: "refused", reasons: words(false) };
  if (unknown.length > 0) return { fall: "cannot tell", reasons: unknown };
  return words(null).length > 0 ? { fall: "refused", reasons: words(null) } : { fall: "made", reasons: [] };
};

/** What neither gates nor policies had refused stays refused, whatever they say. */
const unmoved: readonly string[] = ["approval-stale", "surface-claimed"];

const judgeMake = (
  set: PolicySet,
  state: ExperimentState,
  event: Decided,
  ref: ExperimentRef,
  known: Known,
): Verdict => {
  const { data } = event;
  const { kind, from, to, version } = data;
  const asker = data.onBehalfOf ?? event.actor;
  if (event.type === "ChangeDenied" && unmoved.includes(event.data.code))
    return { fall: "refused", reasons: [`${event.data.code}: not a matter of gates and policies`] };
  if (data.breakGlass === true) {
    const roles = set.breakGlass?.roles ?? [];
    return asker.roles.some((role) => roles.includes(role))
      ? { fall: "made", reasons: [] }
      : {
          fall: "refused",
          reasons: [
            `breaking the glass takes ${roles.length === 0 ? "a role, and none is configured" : `one of the roles ${roles.join(", ")}`}`,
          ],
        };
  }
  // Content that is still approved comes back ungated: a brake waits for nobody.
  if (event.type === "Published" && kind === "rollback" && state.approved.some(({ digest }) => digest === data.digest))
    return { fall: "made", reasons: [] };
  const { gates, policies } = applicable(set, kind, from, to);
  const unasked = gates.filter((gate) => gate.type === "custom" && !Object.hasOwn(known.customGates, gateName(gate)));
  // The approvals that were given, to what they were given to: under other rules the change has another digest.
  const proposal = state.proposals.findLast((open) => open.kind === kind && open.to === to && open.version === version);
  const judged = judgeGates(
    gates.filter((gate) => !unasked.includes(gate)),
    state,
    proposal ?? null,
    asker,
    known.customGates,
  );
  const rejected = judged.verdicts.filter((verdict) => verdict.rejected);
  if (rejected.length > 0)
    return { fall: "refused", reasons: rejected.map(({ gate, missing }) => `${gate}: ${missing ?? ""}`) };
  if (!judged.satisfied)
    return { fall: "held", reasons: judged.declinedBy.length > 0 ? ["it was declined"] : judged.missing };
  if (unasked.length > 0)
    return {
      fall: "cannot tell",
      reasons: unasked.map((gate) => `${gateName(gate)}: what the host's function said not recorded`),
    };
  return judgePolicies(policies, state, event, ref, asker, known);
};

const judgeApprove = (set: PolicySet, state: ExperimentState, event: Decided): Verdict => {
  const { kind, from, to, changeDigest } = event.data;
  const proposal = state.proposals.find((open) => open.changeDigest === changeDigest);
  if (proposal === undefined) return { fall: "refused", reasons: ["the proposal was over"] };
  const objection = approvalObjection(applicable(set, kind, from, to).gates, event.actor, {
    proposer: proposal.proposedBy.ref,
    authors: state.authorsSinceApproval,
  });
  return objection === null ? { fall: "made", reasons: [] } : { fall: "refused", reasons: [objection] };
};

const judge = (
  set: PolicySet,
  state: ExperimentState,
  event: Decided,
  ref: ExperimentRef,
  rules: readonly Policy[] | undefined,
): BacktestedDecision => {
  const { seq, at, data } = event;
  const { kind, from, to, version } = data;
  const attempt = event.type === "ChangeDenied" ? event.data.attempt : "make";
  const was =
    event.type === "ChangeDenied"
      ? { fall: "refused" as const, code: event.data.code }
      : { fall: "made" as const, code: null };
  const would =
    attempt === "approve" ? judgeApprove(set, state, event) : judgeMake(set, state, event, ref, knownOf(data, rules));
  const differs = would.fall !== "cannot tell" && would.fall !== was.fall;
  return { ref, seq, at, change: { kind, from, to, version }, attempt, was, would, differs };
};

/**
 * Judges every recorded decision of an exported history by another set of gates and policies. Decisions are judged one
 * by one, each on the state that it really fell on: what would have followed from another decision is not guessed.
 *
 * @param lines of an export, without their line ends; checked while they are read
 * @param onFlaw gets the place where the file is not as it was written; nothing comes after it
 */
export async function* backtest(
  set: PolicySet,
  lines: AsyncIterable<string> | Iterable<string>,
  onFlaw: (flaw: Flaw) => void,
): AsyncGenerator<BacktestedDecision> {
  const reader = createHistoryReader();
  const rules = new Map<string, readonly Policy[]>();
  for await (const text of lines) {
    const before = reader.state;
    const checked = await reader.push(text);
    if (!checked.ok) {
      onFlaw(checked.flaw);
      return;
    }
    const { line, event } = checked;
    if (line.line === "rules") rules.set(line.digest, policiesIn(line.text));
    if (event === null || before === null || !isDecided(event) || reader.header === null) continue;
    yield judge(set, before, event, reader.header.ref, rules.get(event.data.policySetDigest));
  }
  const flaw = reader.end();
  if (flaw !== null) onFlaw(flaw);
}
