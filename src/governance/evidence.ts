/** Looks up, before the decision, what the policies of one change will want to know. Under a deadline, outside any lock of the store. */
import { limits } from "../limits.ts";
import type { ExperimentRef } from "../scope.ts";
import type { GuardrailFinding } from "./events.ts";
import type { ExperimentState } from "./state.ts";
import type { LedgerFigures, LedgerReading, PolicyEvidence, OtherExperiment } from "./policies/policy.ts";
import type { ApplicablePolicySet } from "./policy-set.ts";
import type { GovernanceStore } from "./store.ts";

/** Where measurements come from: the ledger in a Worker, whatever the host has elsewhere. */
export interface Telemetry {
  /** Rejects when it cannot be read: the policy then decides what missing telemetry means. */
  read(ref: ExperimentRef): Promise<LedgerFigures>;
  /** What the guardrails of a serving experiment say now. Left out: there are none to ask. */
  guardrails?(ref: ExperimentRef, state: ExperimentState): Promise<readonly GuardrailReading[]>;
  /** The results as they stand, in whatever form the host shows them: concluding freezes their digest. */
  results?(ref: ExperimentRef, state: ExperimentState): Promise<unknown>;
}

/** A guardrail, and what follows from what it found. */
export interface GuardrailReading {
  readonly metric: string;
  readonly action: "rollBack" | "pause" | "notify" | "none";
  readonly variant: string | null;
  readonly why: string;
  readonly figures: GuardrailFinding["figures"];
}

interface Question {
  readonly ref: ExperimentRef;
  /** The rules that decide the change; null when none do. */
  readonly applicable: ApplicablePolicySet | null;
  readonly store: GovernanceStore;
  readonly telemetry: Telemetry;
  readonly now: number;
  readonly report: (error: unknown) => void;
}

/** A policy must not keep a change waiting for a ledger that does not answer. */
const deadlineMs = 2_000;

/** Stands for an answer that did not come; its cause is reported, and never told: it may hold what must not be. */
export type Missing = { readonly missing: string };

export const withinDeadline = async <T>(task: Promise<T>, report: Question["report"]): Promise<T | Missing> => {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<Missing>((resolve) => {
    timer = setTimeout(() => resolve({ missing: `no answer within ${deadlineMs} ms` }), deadlineMs);
  });
  const failed = task.catch((cause: unknown): Missing => {
    report(cause);
    return { missing: "it could not be read" };
  });
  try {
    return await Promise.race([failed, late]);
  } finally {
    if (timer !== undefined) clearTimeout(timer);
  }
};

export const isMissing = (answer: object): answer is Missing => "missing" in answer;

const readTelemetry = async ({ ref, telemetry, now, report }: Question): Promise<LedgerReading> => {
  const at = new Date(now).toISOString();
  const answer = await withinDeadline(telemetry.read(ref), report);
  return isMissing(answer)
    ? { status: "unavailable", at, reason: answer.missing }
    : { status: "available", at, ...answer };
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
  const answer = await withinDeadline(listStartable(question), question.report);
  return isMissing(answer) ? null : answer;
};

export const gatherEvidence = async (question: Question): Promise<PolicyEvidence> => {
  const { applicable, now } = question;
  const nothing: LedgerReading = { status: "unavailable", at: new Date(now).toISOString(), reason: "not asked for" };
  if (applicable === null) return { now, telemetry: nothing, others: [], custom: {} };
  const { policies } = applicable;
  const wants = (type: (typeof policies)[number]["type"]): boolean => policies.some((policy) => policy.type === type);
  const [telemetry, others] = await Promise.all([
    wants("errorRate") ? readTelemetry(question) : nothing,
    wants("conflictPrevention") ? readOthers(question) : [],
  ]);
  return { now, telemetry, others, custom: {} };
};
