/** Looks up, before the decision, what the policies of one change will want to know. Under a deadline, outside any lock of the store. */
import { parseDuration } from "../duration.ts";
import { limits } from "../limits.ts";
import type { ExperimentRef } from "../scope.ts";
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
  /** Rejects when it cannot be read: the policy then decides what missing telemetry means. */
  read(ref: ExperimentRef): Promise<LedgerFigures>;
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
const deadlineMs = 2_000;

/** Stands for an answer that did not come; its cause is reported, and never told: it may hold what must not be. */
type Missing = { readonly missing: string };

const withinDeadline = async <T>(
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

const unreadable = "it could not be read";

const readTelemetry = async ({ ref, telemetry, now, report }: Question): Promise<LedgerReading> => {
  const at = new Date(now).toISOString();
  const read = await withinDeadline(telemetry.read(ref), deadlineMs, unreadable, report);
  return "missing" in read
    ? { status: "unavailable", at, reason: read.missing }
    : { status: "available", at, ...read.answer };
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
  const read = await withinDeadline(listStartable(question), deadlineMs, unreadable, question.report);
  return "missing" in read ? null : read.answer;
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
