/** Looks up, before the decision, what the policies of one change will want to know. Under a deadline, outside any lock of the store. */
import { parseDuration } from "../duration.ts";
import { limits } from "../limits.ts";
import type { ExperimentRef } from "../scope.ts";
import type { ConclusionWarning, RaisedSignal } from "./events.ts";
import type { GuardrailReading, GuardrailsEvidence } from "./guardrails.ts";
import { slotsIn } from "./exclusion.ts";
import type { ExperimentState } from "./state.ts";
import { type CustomPolicies, readVerdict, registeredPolicy } from "./policies/custom.ts";
import { needsOf, policyName } from "./policies/judge.ts";
import type {
  ChangeContext,
  CustomAnswer,
  LedgerFigures,
  LedgerReading,
  OtherExperiment,
  PolicyEvidence,
} from "./policies/policy.ts";
import type { Policy } from "./policies/schema.ts";
import type { ApplicablePolicySet } from "./policy-set.ts";
import type { GovernanceStore } from "./store.ts";

/** Where measurements come from: the ledger in a Worker, whatever the host has elsewhere. */
export interface Telemetry {
  /** Rejects when it cannot be read, and says so when it cannot be known: the policy then decides what that means. */
  read(ref: ExperimentRef): Promise<LedgerFigures | Missing>;
  /** What the guardrails of a serving experiment say now. Left out: there are none to ask. */
  guardrails?(ref: ExperimentRef, state: ExperimentState): Promise<readonly GuardrailReading[]>;
  /** What there is to say against shipping this variant on the results as they stand; null: nothing. */
  shippingWarning?(ref: ExperimentRef, state: ExperimentState, variant: string): Promise<ConclusionWarning | null>;
  /** What there is to say against publishing the newest version on the results as they stand; null: nothing. */
  publishingWarning?(ref: ExperimentRef, state: ExperimentState): Promise<ConclusionWarning | null>;
  /** Every signal that holds now for a serving experiment. Left out: nobody looks for any. */
  signals?(ref: ExperimentRef, state: ExperimentState): Promise<readonly RaisedSignal[]>;
  /** The results as they stand, in whatever form the host shows them: concluding freezes their digest. */
  results?(ref: ExperimentRef, state: ExperimentState): Promise<unknown>;
}

interface Question {
  readonly ref: ExperimentRef;
  /** The policies of the change; null where nothing is decided by policies. */
  readonly applicable: ApplicablePolicySet | null;
  /** The change, for the host's own policies. Asked for only when there is one. */
  readonly change: () => ChangeContext;
  readonly customPolicies: CustomPolicies;
  readonly store: GovernanceStore;
  readonly telemetry: Telemetry;
  readonly now: number;
  readonly report: (error: unknown) => void;
}

/** A policy must not keep a change waiting for a ledger that does not answer. */
export const evidenceDeadlineMs = 2_000;

/** Stands for an answer that did not come; its cause is reported, and never told: it may hold what must not be. */
export type Missing = { readonly missing: string };

export const withinDeadline = async <T>(
  task: Promise<T>,
  limitMs: number,
  otherwise: string,
  report: Question["report"],
): Promise<{ readonly answer: T } | Missing> => {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<Missing>((resolve) => {
    timer = setTimeout(() => resolve({ missing: `no answer within ${limitMs} ms` }), limitMs);
  });
  const settled = task.then(
    (answer) => ({ answer }),
    (cause: unknown): Missing => {
      report(cause);
      return { missing: otherwise };
    },
  );
  try {
    return await Promise.race([settled, late]);
  } finally {
    if (timer !== undefined) clearTimeout(timer);
  }
};

/** True for an answer that did not come. */
export const isMissing = (answer: object): answer is Missing => "missing" in answer;

/** What the record says of a source that failed. */
export const unreadable = "it could not be read";

const readTelemetry = async ({ ref, telemetry, now, report }: Question): Promise<LedgerReading> => {
  const at = new Date(now).toISOString();
  const read = await withinDeadline(telemetry.read(ref), evidenceDeadlineMs, unreadable, report);
  const found = "missing" in read ? read : read.answer;
  return "missing" in found
    ? { status: "unavailable", at, reason: found.missing }
    : { status: "available", at, ...found };
};

/** States from which an experiment serves, or could with its next transition. */
const startable = ["Approved", "Running", "Ramping", "Paused"] as const;

const listStartable = async ({ ref, store }: Question): Promise<readonly OtherExperiment[]> => {
  const found: OtherExperiment[] = [];
  let cursor: string | null = null;
  do {
    const page: Awaited<ReturnType<GovernanceStore["list"]>> = await store.list(ref, {
      states: startable,
      limit: limits.heavyPageRows,
      ...(cursor === null ? {} : { cursor }),
    });
    found.push(...page.items.map((item) => ({ name: item.ref.experiment, state: item.snapshot.state.lifecycle })));
    cursor = page.next;
  } while (cursor !== null);
  return found.filter((other) => other.name !== ref.experiment);
};

const readOthers = async (question: Question): Promise<PolicyEvidence["others"]> => {
  const read = await withinDeadline(listStartable(question), evidenceDeadlineMs, unreadable, question.report);
  return "missing" in read ? null : read.answer;
};

/** Which slots of an exclusion group other experiments hold. It rejects when that cannot be read: none is free then. */
export const readSlots = async (
  { ref, store }: Pick<Question, "ref" | "store">,
  group: string,
): Promise<{ readonly slots: readonly number[]; readonly holders: readonly string[] }> => {
  const slots: number[] = [];
  const holders: string[] = [];
  let cursor: string | null = null;
  do {
    const page: Awaited<ReturnType<GovernanceStore["list"]>> = await store.list(ref, {
      states: ["Running", "Ramping", "Paused"],
      limit: limits.heavyPageRows,
      ...(cursor === null ? {} : { cursor }),
    });
    for (const item of page.items) {
      const held = item.ref.experiment === ref.experiment ? [] : slotsIn(item.snapshot.state.claims, group);
      if (held.length === 0) continue;
      slots.push(...held);
      holders.push(`${item.ref.experiment} (${held.length})`);
    }
    cursor = page.next;
  } while (cursor !== null);
  return { slots, holders };
};

type Custom = Extract<Policy, { type: "custom" }>;

/** Asks one policy of the host, for no longer than it may take. Its own words on a failure go to the report alone. */
const askCustom = async (policy: Custom, change: ChangeContext, question: Question): Promise<CustomAnswer> => {
  const found = registeredPolicy(policy, question.customPolicies);
  if ("problem" in found) return { failed: found.problem };
  const abort = new AbortController();
  const limitMs = parseDuration(policy.timeLimit) ?? 0;
  const { ref, now, report } = question;
  // Within a function, so that one that throws before its first await fails like any other.
  const ask = async (): Promise<unknown> =>
    found.judge({ ref, change, parameters: policy.parameters ?? {}, now, signal: abort.signal });
  const read = await withinDeadline(ask(), limitMs, "it threw", report);
  if (!("missing" in read)) return readVerdict(read.answer);
  abort.abort();
  return { failed: read.missing };
};

const askHost = async (policies: readonly Policy[], question: Question): Promise<PolicyEvidence["custom"]> => {
  const asked = policies.filter((policy) => policy.type === "custom");
  if (asked.length === 0) return {};
  const change = question.change();
  const answers = await Promise.all(asked.map((policy) => askCustom(policy, change, question)));
  return Object.fromEntries(
    asked.map((policy, index) => [policyName(policy), answers[index] ?? { failed: "it was not asked" }]),
  );
};

/** What the guardrails say, where they stand in the way of the change that is asked for. */
export const readGuardrails = async (
  { ref, telemetry, now, report }: Pick<Question, "ref" | "telemetry" | "now" | "report">,
  state: ExperimentState,
): Promise<GuardrailsEvidence> => {
  const at = new Date(now).toISOString();
  if (telemetry.guardrails === undefined) return { status: "unavailable", at, reason: "nobody reads them here" };
  const read = await withinDeadline(telemetry.guardrails(ref, state), evidenceDeadlineMs, unreadable, report);
  return isMissing(read)
    ? { status: "unavailable", at, reason: read.missing }
    : { status: "available", at, readings: read.answer };
};

export const gatherEvidence = async (question: Question): Promise<PolicyEvidence> => {
  const { applicable, now } = question;
  const policies = applicable?.policies ?? [];
  const notAsked: LedgerReading = { status: "unavailable", at: new Date(now).toISOString(), reason: "not asked for" };
  const needs = policies.map(needsOf);
  const [telemetry, others, custom] = await Promise.all([
    needs.some((need) => need.telemetry) ? readTelemetry(question) : notAsked,
    needs.some((need) => need.others) ? readOthers(question) : [],
    askHost(policies, question),
  ]);
  return { now, telemetry, others, custom };
};
