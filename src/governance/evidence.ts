/** Looks up, before the decision, what the policies of one change will want to know. Under a deadline, outside any lock of the store. */
import type { ExperimentRef } from "../scope.ts";
import type { Command } from "./commands.ts";
import type { ErrorTelemetry, PolicyEvidence, RunningExperiment } from "./policies/policy.ts";
import { applicable, type PolicySet } from "./policy-set.ts";
import type { ExperimentState } from "./state.ts";
import type { GovernanceStore } from "./store.ts";

/** Where measurements come from: the ledger in a Worker, whatever the host has elsewhere. */
export interface Telemetry {
  /** Rejects when it cannot be read: the policy then decides what missing telemetry means. */
  errors(
    ref: ExperimentRef,
  ): Promise<{ readonly exposed: number; readonly worstErrorRate: number; readonly worstVariant: string | null }>;
}

interface Question {
  readonly ref: ExperimentRef;
  readonly state: ExperimentState | null;
  readonly command: Command;
  readonly policySet: PolicySet;
  readonly store: GovernanceStore;
  readonly telemetry: Telemetry;
  readonly now: number;
}

/** A policy must not keep a change waiting for a ledger that does not answer. */
const deadlineMs = 2_000;

const withinDeadline = async <T>(task: Promise<T>): Promise<T> => {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${deadlineMs} ms`)), deadlineMs);
  });
  try {
    return await Promise.race([task, late]);
  } finally {
    if (timer !== undefined) clearTimeout(timer);
  }
};

const readErrors = async ({ ref, telemetry, now }: Question): Promise<ErrorTelemetry> => {
  const at = new Date(now).toISOString();
  try {
    return { status: "available", at, ...(await withinDeadline(telemetry.errors(ref))) };
  } catch (cause) {
    return { status: "unavailable", at, reason: cause instanceof Error ? cause.message : String(cause) };
  }
};

const readRunning = async ({ ref, store }: Question): Promise<readonly RunningExperiment[]> => {
  const found: RunningExperiment[] = [];
  let cursor: string | null = null;
  do {
    const page: Awaited<ReturnType<GovernanceStore["list"]>> = await store.list(ref, {
      states: ["Running", "Ramping", "Paused"],
      limit: 1_000,
      ...(cursor === null ? {} : { cursor }),
    });
    found.push(...page.items.map((item) => ({ name: item.ref.experiment, state: item.snapshot.state.lifecycle })));
    cursor = page.next;
  } while (cursor !== null);
  return found.filter((running) => running.name !== ref.experiment);
};

export const gatherEvidence = async (question: Question): Promise<PolicyEvidence> => {
  const { state, command, policySet, now } = question;
  const nothing: ErrorTelemetry = { status: "unavailable", at: new Date(now).toISOString(), reason: "not asked for" };
  if (state === null || command.type !== "Transition") return { now, errors: nothing, running: [] };
  const { policies } = applicable(policySet, "transition", state.lifecycle, command.to);
  const wants = (type: (typeof policies)[number]["type"]): boolean => policies.some((policy) => policy.type === type);
  const [errors, running] = await Promise.all([
    wants("errorRate") ? readErrors(question) : nothing,
    wants("conflictPrevention") ? readRunning(question) : [],
  ]);
  return { now, errors, running };
};
